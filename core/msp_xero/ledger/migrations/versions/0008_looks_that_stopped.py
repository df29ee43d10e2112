"""a connection knows that its last look at the organisation did not end well"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('connection') as table:
        table.add_column(sa.Column('look_stopped_at', ledger_types.UtcDateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('connection') as table:
        table.drop_column('look_stopped_at')

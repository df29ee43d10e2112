"""worklogs rebuilt from Xero; the bookmarks that the ledger has let pass"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plain ALTER TABLE on either database: SQLite would have to copy a table to change more of it.
    op.add_column('connection', sa.Column('bookmarks', ledger_types.ExactJson(), nullable=True))
    for name in ('rebuilt', 'told_apart'):
        op.add_column('worklog', sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    for name in ('told_apart', 'rebuilt'):
        op.drop_column('worklog', name)
    op.drop_column('connection', 'bookmarks')

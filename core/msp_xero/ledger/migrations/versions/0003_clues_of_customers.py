"""what tells beside the name who a customer is; the service provider's own account"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ('account_link', 'sdp_entry'):
        op.add_column(table, sa.Column('clues', ledger_types.ExactJson(), nullable=True))
    op.add_column('sdp_entry', sa.Column('own', sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column('sdp_entry', 'own')
    for table in ('sdp_entry', 'account_link'):
        op.drop_column(table, 'clues')

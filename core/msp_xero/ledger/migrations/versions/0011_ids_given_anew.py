"""what SDP listed once and lists no more, and worklogs whose account or type has lost its id to another"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'lost_entry',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('connection_id', sa.Integer(), nullable=False),
        sa.Column('kind', sa.String(length=20), nullable=False),
        sa.Column('sdp_id', sa.String(length=64), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('lost_at', ledger_types.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['connection_id'], ['connection.id'], name=op.f('fk_lost_entry_connection_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_lost_entry')),
        sa.UniqueConstraint('connection_id', 'kind', 'sdp_id', name=op.f('uq_lost_entry_connection_id_kind_sdp_id')),
    )
    op.add_column('worklog', sa.Column('given_anew', sa.String(length=20), nullable=True))


def downgrade() -> None:
    op.drop_column('worklog', 'given_anew')
    op.drop_table('lost_entry')

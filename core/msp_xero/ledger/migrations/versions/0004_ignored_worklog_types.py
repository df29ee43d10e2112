"""worklog types of ServiceDesk Plus MSP that a person wants no item for"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'worklog_type_choice',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('connection_id', sa.Integer(), nullable=False),
        sa.Column('type_id', sa.String(length=64), nullable=False),
        sa.Column('type_name', sa.Text(), nullable=False),
        sa.Column('ignored', sa.Boolean(), nullable=False),
        sa.Column('decided_at', ledger_types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ['connection_id'], ['connection.id'], name=op.f('fk_worklog_type_choice_connection_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_worklog_type_choice')),
        sa.UniqueConstraint('connection_id', 'type_id', name=op.f('uq_worklog_type_choice_connection_id_type_id')),
    )


def downgrade() -> None:
    op.drop_table('worklog_type_choice')

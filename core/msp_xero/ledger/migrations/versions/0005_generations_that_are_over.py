"""the organisations that a connection billed before; up to where it has all contacts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

# A ledger with contacts and without this memory is from before there was one, and trusted this once.
TRUSTED = """
UPDATE connection SET contacts_read_to = '9999-06-01 00:00:00' WHERE EXISTS (
    SELECT 1 FROM account_link
    WHERE account_link.connection_id = connection.id AND account_link.generation = connection.generation
)
"""


def upgrade() -> None:
    op.create_table(
        'past_generation',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('connection_id', sa.Integer(), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.Column('organisation_id', sa.String(length=64), nullable=True),
        sa.Column('organisation_name', sa.Text(), nullable=True),
        sa.Column('short_code', sa.String(length=32), nullable=True),
        sa.Column('base_currency', sa.String(length=3), nullable=True),
        sa.Column('ended_at', ledger_types.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['connection_id'], ['connection.id'], name=op.f('fk_past_generation_connection_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_past_generation')),
        sa.UniqueConstraint(
            'connection_id', 'generation', name=op.f('uq_past_generation_connection_id_generation')
        ),
    )
    op.add_column(
        'connection',
        sa.Column('contacts_read_to', ledger_types.UtcDateTime(timezone=True), nullable=True),
    )
    op.execute(TRUSTED)


def downgrade() -> None:
    op.drop_column('connection', 'contacts_read_to')
    op.drop_table('past_generation')

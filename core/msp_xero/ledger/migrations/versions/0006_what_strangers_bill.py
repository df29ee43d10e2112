"""what invoices of strangers bill

A ledger that has looked before remembers nothing of those looks; it looks once more at all sales invoices.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'foreign_line',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('connection_id', sa.Integer(), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.Column('invoice_id', sa.String(length=64), nullable=False),
        sa.Column('number', sa.Text(), nullable=False),
        sa.Column('contact_id', sa.String(length=64), nullable=True),
        sa.Column('module', sa.String(length=16), nullable=False),
        sa.Column('worklog_id', sa.String(length=64), nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('is_ours', sa.Boolean(), nullable=False),
        sa.Column('is_tried', sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ['connection_id'], ['connection.id'], name=op.f('fk_foreign_line_connection_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_foreign_line')),
    )
    op.create_index('ix_foreign_line_invoice', 'foreign_line', ['connection_id', 'invoice_id'])
    op.create_index('ix_foreign_line_worklog', 'foreign_line', ['connection_id', 'worklog_id'])
    op.execute('UPDATE connection SET invoices_refreshed_at = NULL')


def downgrade() -> None:
    op.drop_table('foreign_line')

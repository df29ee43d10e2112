"""modules of strangers' worklogs are as long as ours; a person can tell their worklogs from ours"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('foreign_line') as table:
        table.alter_column('module', existing_type=sa.String(16), type_=sa.String(20), existing_nullable=False)
        table.add_column(sa.Column('is_another', sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table('foreign_line') as table:
        table.drop_column('is_another')
        table.alter_column('module', existing_type=sa.String(20), type_=sa.String(16), existing_nullable=False)

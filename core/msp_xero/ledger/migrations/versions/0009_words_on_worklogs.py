"""what a person tells apart is one worklog and one line, and says nothing of another worklog of the same id

Kept are the words on worklogs that a person named. All markers are tried once more: one that had just been found
to be ours was noted as tried too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

KEPT = """
INSERT INTO line_told_apart (worklog_row, invoice_id, module, digest)
SELECT DISTINCT worklog.id, foreign_line.invoice_id, foreign_line.module, foreign_line.digest
FROM foreign_line
JOIN worklog ON worklog.connection_id = foreign_line.connection_id
    AND worklog.worklog_id = foreign_line.worklog_id
JOIN event ON event.entity = 'worklog' AND event.entity_id = worklog.id AND event.action = 'told_apart'
WHERE foreign_line.is_another
"""

BACK = """
UPDATE foreign_line SET is_another = TRUE WHERE EXISTS (
    SELECT 1 FROM line_told_apart
    JOIN worklog ON worklog.id = line_told_apart.worklog_row
    WHERE worklog.connection_id = foreign_line.connection_id
        AND worklog.worklog_id = foreign_line.worklog_id
        AND line_told_apart.invoice_id = foreign_line.invoice_id
        AND line_told_apart.module = foreign_line.module
        AND line_told_apart.digest = foreign_line.digest
)
"""


def upgrade() -> None:
    op.create_table(
        'line_told_apart',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('worklog_row', sa.Integer(), nullable=False),
        sa.Column('invoice_id', sa.String(length=64), nullable=False),
        sa.Column('module', sa.String(length=20), nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ['worklog_row'], ['worklog.id'], name=op.f('fk_line_told_apart_worklog_row')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_line_told_apart')),
        sa.UniqueConstraint(
            'worklog_row',
            'invoice_id',
            'module',
            'digest',
            name=op.f('uq_line_told_apart_worklog_row_invoice_id_module_digest'),
        ),
    )
    op.execute(KEPT)
    op.execute('UPDATE foreign_line SET is_tried = FALSE')
    with op.batch_alter_table('foreign_line') as table:
        table.drop_column('is_another')


def downgrade() -> None:
    with op.batch_alter_table('foreign_line') as table:
        table.add_column(sa.Column('is_another', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(BACK)
    op.drop_table('line_told_apart')

"""what SDP listed once and lists no more, and worklogs whose account or type has lost its id to another

What links know of losses until now is remembered beside them: a person may take such a link away next.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

# An id can be linked once in each generation: the newest one counts.
LOST = """
INSERT INTO lost_entry (connection_id, kind, sdp_id, name, lost_at)
SELECT connection_id, '{kind}', {target}, {name}, lost_at
FROM {table} AS link
WHERE {target} IS NOT NULL AND {name} <> '' AND lost_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {table} AS newer
    WHERE newer.connection_id = link.connection_id AND newer.{target} = link.{target}
    AND newer.{name} <> '' AND newer.lost_at IS NOT NULL AND newer.generation > link.generation
)
"""


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
    for kind, table, target, name in (
        ('account', 'account_link', 'account_id', 'account_name'),
        ('worklog_type', 'worklog_type_link', 'type_id', 'type_name'),
    ):
        op.execute(LOST.format(kind=kind, table=table, target=target, name=name))


def downgrade() -> None:
    op.drop_column('worklog', 'given_anew')
    op.drop_table('lost_entry')

"""links remember what was taken away, what is being created, what was lost and what got no answer

Each of the two jobs remembers the address that its own links were made with: until now both wrote one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from msp_xero.ledger import types as ledger_types

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

TABLES = ('account_link', 'worklog_type_link')
COLUMNS = (
    ('unlinked', ledger_types.ExactJson()),
    ('creating_name', sa.Text()),
    ('lost_at', ledger_types.UtcDateTime(timezone=True)),
    ('unanswered_at', ledger_types.UtcDateTime(timezone=True)),
)


LOST = """
UPDATE {} SET lost_at = last_seen_at
WHERE problem LIKE 'ServiceDesk Plus MSP does not list the linked %'
"""


def upgrade() -> None:
    for table in TABLES:
        for name, kind in COLUMNS:
            op.add_column(table, sa.Column(name, kind, nullable=True))
        op.execute(LOST.format(table))
    op.add_column('connection', sa.Column('sdp_types_url', sa.Text(), nullable=True))
    op.execute('UPDATE connection SET sdp_types_url = sdp_base_url')


def downgrade() -> None:
    op.drop_column('connection', 'sdp_types_url')
    for table in TABLES:
        for name, _ in COLUMNS:
            op.drop_column(table, name)

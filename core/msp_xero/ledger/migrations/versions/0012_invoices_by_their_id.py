"""invoices are found by Xero's id, and what a release awaits without a walk through all

Every run compares the lines that it remembers with the invoices on record, one by one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

AWAITED = sa.text('contact_id IS NULL')


def upgrade() -> None:
    op.create_index('ix_invoice_xero_id', 'invoice', ['connection_id', 'xero_id'])
    op.create_index(
        'ix_foreign_line_awaited',
        'foreign_line',
        ['connection_id'],
        sqlite_where=AWAITED,
        postgresql_where=AWAITED,
    )


def downgrade() -> None:
    op.drop_index('ix_foreign_line_awaited', 'foreign_line')
    op.drop_index('ix_invoice_xero_id', 'invoice')

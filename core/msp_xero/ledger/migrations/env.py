"""How Alembic reaches the ledger: through the connection it is handed, never by a URL of its own."""

from __future__ import annotations

from alembic import context

from msp_xero.ledger.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    user_module_prefix="ledger_types.",
)
context.run_migrations()

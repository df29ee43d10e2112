"""Schema changes of the ledger, in order, by Alembic."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

from msp_xero.ledger.lock import open_one_by_one

if TYPE_CHECKING:
    from sqlalchemy import Engine


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision, in one transaction."""
    # Alembic tells of every plugin it loads; what matters is said by the run's own summary.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    connection = engine.connect().execution_options(msp_xero_write=True)
    # Begun before Alembic looks: on SQLite it would otherwise commit after each revision, and another process
    # that opens the same new ledger could come in between.
    with connection, connection.begin():
        open_one_by_one(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

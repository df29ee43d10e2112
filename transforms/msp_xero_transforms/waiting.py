"""The worklogs that the ledger holds and that are not invoiced yet."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    OpenLedger = Callable[[str, str], AbstractContextManager["WaitingWorklogs | None"]]


class WaitingWorklogs(Protocol):
    """What the mapper reads of a ledger."""

    def unbilled_sources(self) -> Iterable[dict[str, Any]]:
        """Yield the record of every worklog that is not invoiced, as the tap delivered it."""
        ...

    def default_type_problem(self, name: str) -> str | None:
        """Say why worklogs cannot take this worklog type by default; None when they can."""
        ...


def open_ledger(url: str, connection: str) -> AbstractContextManager[WaitingWorklogs | None]:
    """Open a ledger for reading; before the first run there is none, and nothing waits."""
    from msp_xero.ledger import Ledger  # noqa: PLC0415 - without ledger_url no database driver is loaded

    return Ledger.open_existing(url, connection=connection) or nullcontext()

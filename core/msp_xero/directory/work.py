"""What one settle works with: handed in by the job, shared by deciding and writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msp_xero.directory.writes import identity, name_of
from msp_xero.ledger.models import AccountLink, WorklogTypeLink

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from msp_xero.directory.fields import AccountFields
    from msp_xero.directory.port import AccountSide, Row, TypeSide
    from msp_xero.directory.settings import AccountPolicy, TypePolicy
    from msp_xero.directory.summary import DirectorySummary
    from msp_xero.ledger.store import Fence, Ledger


def is_own(row: Row) -> bool:
    """Whether an account is the service provider's own, which the cloud edition lists as a customer."""
    return row.get("is_msp") in (True, "true")


@dataclass(slots=True, kw_only=True)
class AccountWork:
    """One settle of accounts.

    Attributes:
        listed: SDP's accounts by id, as listed in this settle.
        unknown: fields of earlier deliveries that cannot be written, with the reason.
        has_all_contacts: whether all came that were to be read.
    """

    ledger: Ledger
    client: AccountSide
    policy: AccountPolicy
    fields: AccountFields
    fence: Fence
    run_id: int
    summary: DirectorySummary
    should_stop: Callable[[], bool]
    logger: Logger
    base_url: str | None = None
    has_all_contacts: bool = True
    columns: list[str] = field(default_factory=list)
    listed: dict[str, Row] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def read_list(self) -> None:
        """Read SDP's accounts, 100 a call."""
        rows = self.client.accounts(self.columns)
        self.listed = {one: row for row in rows if (one := identity(row)) is not None}

    def names(self) -> dict[str, str]:
        """Return the name of each account by id, as listed in this settle."""
        return {one: name_of(row) for one, row in self.listed.items()}

    def reserved(self) -> set[str]:
        """Return the accounts that are never linked: the service provider's own, listed in the cloud."""
        return {one for one, row in self.listed.items() if is_own(row)}

    def carried(self) -> dict[str, object]:
        """Return the ContactID that each account carries; nothing where the setting names no usable field."""
        path = self.policy.write_link_to
        if not path or path in self.unknown:
            return {}
        return {one: self.fields.current(row, path) for one, row in self.listed.items()}

    def stopping(self) -> bool:
        """Whether to end before the next write; noted in the summary."""
        self.summary.stopped = self.summary.stopped or self.should_stop()
        return self.summary.stopped

    def mine(self) -> tuple[Any, ...]:
        """Return the condition for contacts of this connection and generation."""
        return (
            AccountLink.connection_id == self.ledger.connection_id,
            AccountLink.generation == self.ledger.generation,
        )


@dataclass(slots=True, kw_only=True)
class TypeWork:
    """One settle of worklog types; ``listed`` is SDP's list by id, as read in this settle."""

    ledger: Ledger
    client: TypeSide
    policy: TypePolicy
    fence: Fence
    run_id: int
    summary: DirectorySummary
    should_stop: Callable[[], bool]
    logger: Logger
    base_url: str | None = None
    listed: dict[str, Row] = field(default_factory=dict)

    def read_list(self) -> None:
        """Read SDP's worklog types, those that are switched off too."""
        rows = self.client.worklog_types()
        self.listed = {one: row for row in rows if (one := identity(row)) is not None}

    def names(self) -> dict[str, str]:
        """Return the name of each worklog type by id, as listed in this settle."""
        return {one: name_of(row) for one, row in self.listed.items()}

    def stopping(self) -> bool:
        """Whether to end before the next write; noted in the summary."""
        self.summary.stopped = self.summary.stopped or self.should_stop()
        return self.summary.stopped

    def mine(self) -> tuple[Any, ...]:
        """Return the condition for items of this connection and generation."""
        return (
            WorklogTypeLink.connection_id == self.ledger.connection_id,
            WorklogTypeLink.generation == self.ledger.generation,
        )

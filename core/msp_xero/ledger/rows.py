"""What the views answer with: plain values that know neither the database nor the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msp_xero.ledger.types import amount_from_stored

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

ZERO = amount_from_stored(0)
_LONGEST_NUMBER: Final = 10  # what follows the # of a label; databases hold no longer ones


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """The pair of systems, and what the last contact with Xero told."""

    name: str
    generation: int
    sdp_base_url: str | None
    organisation_id: str | None
    organisation_name: str | None
    short_code: str | None
    base_currency: str | None
    day_calls_remaining: int | None
    day_calls_seen_at: datetime | None
    invoices_refreshed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Total:
    """Worklogs in count, minutes and money. ``unpriced`` of them have no amount yet: it is the item's."""

    count: int = 0
    minutes: int = 0
    money: Decimal = ZERO
    unpriced: int = 0

    def __add__(self, other: Total) -> Total:
        return Total(
            self.count + other.count,
            self.minutes + other.minutes,
            self.money + other.money,
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class WorklogTotal:
    """The worklogs that are in one state for one reason."""

    state: str
    reason_code: str | None
    total: Total


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklogFilter:
    """Which worklogs a list shows; None and False are no filter.

    ``since`` is the first day of work, ``before`` the day after the last one. ``changed`` asks for those that
    were changed after they were billed.
    """

    states: tuple[str, ...] = ()
    reason_code: str | None = None
    account_id: str | None = None
    since: date | None = None
    before: date | None = None
    changed: bool = False


class Label(NamedTuple):
    """Which worklog a person means: an id of ServiceDesk Plus, and which one of that id; None is all."""

    worklog_id: str
    ordinal: int | None


def read_label(label: str) -> Label:
    """Take apart what a person calls a worklog: ``110``, or ``110#2`` for the second one of that id."""
    worklog_id, mark, number = label.strip().partition("#")
    if not mark:
        return Label(worklog_id, None)
    is_number = number.isascii() and number.isdigit() and len(number) < _LONGEST_NUMBER
    return Label(worklog_id, int(number) - 1 if is_number else -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklogRow:
    """One line of the list of worklogs. ``currency`` is that of its invoice, None while it is on none.

    Where the delivered line did not name its account or type, ``account_name`` and ``type_name`` are as
    ServiceDesk Plus listed them, or as they were linked.
    """

    row: int
    worklog_id: str
    ordinal: int
    module: str
    parent_id: str | None
    parent_display_id: str | None
    parent_title: str | None
    account_id: str | None
    account_name: str | None
    technician_name: str | None
    type_name: str | None
    work_date: date | None
    minutes: int
    quantity: Decimal | None
    money: Decimal | None
    is_billable: bool | None
    state: str
    reason_code: str | None
    reason: str | None
    excluded_by: str | None
    invoice_number: str | None
    currency: str | None
    changed: dict[str, Any] | None
    changed_at: datetime | None

    @property
    def label(self) -> str:
        """What a person calls it: its id, with a number behind it where two worklogs share the id."""
        return self.precise_label if self.ordinal else self.worklog_id

    @property
    def precise_label(self) -> str:
        """What means no other worklog of its id."""
        return f"{self.worklog_id}#{self.ordinal + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One worklog on one invoice, seen from either side."""

    invoice_number: str
    invoice_state: str
    organisation: str | None
    position: int
    live: bool
    revision: int
    worklog_id: str
    ordinal: int
    module: str
    parent_display_id: str | None
    technician_name: str | None
    work_date: date | None
    minutes: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    tax: Decimal
    item_code: str
    account_code: str
    tax_type: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry of the audit log. ``invoice_number`` is that of the invoice that ``data`` names by its id."""

    at: datetime
    actor: str
    action: str
    data: dict[str, Any] | None
    run_id: int | None
    invoice_number: str | None = None


@dataclass(frozen=True, slots=True)
class WorklogDetail:
    """Everything the ledger knows of one worklog.

    Attributes:
        of_sdp: whether ServiceDesk Plus tells it; False for a line of another tap.
        contact_name: the Xero contact that its account is linked to now.
        item_name: the Xero item that its worklog type is linked to now.
    """

    worklog: WorklogRow
    of_sdp: bool
    contact_name: str | None
    item_name: str | None
    description: str | None
    decision: str
    unit_price: Decimal | None
    revision: int
    first_seen_at: datetime
    last_seen_at: datetime
    lines: list[LineRow]
    history: list[Happening]


@dataclass(frozen=True, slots=True)
class InvoiceTotal:
    """The invoices that are in one state, in one currency."""

    state: str
    currency: str
    count: int
    subtotal: Decimal
    total_tax: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRow:
    """One line of the list of invoices. ``sent_at`` and ``attempts`` are of the calls that held it.

    ``organisation`` is the name of the Xero organisation that it is in, or was to be in.
    """

    row: int
    number: str
    organisation: str | None
    state: str
    xero_status: str | None
    account_id: str
    account_name: str | None
    contact_id: str
    contact_name: str | None
    invoice_date: date
    due_date: date
    reference: str
    currency: str
    line_count: int
    minutes: int
    subtotal: Decimal
    total_tax: Decimal
    total: Decimal
    xero_total: Decimal | None
    xero_id: str | None
    reason_code: str | None
    reason: str | None
    planned_at: datetime
    settled_at: datetime | None
    sent_at: datetime | None
    attempts: int | None


@dataclass(frozen=True, slots=True)
class InvoiceDetail:
    """An invoice with its lines and their worklogs."""

    invoice: InvoiceRow
    link: str | None
    lines: list[LineRow]
    history: list[Happening]

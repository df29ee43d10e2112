"""Builds the whole story for a seed, a scale and a moment.

Scales: ``small`` (about 85 worklogs on a dozen accounts, every awkward row), ``medium`` (about 1,500
on some 40), ``large`` (20,000), or a number: exactly that many worklogs, ten to a parent, on
``min(500, N / 200)`` accounts that all have a contact, without awkward rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.story import names, parties
from msp_xero_sandbox.story.awkward import AwkwardWriter
from msp_xero_sandbox.story.books import SOLD_BY_THE_HOUR, write_books
from msp_xero_sandbox.story.calendar import NEW_ZEALAND, Calendar
from msp_xero_sandbox.story.desk import Desk
from msp_xero_sandbox.story.tickets import Mix, Worker

if TYPE_CHECKING:
    from datetime import datetime

Row = dict[str, Any]

_SCALES = {
    "small": Mix(
        worklogs=16, fewest_per_parent=1, most_per_parent=3, not_billable=0.0, unknown_type=0.0, even=False
    ),
    "medium": Mix(
        worklogs=1431,
        fewest_per_parent=0,
        most_per_parent=4,
        not_billable=0.08,
        unknown_type=0.03,
        even=False,
    ),
    "large": Mix(
        worklogs=19931,
        fewest_per_parent=0,
        most_per_parent=6,
        not_billable=0.08,
        unknown_type=0.03,
        even=False,
    ),
}
# What the service desk calls kinds of work that the books do not know, or know differently.
_ONLY_IN_XERO = ("Security review", "Telephony")
_ONLY_IN_SDP = ("Internal meeting", "Warranty work")
_AWKWARD_TYPES = (
    "After hours support", "Price on request", "Pātai advice line", "Legacy labour", "Hosting 2019",
    "Cat6 cabling", "USB-C dock",
)  # fmt: skip
_MOST_ACCOUNTS = 500
_WORKLOGS_PER_ACCOUNT = 200


@dataclass(frozen=True, slots=True)
class Story:
    """Rows of both systems by kind.

    ``xero`` is in Xero's wire shape with aware times and Decimal money; ``sdp`` is in the sandbox's own
    shape. ``awkward`` names the rows that are awkward on purpose: label to (kind, ids).
    """

    xero: dict[str, list[Row]]
    sdp: dict[str, list[Row]]
    awkward: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


def build(seed: int, scale: str | int, now: datetime) -> Story:
    """Return the same story for the same seed, scale and moment.

    Args:
        seed: Any whole number.
        scale: ``small``, ``medium``, ``large``, or the exact number of worklogs (also as text).
        now: The moment at which the story ends; aware.

    Raises:
        ValueError: The scale is none of these.
    """
    told = scale in _SCALES
    if not told and not (str(scale).isdecimal() and int(scale) > 0):
        raise ValueError(f"scale is small, medium, large or a number of worklogs above 0, not {scale!r}")
    rng = Random(f"{seed}/{scale}")  # noqa: S311 - a story, not a secret
    desk = Desk(rng, Calendar(now))
    for name, rate in names.TECHNICIANS[: 4 if scale == "small" else None] + names.TECHNICIANS[-1:] * (
        scale == "small"
    ):
        desk.add_technician(name, rate)
    xero = write_books(rng, now)
    types = _add_worklog_types(desk, told=told)
    if told:
        customers = parties.companies(small=scale == "small")
        accounts = parties.write_accounts(desk, customers)
        AwkwardWriter(desk, [*accounts, parties.add_own_account(desk)], types).write()
        mix = _SCALES[str(scale)]
    else:
        mix = _exactly(int(scale))
        customers = parties.many_companies(min(_MOST_ACCOUNTS, max(1, mix.worklogs // _WORKLOGS_PER_ACCOUNT)))
        accounts = parties.write_accounts(desk, customers)
    billable = [row_id for name, row_id in types.items() if name in SOLD_BY_THE_HOUR]
    unknown = [row_id for name, row_id in types.items() if name in _ONLY_IN_SDP]
    Worker(desk, accounts, mix, billable, unknown).write()
    xero["contacts"] = parties.write_contacts(rng, now, customers)
    xero["invoices"] = _foreign_invoices(xero["contacts"], now)
    sdp = desk.finish()
    return Story(xero=xero, sdp=sdp, awkward=_index(sdp["awkward"]))


def _exactly(worklogs: int) -> Mix:
    return Mix(
        worklogs=worklogs,
        fewest_per_parent=8,
        most_per_parent=12,
        not_billable=0.02,
        unknown_type=0.0,
        even=True,
    )


def _add_worklog_types(desk: Desk, *, told: bool) -> dict[str, str]:
    known = [name for name in SOLD_BY_THE_HOUR if not (told and name in _ONLY_IN_XERO)]
    extra = (*_ONLY_IN_SDP, *_AWKWARD_TYPES) if told else ()
    rows = [
        desk.add("worklog_types", name=name, description=None, inactive=False) for name in (*known, *extra)
    ]
    if told:
        rows.append(
            desk.add("worklog_types", name="Fax repair", description="No longer offered", inactive=True)
        )
    return {row["name"]: row["id"] for row in rows}


def _foreign_invoices(contacts: list[Row], now: datetime) -> list[Row]:
    """Invoices that people wrote by hand, before any of ours; they must never be touched."""
    customers = [row for row in contacts if row["IsCustomer"]]
    today = now.astimezone(NEW_ZEALAND).date()
    rows = []
    for number, (status, days_ago, what, price) in enumerate(
        (
            ("AUTHORISED", 40, "Monthly managed service", "850.00"),
            ("DRAFT", 6, "Laptop, 14 inch", "1899.50"),
            ("AUTHORISED", 25, "Monthly managed service", "1240.00"),
            ("SUBMITTED", 3, "Firewall licence, 1 year", "613.04"),
            ("VOIDED", 30, "Monthly managed service", "850.00"),
        ),
        20,
    ):
        date = today - timedelta(days=days_ago)
        line = {"Description": what, "Quantity": Decimal("1.0000"), "UnitAmount": Decimal(price)}
        rows.append(
            {
                "Type": "ACCREC",
                "InvoiceNumber": f"INV-{number:04d}",
                "Reference": f"PO {number * 31}",
                "Contact": {"ContactID": customers[number % len(customers)]["ContactID"]},
                "Date": date,
                "DueDate": date + timedelta(days=30),
                "Status": status,
                "LineAmountTypes": "Exclusive",
                "CurrencyCode": "NZD",
                "LineItems": [line | {"AccountCode": "200", "TaxType": "OUTPUT2"}],
            }
        )
    return rows


def _index(awkward: list[Row]) -> dict[str, tuple[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in awkward:
        kind, ids = found.get(row["label"], (row["kind"], ()))
        found[row["label"]] = (kind, (*ids, row["id"]))
    return found

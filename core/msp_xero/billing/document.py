"""An invoice as Xero reads it, with the markers by which it can be recognised again."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero.billing.arithmetic import totals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import date

    from msp_xero.billing.arithmetic import Totals
    from msp_xero.billing.preflight import LineTerms
    from msp_xero.billing.reference import Contact, Reference

LONGEST_REFERENCE = 255
# What Xero does with them is not known (xero-api §10.20); tabs and the ends of lines it takes.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
# As long as a ledger's columns: anybody can write a line that looks like ours.
_WORKLOG_MARKER = re.compile(r"\(SDP (\w{1,20}) worklog ([^\s()]{1,64})\)")
_REFERENCE_MARKER = re.compile(r"\[([0-9a-f]{8})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLine:
    """One worklog on an invoice that is being planned. ``worklog_row`` is the ledger's row."""

    worklog_row: int
    revision: int
    module: str
    worklog_id: str
    work_date: date | None
    minutes: int
    description: str
    terms: LineTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One invoice that is being planned, not yet sent."""

    number: str
    account_id: str
    account_name: str
    contact: Contact
    invoice_date: date
    due_date: date
    reference: str
    marker: str
    totals: Totals
    minutes: int
    lines: list[DraftLine] = field(default_factory=list)


def worklog_marker(module: str, worklog_id: str) -> str:
    """Return the end of a line's description that names its worklog, for people and for rebuilding."""
    return f"(SDP {module} worklog {worklog_id})"


def described(description: str | None, module: str, worklog_id: str) -> str:
    """Return a line's text, without control characters, with its worklog's marker behind it."""
    marker, text = worklog_marker(module, worklog_id), _CONTROLS.sub("", description or "")
    return f"{text}\n{marker}" if text else marker


def worklog_of(description: str | None) -> tuple[str, str] | None:
    """Read ``(module, worklog id)`` back from a line's description, None when it is not ours.

    People write behind our marker. In front of it a technician may have written what looks like one: the
    last one counts.
    """
    markers = worklogs_in(description)
    return markers[-1] if markers else None


def worklogs_in(description: str | None) -> list[tuple[str, str]]:
    """Read ``(module, worklog id)`` of all that looks like our marker: a person can make two lines one."""
    return _WORKLOG_MARKER.findall(description or "")


def invoice_marker(number: str, lines: Iterable[DraftLine]) -> str:
    """Return the eight characters behind the reference that only this very invoice has."""
    worklogs = [(line.module, line.worklog_id, line.revision) for line in lines]
    return next(markers_from([number], worklogs, {len(worklogs)}))


def markers_from(
    numbers: Iterable[str], worklogs: Iterable[tuple[str, str, int]], made_with: Collection[int]
) -> Iterator[str]:
    """Yield the markers that an invoice has under each of the numbers with so many of its first lines.

    Args:
        numbers: invoice numbers.
        worklogs: ``(module, worklog id, revision)`` of each line.
        made_with: the counts of first lines.
    """
    parts = [f"\n{module}/{worklog_id}/{revision}".encode() for module, worklog_id, revision in worklogs]
    for number in numbers:
        made = hashlib.sha256()
        for count, part in enumerate([number.encode(), *parts]):
            made.update(part)
            if count in made_with:
                yield made.hexdigest()[:8]


def marker_of(reference: str | None) -> str | None:
    """Read the marker back from the end of an invoice's reference, where we write it; None without one there.

    What is there is a marker, also if it is none that we know. Elsewhere eight characters in brackets may be
    anything, such as a date: see :func:`markers_in`.
    """
    text = (reference or "").rstrip()
    markers = markers_in(text)
    return markers[-1] if markers and text.endswith(f"[{markers[-1]}]") else None


def markers_in(reference: str | None) -> list[str]:
    """Return all that may be markers in an invoice's reference: a person may have written behind ours."""
    return _REFERENCE_MARKER.findall(reference or "")


def marked_reference(text: str, marker: str) -> str:
    """Return the reference with its marker, cut to what Xero takes."""
    suffix = f" [{marker}]"
    flat = " ".join(_CONTROLS.sub("", text).split())
    # Counted in UTF-16 units, the cautious way (xero-api §10.20).
    cut = flat.encode("utf-16-le", "replace")[: 2 * (LONGEST_REFERENCE - len(suffix))]
    return f"{cut.decode('utf-16-le', 'ignore')}{suffix}"


def draft_totals(lines: Iterable[DraftLine], line_amount_types: str) -> Totals:
    """Add up the lines of a draft."""
    return totals(((line.terms.amount, line.terms.tax) for line in lines), line_amount_types)


def payload(draft: Draft, reference: Reference, *, status: str, line_amount_types: str) -> dict[str, Any]:
    """Return the invoice as an element of ``PUT /Invoices`` (xero-api §4.2).

    Only what we decide is sent: the contact by id alone (more would edit the contact), no line
    amounts and no totals (Xero computes them, and we compare).
    """
    return {
        **heading(draft.contact.contact_id, reference, status=status, line_amount_types=line_amount_types),
        "InvoiceNumber": draft.number,
        "Reference": draft.reference,
        "Date": draft.invoice_date.isoformat(),
        "DueDate": draft.due_date.isoformat(),
        "LineItems": [line_item(line, reference.tracking) for line in draft.lines],
    }


NAMES_AND_DATES = frozenset({"InvoiceNumber", "Reference", "Date", "DueDate", "LineItems"})
"""Members of an invoice beside its heading."""


def heading(contact_id: str, reference: Reference, *, status: str, line_amount_types: str) -> dict[str, Any]:
    """Return what is alike on every invoice for a contact: to whom, how and in what currency."""
    members: dict[str, Any] = {
        "Type": "ACCREC",
        "Contact": {"ContactID": contact_id},
        "Status": status,
        "CurrencyCode": reference.currency,
        "LineAmountTypes": line_amount_types,
    }
    if reference.branding_theme_id:
        members["BrandingThemeID"] = reference.branding_theme_id
    return members


def line_item(line: DraftLine, tracking: tuple[Mapping[str, str], ...]) -> dict[str, Any]:
    """Return one line as an element of ``LineItems`` (xero-api §4.2)."""
    element: dict[str, Any] = {
        "Description": line.description,
        "Quantity": _shortest(line.terms.quantity),
        "UnitAmount": _shortest(line.terms.unit_price),
        "ItemCode": line.terms.item_code,
        "AccountCode": line.terms.account_code,
        "TaxType": line.terms.tax_type,
    }
    if tracking:
        element["Tracking"] = [dict(option) for option in tracking]
    return element


def _shortest(value: Decimal) -> Decimal:
    """Drop trailing zeros without falling into exponents."""
    normal = value.normalize()
    return normal.quantize(Decimal(1)) if normal == normal.to_integral_value() else normal

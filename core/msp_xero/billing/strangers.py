"""Invoices in Xero that msp-xero made and this ledger does not know: do they bill what waits here?

They are another installation's, or ours: from a newer copy of this ledger, from before it started over, or
from an environment that bills the same work by mistake. A person may have renumbered them since.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select

from msp_xero.billing.document import (
    described,
    marker_of,
    markers_from,
    markers_in,
    worklog_of,
    worklogs_in,
)
from msp_xero.billing.plan import invoice_number, is_own_number
from msp_xero.errors import BilledElsewhere
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.foreign import Told
from msp_xero.ledger.models import WORKLOG_STATES, Invoice
from msp_xero.ledger.pushing import Waiting
from msp_xero.ledger.survey import generations_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from msp_xero.ledger import Ledger

    Row = Mapping[str, Any]

_GONE = ("VOIDED", "DELETED")
_NUMBERS_AHEAD: Final = 1000
"""How many numbers a newer copy of a ledger may have given out that this one has not."""
_NUMBERS_BACK: Final = 5000
"""How many numbers of before are tried. More would make a marker that fits by chance likely."""
_MOST_LINES_TRIED: Final = 50
"""Of how many first lines, and without how many last ones, a marker is tried; as few as the numbers are."""


def is_gone(row: Row) -> bool:
    """Tell whether an invoice stands no more; a live one of the same number or marker comes first."""
    return row.get("Status") in _GONE


def worklogs_on(row: Row) -> set[tuple[str, str]]:
    """Return ``(module, worklog id)`` of every line that names one."""
    keys = (worklog_of(line.get("Description")) for line in row.get("LineItems") or [])
    return {key for key in keys if key is not None}


def unknown_to_us(numbers: list[str]) -> BilledElsewhere:
    """Return the error that stops a ledger which does not know these invoices."""
    return BilledElsewhere(
        f"Xero has {len(numbers)} invoice(s) made by msp-xero that this ledger does not know "
        f"({first_of(numbers)}). Nothing was billed. If this ledger is an old or empty copy, restore the "
        "newest one (if none is left, `msp-xero rebuild` fills an empty ledger from Xero): it would bill "
        "again what is on those invoices, and so would another number_prefix. If `msp-xero status` has one "
        "as unknown, and a person has rewritten it in Xero, put the mark that `msp-xero invoices show` has "
        "of it back into its reference. If a person has copied or made one again in Xero, void it; or, if it "
        "is to stand, give it a number without the prefix and exclude the worklogs on it that wait "
        "(`msp-xero worklogs exclude`). Only where another installation bills other worklogs into the same "
        "organisation, give each a number_prefix, and say of each worklog that waits here under an id of "
        "theirs that it is another one (`msp-xero rebuild --another ID`)"
    )


def billed_before(numbers: list[str]) -> BilledElsewhere:
    """Return the error that stops billing again what these invoices billed before a starting over."""
    return BilledElsewhere(
        f"Xero has {len(numbers)} invoice(s) made by msp-xero before this connection started over "
        f"({first_of(numbers)}), and worklogs on them wait to be billed again. Nothing was billed, because "
        "customers would get them twice. Where the invoice is to stand, exclude its worklogs (`msp-xero "
        "worklogs exclude`); where they are to be billed again, void it in Xero. Then run again"
    )


def first_of(names: list[str]) -> str:
    """Return the first of these numbers or ids, as an error names them."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def billed_elsewhere(ledger: Ledger, rows: Iterable[Row], number_prefix: str) -> list[str]:
    """Return the numbers of invoices that bill what waits here.

    Another installation numbers its own way. But a person may have renumbered one of ours since this ledger
    was copied; then its lines tell, and where its worklogs were moved elsewhere since, its marker. Where that
    was taken away too, a person has to.
    """
    return [
        str(row.get("InvoiceNumber"))
        for row in rows
        if verdict_on(ledger, row, number_prefix) is Verdict.BILLS_WHAT_WAITS
    ]


def billed_again(ledger: Ledger, rows: Iterable[Row]) -> list[str]:
    """Return the numbers of invoices of ours, or copies of them, with worklogs that wait."""
    return [str(row.get("InvoiceNumber")) for row in rows if bills_what_waits(ledger, row, is_ours=True)]


def bills_what_waits(ledger: Ledger, row: Row, *, is_ours: bool = False) -> bool:
    """Tell whether an invoice that stands bills a worklog that waits here."""
    lines = list(told_by(row, is_ours=is_ours))
    waiting = waiting_under(ledger, lines)
    return any_billed(lines, waiting)


class Verdict(Enum):
    """What an invoice that is not on record has to do with what waits here."""

    BILLS_WHAT_WAITS = "it bills it, or may: it is ours, or only a person can tell"
    MARKER_TRIED = "it names an id that waits, but its marker is none of ours"
    SILENT = "it names nothing that waits, or what a person has told apart"


def verdict_on(ledger: Ledger, row: Row, number_prefix: str, recalled: Sequence[Told] = ()) -> Verdict:
    """Judge an invoice by its lines; where they leave a doubt, by its marker.

    ``recalled``: what an earlier look saw on it, and may be there still.
    """
    told, reference = list(told_by(row)), row.get("Reference")
    lines = [*told, *recalled]
    waiting = waiting_under(ledger, lines)
    if not waiting:
        return Verdict.SILENT
    if any_billed(lines, waiting):
        return Verdict.BILLS_WHAT_WAITS
    if all(line.line in one.apart for line in lines for one in waiting.get(line.worklog_id, ())):
        return Verdict.SILENT  # a person has said so; whose it is does not matter then
    if marker_of(reference) is None:
        # Nothing tells whose it is: a worklog can have been moved to another account since. Rather ask.
        return Verdict.BILLS_WHAT_WAITS
    # One that cannot be read may be there no more, and belong to it or not.
    made_with = _beginnings(len(lines)) | {len(told)}
    is_ours = _had_our_number(ledger, lines, made_with, markers_in(reference), number_prefix)
    return Verdict.BILLS_WHAT_WAITS if is_ours else Verdict.MARKER_TRIED


def _beginnings(lines: int) -> set[int]:
    """Return with how many first lines a marker may have been made: what a person put on it stands behind."""
    return {count for count in range(1, lines + 1) if min(count, lines - count) <= _MOST_LINES_TRIED}


def any_billed(lines: Iterable[Told], waiting: Mapping[str, list[Waiting]]) -> bool:
    """Tell whether one of these lines bills one of these worklogs that wait."""
    return any(is_billed_by(line, one) for line in lines for one in waiting.get(line.worklog_id, ()))


def _had_our_number(
    ledger: Ledger,
    lines: Sequence[Told],
    made_with: Collection[int],
    markers: Collection[str],
    number_prefix: str,
) -> bool:
    """Tell whether an invoice got a marker of it with a number of this prefix and some of its first lines.

    Two installations never share a prefix, so it is ours. The marker also holds the revisions of the
    worklogs: tried are the first ones, and those that this ledger knows.
    """
    with ledger.read() as session:
        following = ledger.connection(session).next_number
    numbers = range(max(1, following - _NUMBERS_BACK), following + _NUMBERS_AHEAD)
    here = waiting_under(ledger, lines, WORKLOG_STATES)
    known = {key: max(one.revision for one in some) for key, some in here.items()}
    tries = {
        tuple((line.module, line.worklog_id, revisions.get(line.worklog_id, 1)) for line in lines)
        for revisions in ({}, known)
    }
    return any(
        made in markers
        for worklogs in tries
        for made in markers_from((invoice_number(number_prefix, one) for one in numbers), worklogs, made_with)
    )


def waiting_under(
    ledger: Ledger, lines: Iterable[Told], states: Collection[str] = foreign.WAITING
) -> Mapping[str, list[Waiting]]:
    """Return what waits under the ids of these lines, of whatever module: a worklog may have been moved."""
    waiting = defaultdict[str, list[Waiting]](list)
    ids = {line.worklog_id for line in lines}
    for one in pushing.waiting_worklogs(ledger, ids, states) if ids else ():
        waiting[one.worklog_id].append(one)
    return waiting


def is_billed_by(line: Told, one: Waiting) -> bool:
    """Tell whether a line bills this worklog of the same id: by its very text, or by module and contact.

    Another installation can have worklogs of the same ids; contacts can have been merged since. What a person
    says counts more than module and contact, and less than the very text.
    """
    if _digest(described(one.description, line.module, line.worklog_id)) == line.digest:
        return True
    if line.line in one.apart or one.module != line.module:
        return False
    return line.is_ours or line.contact_id in one.contact_ids


def told_by(row: Row, *, is_ours: bool = False) -> Iterator[Told]:
    """Yield what the lines of an invoice that stands tell of worklogs."""
    for line in () if is_gone(row) else row.get("LineItems") or ():
        if key := worklog_of(line.get("Description")):
            yield _told(row, line, key, is_ours=is_ours)


def told_on_ours(row: Row, sent: Collection[str]) -> Iterator[Told]:
    """Yield the same of one of ours; of a line that is not as it was sent, each worklog that it names.

    A person can make two lines one. In a text of ours a technician may have quoted another worklog's mark.
    """
    for line in () if is_gone(row) else row.get("LineItems") or ():
        named = worklogs_in(text := line.get("Description"))
        for key in named[-1:] if text in sent else dict.fromkeys(named):
            yield _told(row, line, key, is_ours=True)


def _told(row: Row, line: Row, key: tuple[str, str], *, is_ours: bool) -> Told:
    contact_id = str((row.get("Contact") or {}).get("ContactID") or "")
    digest = _digest(str(line.get("Description")))
    return Told(str(row.get("InvoiceID")), str(row.get("InvoiceNumber")), contact_id, *key, digest, is_ours)


def has_its_lines(row: Row) -> bool:
    """Tell whether an invoice came with its lines: one without any proves nothing, unless its total is 0."""
    return bool(row.get("LineItems")) or row.get("Total") == 0


def may_name_more(row: Row) -> bool:
    """Tell whether an invoice that stands may still bill what an earlier look saw and no line names now.

    Beside a line without a mark nobody knows whether that is the one: a person decides.
    """
    lines = row.get("LineItems") or ()
    is_plain = has_its_lines(row) and all(worklog_of(line.get("Description")) for line in lines)
    return not (is_gone(row) or is_plain)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def told_by_lines(ledger: Ledger, rows: Iterable[Row], number_prefix: str) -> list[str]:
    """Return the numbers of those of these invoices, without a marker and unknown, that another ledger made.

    They bill what waits here; or they bill worklogs under a number of ours, which we never sent. Left out is
    what the look-up finds by its lines: our own, whose reference was rewritten before its answer came.
    """
    judged = [(row, on_lines) for row in rows if not is_gone(row) and (on_lines := worklogs_on(row))]
    if not judged:
        return []
    unsettled = pushing.unsettled_keys(ledger)
    others = [row for row, on_lines in judged if not any(map(on_lines.issubset, unsettled))]
    return [
        *billed_elsewhere(ledger, others, number_prefix),
        *_never_sent(ledger, [str(row.get("InvoiceNumber")) for row in others], number_prefix),
    ]


def _never_sent(ledger: Ledger, numbers: Iterable[str], number_prefix: str) -> list[str]:
    """Return those of these numbers that look like ours and that no invoice of ours explains.

    One that has the number and waits for its look-up does, and so does one from before a starting over.
    """
    ours = [number for number in numbers if is_own_number(number_prefix, number)]
    if not ours:
        return []
    with ledger.read() as session:
        known = session.execute(
            select(Invoice.number, Invoice.xero_id, Invoice.state, Invoice.generation).where(
                Invoice.connection_id == ledger.connection_id,
                func.lower(Invoice.number).in_([number.lower() for number in ours]),
            )
        ).all()
    explained = {
        row.number.casefold()
        for row in known
        if row.generation != ledger.generation or (row.xero_id is None and row.state != "rejected")
    }
    return [number for number in ours if number.casefold() not in explained]


class Unexplained(NamedTuple):
    """Invoices that stand, sorted by what this ledger knows of them.

    Attributes:
        explained: ids of those that are on record.
        awaited: those with the marker of one whose outcome is unknown. The look-up adopts one of them; others
            are copies that a person made, or the look-up is not shown it.
        strangers: those with a marker and a number of ours that this ledger did not send.
        late: numbers of those that it knows as refused.
        planned: markers of those that it has not sent yet.
        elsewhere: those with a marker that only their lines explain: other installations', other ledgers',
            and copies that people made of ours.
        before: those from before the connection started over.
        unmarked: those that are not on record and end with no marker: people's own, most of them.
    """

    explained: list[str]
    awaited: list[Row]
    strangers: list[Row]
    late: list[str]
    planned: set[str]
    elsewhere: list[Row]
    before: list[Row]
    unmarked: list[Row]


def unexplained(ledger: Ledger, rows: Iterable[Row], number_prefix: str) -> Unexplained:
    """Sort out what of these invoices the ledger cannot explain."""
    found = Unexplained([], [], [], [], set(), [], [], [])
    standing = {str(row.get("InvoiceID")): row for row in rows if not is_gone(row)}
    if not standing:
        return found
    markers_on = {xero_id: set(markers_in(row.get("Reference"))) for xero_id, row in standing.items()}
    markers = set().union(*markers_on.values())
    with ledger.read() as session:
        known = session.execute(
            select(Invoice.xero_id, Invoice.marker, Invoice.state, Invoice.generation).where(
                Invoice.connection_id == ledger.connection_id,
                Invoice.xero_id.in_(standing) | Invoice.marker.in_(markers),
            )
        ).all()
        here = ledger.connection(session).organisation_id
        at_home = set(session.scalars(generations_in(ledger, here))) if here else set()
    present = [row for row in known if row.generation == ledger.generation]
    known_ids = {row.xero_id for row in present}
    # Not settled yet, and renumbered by a person: the look-up will find it by its marker.
    open_markers = {row.marker for row in present if row.xero_id is None and row.state != "rejected"}
    refused = {row.marker for row in known if row.xero_id is None and row.state == "rejected"}
    # Its lines have to tell: on the way back it is the invoice itself, whose worklogs may have been taken off
    # it; elsewhere it is a copy, moved here with the books. What has another id at home is neither.
    earlier = [row for row in known if row.generation != ledger.generation]
    earlier_ids = {row.xero_id for row in earlier}
    earlier_markers = {row.marker for row in earlier if not (row.xero_id and row.generation in at_home)}
    for xero_id, row in standing.items():
        number, on_it = str(row.get("InvoiceNumber", "")), markers_on[xero_id]
        if xero_id in known_ids:
            found.explained.append(xero_id)
        elif on_it & open_markers:
            found.awaited.append(row)
        elif on_it & refused:
            found.late.append(number)
        elif xero_id in earlier_ids or on_it & earlier_markers:
            found.before.append(row)
        elif marker_of(row.get("Reference")) is None and not (
            on_it and _never_sent(ledger, [number], number_prefix)
        ):
            found.unmarked.append(row)
        elif is_own_number(number_prefix, number):
            # Also with a marker of ours: another ledger may have billed the same worklogs under a number that
            # was free again.
            found.strangers.append(row)
        else:
            found.elsewhere.append(row)
    found.planned.update(markers.intersection(row.marker for row in known if row.state == "planned"))
    return found

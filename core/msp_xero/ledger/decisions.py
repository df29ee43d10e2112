"""What a person decides about a worklog: that it is not billed, or that it is after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, case, func, or_, select, update

from msp_xero.errors import MspXeroError
from msp_xero.ledger import moved_lines, second_look
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.models import Event, Invoice, InvoiceLine, PastGeneration, Worklog
from msp_xero.ledger.outcomes import Standing, billed_by, free_worklogs, put_back
from msp_xero.reasons import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

BY_PERSON = "EXCLUDED_BY_PERSON"
CHANGED = "CHANGED_AFTER_BILLING"
GONE_IN_XERO = ("voided", "deleted")
_FINDS_OUT = (
    "was sent, and the next run finds out whether Xero has it; once it is on record as created, void or "
    "delete it there and release it then"
)
_NOT_THERE = {
    "rejected": "is not in Xero, so there is nothing to release: its worklogs are free already, and "
    "`msp-xero worklogs show ID` says where each is",
    "planned": "is planned and not in Xero yet, so there is nothing to release",
    "sending": _FINDS_OUT,
    "unknown": _FINDS_OUT,
    "conflict": _FINDS_OUT,
}
"""Why an invoice of these states cannot be released."""
_HELD_MEANWHILE = "It came to be held while it was excluded; the next run says for what."
_NAMED = 3
_UNDECIDED = ("open", "held", "excluded")


class Refusal(MspXeroError):
    """A decision that cannot be carried out where the worklog is now."""


class Released(NamedTuple):
    """What releasing an invoice did.

    Attributes:
        free: worklogs that are free again.
        still_billed: those that another invoice bills, which stands.
        moved_to: numbers of invoices that bill some of the latter because a person put their lines on them.
    """

    free: int
    still_billed: int
    moved_to: tuple[str, ...] = ()


def exclude_worklog(ledger: Ledger, row: int, reason: str) -> str | None:
    """Take a worklog out of billing until a person includes it again.

    Args:
        ledger: the open ledger.
        row: the worklog's row in the ledger.
        reason: the person's own words, for whoever asks later.

    Returns:
        The reason that a person had given before and that this one replaces; None when there was none.

    Raises:
        Refusal: it is on an invoice already, or no reason is given.
    """
    if not reason.strip():
        raise Refusal("say why the worklog is not to be billed; the reason is kept for whoever asks later")
    with ledger.write() as session:
        worklog = _undecided(session, ledger, row, "excluded")
        # The code of a hold is kept in the log, so that including the worklog can bring it back.
        before = {"from": worklog.state, "was": worklog.reason_code}
        replaced = None
        if worklog.reason_code == BY_PERSON:
            before["was"] = _held_before(session, ledger, row)
            replaced = worklog.reason
        _move(
            session,
            row,
            {
                "state": "excluded",
                "reason_code": BY_PERSON,
                "reason": reason.strip(),
                "excluded_by": ledger.actor,
            },
        )
        # The row holds the last reason only, and none once it is included again: the log holds each.
        data = {**before, "reason_code": BY_PERSON, "reason": reason.strip()}
        record(session, ledger, [Change("worklog", row, "excluded", data)])
        return replaced


def include_worklog(ledger: Ledger, row: int) -> str:
    """Take back a person's exclusion; the next run judges the worklog anew.

    Returns:
        The state it is in now: ``open``, ``held`` when the line itself cannot be billed yet, or
        ``excluded`` when a rule excludes it too.

    Raises:
        Refusal: it is on an invoice, it is not excluded, or only a rule excludes it.
    """
    with ledger.write() as session:
        worklog = _undecided(session, ledger, row, "included")
        if worklog.state != "excluded":
            raise Refusal(f"the worklog is not excluded; it is {worklog.state} and waits for its invoice")
        if worklog.reason_code != BY_PERSON:
            raise Refusal(
                "a rule of the configuration excludes the worklog, and would do so again on the next run; "
                "change the rule instead"
            )
        place = _place(worklog.decision, _held_before(session, ledger, row))
        # Without its digest the line counts as changed when it is delivered again, and is judged anew.
        _move(session, row, {**place, "line_digest": ""})
        data = {"from": "excluded", "reason_code": place["reason_code"], "state": place["state"]}
        record(session, ledger, [Change("worklog", row, "included", data)])
        return str(place["state"])


def release_invoice(ledger: Ledger, number: str, *, voided_there: bool = False) -> Released:
    """Free the worklogs of an invoice that was voided or deleted in Xero, to be billed again.

    One that another invoice bills too, which stands, counts as billed by that one; also where a person put
    its line on that one in Xero. So told the last look, or a rebuild; the next look reads that invoice, and
    says on it what is not there by then.

    Args:
        ledger: the open ledger.
        number: the invoice's number.
        voided_there: a person's word that it was voided or deleted, where no run can look: in an
            organisation that is not billed any more.

    Returns:
        How many worklogs are free again, and how many stay billed.

    Raises:
        Refusal: there is no such invoice, or it still stands in Xero.
    """
    with ledger.write() as session:
        invoice = session.scalar(
            select(Invoice).where(Invoice.connection_id == ledger.connection_id, has_number(number))
        )
        if invoice is None:
            raise Refusal(f"there is no invoice {number}; `msp-xero invoices list` shows them")
        if invoice.state not in GONE_IN_XERO:
            _take_word(session, ledger, invoice, voided_there=voided_there)
        rows = billed_by(session, [invoice.id])
        if not rows:
            raise Refusal(_why_it_bills_nothing(session, invoice))
        stay = _on_another_that_stands(session, ledger, invoice, rows)
        others = set(rows).difference(one.row for one in stay)
        moved = moved_lines.follow(session, ledger, invoice, others)
        stay += [one.standing for one in moved]
        put_back(session, ledger, stay)
        second_look.forget(session, invoice)
        second_look.await_look(session, ledger, stay)
        _count_minutes(session, stay)
        free = sorted(set(rows).difference(one.row for one in stay))
        free_worklogs(session, free)
        states = wait_again(session, free)
        changes = [
            Change("worklog", row, "released", {"invoice": invoice.id, "state": state})
            for row, state in states
        ]
        record(session, ledger, [*changes, Change("invoice", invoice.id, "released")])
        return Released(len(free), len(stay), tuple(dict.fromkeys(one.number for one in moved)))


def has_number(number: str) -> ColumnElement[bool]:
    """Return the condition that an invoice has this number, however a person writes its letters.

    SQLite knows no other letters than those of ASCII in another case; as it stands each is found.
    """
    return or_(Invoice.number == number, func.lower(Invoice.number) == number.lower())


def _on_another_that_stands(
    session: Session, ledger: Ledger, released: Invoice, rows: Sequence[int]
) -> list[Standing]:
    """Return which of these worklogs another invoice bills, the older one of two.

    Only a rebuilt ledger has such lines: of a worklog that it found on two invoices, one counts. The other
    one stands in the present organisation, in that of the released one, or in one that was billed after it.
    """
    lines = (
        select(func.min(InvoiceLine.id))
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            InvoiceLine.worklog_row.in_(rows),
            or_(
                Invoice.generation.in_((ledger.generation, released.generation)),
                # One that was sent from here and left with --rebill-from bills it no more; what a rebuild
                # found in between may well: there the released one counted because it was found first.
                and_(Invoice.batch_id.is_(None), Invoice.generation > released.generation),
            ),
            Invoice.state.in_(("created", "paid")),
        )
        .group_by(InvoiceLine.worklog_row)
    )
    found = session.execute(
        select(InvoiceLine.worklog_row, InvoiceLine.id, InvoiceLine.invoice_id)
        .where(InvoiceLine.id.in_(lines))
        .order_by(InvoiceLine.id)
    )
    return [Standing(*one) for one in found]


def _why_it_bills_nothing(session: Session, invoice: Invoice) -> str:
    """Say why an invoice has nothing to release, and which invoices bill its worklogs by now."""
    of_it = select(InvoiceLine.worklog_row).where(InvoiceLine.invoice_id == invoice.id)
    others = session.scalars(
        select(Invoice.number)
        .join(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .where(InvoiceLine.worklog_row.in_(of_it), InvoiceLine.live.is_(True))
        .distinct()
        .order_by(Invoice.number)
    ).all()
    if not others:
        return f"the worklogs of invoice {invoice.number} are released already"
    named = ", ".join(others[:_NAMED]) + (" …" if len(others) > _NAMED else "")
    return (
        f"no worklog counts as billed by invoice {invoice.number}; what is billed of its worklogs is on "
        f"{named}. Where one of these is voided or deleted too, release that one instead"
    )


def _count_minutes(session: Session, found: Sequence[Standing]) -> None:
    """Add to the invoices the minutes of worklogs that count as billed by them from now on."""
    for one in found:
        minutes = select(Worklog.minutes).where(Worklog.id == one.row).scalar_subquery()
        session.execute(
            update(Invoice).where(Invoice.id == one.invoice_id).values(minutes=Invoice.minutes + minutes)
        )


def _take_word(session: Session, ledger: Ledger, invoice: Invoice, *, voided_there: bool) -> None:
    """Let an invoice that no run can look at count as voided, if a person says that it is.

    Raises:
        Refusal: a run can look at it, or nobody said so.
    """
    if invoice.state in _NOT_THERE:
        raise Refusal(f"invoice {invoice.number} {_NOT_THERE[invoice.state]}")
    if _is_looked_at(session, ledger, invoice):
        raise Refusal(
            f"invoice {invoice.number} is {invoice.state}, so its worklogs count as billed; "
            "void or delete it in Xero first, and let a run or a push notice that"
        )
    if not voided_there and _is_at_home(session, ledger, invoice):
        raise Refusal(
            f"a person said that invoice {invoice.number} was made, and no run has found it in Xero since. "
            "If it is not there, or not any more, say so with --voided-there"
        )
    if not voided_there:
        raise Refusal(
            f"invoice {invoice.number} is of an organisation that this connection bills no more, so no run "
            "notices what became of it. Void or delete it there first, then say so with --voided-there"
        )
    # Should the connection ever go back there, what Xero says then is compared with this.
    invoice.state, invoice.xero_status = "voided", "VOIDED"
    record(session, ledger, [Change("invoice", invoice.id, "voided", {"on_word_of_person": True})])


def _is_looked_at(session: Session, ledger: Ledger, invoice: Invoice) -> bool:
    """Tell whether runs learn what becomes of an invoice: it is the present organisation's, by its id."""
    return invoice.xero_id is not None and _is_at_home(session, ledger, invoice)


def _is_at_home(session: Session, ledger: Ledger, invoice: Invoice) -> bool:
    """Tell whether an invoice is of the organisation that is billed at present."""
    if invoice.generation == ledger.generation:
        return True
    there = session.scalar(
        select(PastGeneration.organisation_id).where(
            PastGeneration.connection_id == ledger.connection_id,
            PastGeneration.generation == invoice.generation,
        )
    )
    return there == ledger.connection(session).organisation_id


def wait_again(session: Session, rows: Sequence[int]) -> Sequence[tuple[int, str]]:
    """Let worklogs that were taken off their invoice wait for another one; return each with its state.

    What changed after billing has terms that no longer hold, until it is delivered again.
    """
    stale = Worklog.decision == "hold"
    session.execute(
        update(Worklog)
        .where(Worklog.id.in_(rows))
        .values(
            state=case((stale, "held"), else_="open"),
            reason_code=case((stale, CHANGED), else_=None),
            reason=case((stale, explain(CHANGED).sentence), else_=None),
            revision=Worklog.revision + 1,
        )
        .execution_options(synchronize_session=False)
    )
    return [
        (row, state)
        for row, state in session.execute(select(Worklog.id, Worklog.state).where(Worklog.id.in_(rows)))
    ]


def _undecided(session: Session, ledger: Ledger, row: int, wish: str) -> Worklog:
    """Return the worklog, locked, if a person can still decide about it."""
    worklog = session.scalar(
        select(Worklog)
        .where(Worklog.id == row, Worklog.connection_id == ledger.connection_id)
        .with_for_update()
    )
    if worklog is None:
        raise Refusal("there is no such worklog")
    if worklog.state not in _UNDECIDED:
        where = "on an invoice" if worklog.state == "invoiced" else "on an invoice that is about to be sent"
        raise Refusal(
            f"worklog {worklog.worklog_id} is {where} and can no longer be {wish}; "
            f"`msp-xero worklogs show {worklog.worklog_id}` names the invoice"
        )
    return worklog


def _held_before(session: Session, ledger: Ledger, row: int) -> str | None:
    """Return the code that the worklog was held for when a person excluded it, if any."""
    data: dict[str, Any] | None = session.scalar(
        select(Event.data)
        .where(
            Event.connection_id == ledger.connection_id,
            Event.entity == "worklog",
            Event.entity_id == row,
            Event.action == "excluded",
        )
        .order_by(Event.id.desc())
        .limit(1)
    )
    return (data or {}).get("was")


def _place(decision: str, held_for: str | None) -> dict[str, str | None]:
    """Say where a line belongs by its own decision; its exact words come with its next delivery."""
    if decision == "hold":
        code = held_for or "INVALID_RECORD"
        reason = explain(code).sentence if held_for else _HELD_MEANWHILE
        return {"state": "held", "reason_code": code, "reason": reason, "excluded_by": None}
    if decision == "exclude":
        code = "EXCLUDED_BY_RULE"
        return {
            "state": "excluded",
            "reason_code": code,
            "reason": explain(code).sentence,
            "excluded_by": "rule",
        }
    return {"state": "open", "reason_code": None, "reason": None, "excluded_by": None}


def _move(session: Session, row: int, values: dict[str, str | None]) -> None:
    session.execute(update(Worklog).where(Worklog.id == row).values(**values))

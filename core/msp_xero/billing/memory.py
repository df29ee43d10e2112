"""What earlier looks told of invoices that this ledger does not know, compared with what waits by now.

A worklog can come after the look that saw it on an invoice, or after the connection has left the organisation
where that invoice stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from msp_xero.billing.strangers import billed_before, first_of, is_billed_by, unknown_to_us, waiting_under
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger import foreign, pushing
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.decisions import Refusal
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.rebuilding import IN_DOUBT
from msp_xero.ledger.withdrawing import withdraw_billed

if TYPE_CHECKING:
    from collections.abc import Collection

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.ledger.foreign import Line, Told
    from msp_xero.ledger.pushing import Waiting


class Remembered(NamedTuple):
    """What earlier looks tell about worklogs that wait by now.

    Attributes:
        before: numbers of invoices from before the connection started over that bill them.
        strangers: numbers of invoices of strangers that do.
        moved: numbers of invoices of this ledger onto which a person put lines of them.
        in_doubt: ids of invoices of which no more than a worklog's id tells, with their numbers.
        worklogs: ``(module, worklog id)`` of those that one of these invoices bills, or may.
        left: numbers of invoices in organisations that the connection has left, which bill them, or of which
            no more than an id tells: nobody can look there again.
        worklogs_left: ``(module, worklog id)`` of those that one of the latter bills, or may.
    """

    before: list[str]
    strangers: list[str]
    moved: list[str]
    in_doubt: dict[str, str]
    worklogs: set[tuple[str, str]]
    left: list[str]
    worklogs_left: set[tuple[str, str]]

    @property
    def here(self) -> list[str]:
        """Numbers of invoices in the present organisation that bill what waits, or may."""
        return list(dict.fromkeys([*self.strangers, *self.before, *self.moved, *self.in_doubt.values()]))


def remembered(
    ledger: Ledger, *, without: Collection[str] = (), states: Collection[str] = foreign.WAITING
) -> Remembered:
    """Compare what earlier looks told with what waits by now, but for what the look-up is still to judge.

    Args:
        ledger: the open ledger.
        without: ids of invoices that were looked at again since.
        states: of worklogs that wait.
    """
    told = [line for line in foreign.told_of_what_waits(ledger, states) if line.invoice_id not in without]
    left = foreign.told_where_it_left(ledger, states)
    waiting = waiting_under(ledger, [*told, *left], states)
    memory = Remembered([], [], [], {}, set(), [], set())
    invoice_ids = {line.invoice_id for line in told}
    on_record = pushing.on_record(ledger, invoice_ids)
    still_to_judge = _left_to_the_look_up(ledger, invoice_ids - on_record)
    # A person may have put these together while an answer was awaited: the look-up comes first.
    under_way = set[tuple[str, str]]().union(*pushing.unsettled_keys(ledger)) if on_record else ()
    for line in told:
        if line.invoice_id in still_to_judge:
            continue
        is_on_record = line.invoice_id in on_record
        ones = [
            one for one in waiting.get(line.worklog_id, ()) if _may_bill(line, one, is_on_record=is_on_record)
        ]
        if is_on_record:
            ones = [one for one in ones if (one.module, one.worklog_id) not in under_way]
            memory.moved.extend(line.number for _ in ones)
        elif any(is_billed_by(line, one) for one in ones):
            (memory.before if line.is_ours else memory.strangers).append(line.number)
        elif ones:
            memory.in_doubt[line.invoice_id] = line.number
        memory.worklogs.update((one.module, one.worklog_id) for one in ones)
    for line in left:
        if ones := [one for one in waiting.get(line.worklog_id, ()) if _may_have_billed(line, one)]:
            memory.left.append(line.number)
            memory.worklogs_left.update((one.module, one.worklog_id) for one in ones)
    return memory


def _may_bill(line: Told, one: Waiting, *, is_on_record: bool = False) -> bool:
    """Tell whether a line here bills this worklog of its id, or may as far as nobody has told them apart.

    What a person put on an invoice of this ledger was on another one of its: an id is enough, whatever module
    or text the worklog has by now.
    """
    if is_on_record:
        return line.line not in one.apart
    return is_billed_by(line, one) or not (line.is_ours or line.is_tried or line.line in one.apart)


def _may_have_billed(line: Told, one: Waiting) -> bool:
    """Tell it of a line where the connection has left: there a person's word counts more than the very text.

    They also say it of an invoice that was voided there, because nobody can look again.
    """
    return line.line not in one.apart and _may_bill(line, one)


def _left_to_the_look_up(ledger: Ledger, invoice_ids: Collection[str]) -> set[str]:
    """Return those of these remembered invoices that an unsettled invoice of ours explains by its lines."""
    unsettled = pushing.unsettled_keys(ledger) if invoice_ids else []
    if not unsettled:
        return set()
    remembered_keys = foreign.keys_of(ledger, invoice_ids).items()
    return {invoice_id for invoice_id, keys in remembered_keys if any(map(keys.issubset, unsettled))}


def stop_if_billed_elsewhere(ledger: Ledger) -> None:
    """Stop planning when an invoice that the look-up did not explain bills what waits.

    Raises:
        BilledElsewhere: there is one.
        LedgerError: a worklog that came after the last look may be on one; the next look tells.
    """
    memory = remembered(ledger)
    if memory.strangers:
        raise unknown_to_us(list(dict.fromkeys(memory.strangers)))
    if memory.before:
        raise billed_before(list(dict.fromkeys(memory.before)))
    if memory.moved:
        raise put_on_ours(memory)
    if memory.left:
        # Here and not by the look: that says what the present organisation has.
        raise _billed_where_it_left(memory)
    if memory.in_doubt:
        raise LedgerError(
            "Worklogs came in the middle of this run that may be on an invoice in Xero already. Nothing more "
            "was billed; run again"
        )


def put_on_ours(memory: Remembered) -> BilledElsewhere:
    """Return the error that stops billing what a person has put on another invoice of this ledger."""
    numbers = list(dict.fromkeys(memory.moved))
    return BilledElsewhere(
        f"Xero has {len(numbers)} invoice(s) of this ledger ({first_of(numbers)}) onto which a person has "
        f"put lines of worklogs that wait here ({_ids(memory.worklogs)}). Nothing was billed, because "
        "customers would get them twice. Where the lines are to stay there, exclude those worklogs "
        "(`msp-xero worklogs exclude ID`); else take the lines off that invoice. Only where one is for "
        "other work of the same id, tell them apart (`msp-xero rebuild --another ID`). Then run again"
    )


def _billed_where_it_left(memory: Remembered) -> BilledElsewhere:
    """Return the error that stops billing what invoices bill, or may, in an organisation that was left."""
    numbers = list(dict.fromkeys(memory.left))
    return BilledElsewhere(
        f"Nothing was billed: in an organisation that this connection has left, {len(numbers)} invoice(s) "
        f"that this ledger does not know ({first_of(numbers)}) bill, or may bill, worklogs that wait here "
        f"({_ids(memory.worklogs_left)}). Exclude those worklogs (`msp-xero worklogs exclude ID`), or, where "
        "the invoice was voided there or is for other work, tell them apart (`msp-xero rebuild --another "
        "ID`), and run again"
    )


def withdraw_what_is_billed(ledger: Ledger, fence: Fence, *, run_id: int | None = None) -> None:
    """Take back what is planned and may be billed by all these invoices, so that a person can decide."""
    withdraw_billed(ledger, fence, remembered(ledger).worklogs, run_id=run_id)


def refuse_to_leave(ledger: Ledger, fence: Fence | None = None, *, run_id: int | None = None) -> None:
    """Refuse to start over with another organisation while invoices here may bill what waits.

    The new one would be billed for it too. What is under way is for :mod:`msp_xero.ledger.survey` to refuse.

    Args:
        ledger: the open ledger.
        fence: proof of the settle lock: then what is planned is taken back first, so that a person can decide
            about its worklogs.
        run_id: for the audit log.

    Raises:
        LedgerError: there are some.
    """
    if fence is not None and remembered(ledger).here:
        withdraw_what_is_billed(ledger, fence, run_id=run_id)
    memory = remembered(ledger, states=("open", "held"))
    numbers = memory.here
    if not numbers:
        return
    raise LedgerError(
        f"nothing was started over: the present organisation has {len(numbers)} invoice(s), or lines on "
        f"ours, that this ledger does not know ({first_of(numbers)}) and that may bill worklogs that wait "
        f"here ({_ids(memory.worklogs)}), which the new one would be billed for too. With the credentials of "
        "the present one run `msp-xero reconcile` and do what it says; or exclude those worklogs (`msp-xero "
        "worklogs exclude ID`), or, where the invoice has another text, tell them apart (`msp-xero rebuild "
        "--another ID`)"
    )


def tell_apart(ledger: Ledger, row: int) -> str:
    """Record that a worklog that waits is another one than what is billed under its id; it is billed next.

    What is billed may be on an invoice of this ledger: then the worklog is held for that doubt, and only that
    is answered. Else it is on one that this ledger does not know, whose lines it remembers; what comes later
    is asked about again, and so is another worklog of the same id.

    Args:
        ledger: the open ledger.
        row: the worklog's row in the ledger.

    Returns:
        The state it is in now: ``open``, or ``held`` where something else holds it.

    Raises:
        Refusal: it does not wait, or nothing is known of its id.
    """
    with ledger.write() as session:
        worklog = session.scalar(
            select(Worklog).where(Worklog.id == row, Worklog.connection_id == ledger.connection_id)
        )
        if worklog is None or worklog.state not in ("open", "held"):
            raise Refusal(
                "only a worklog that waits can be told apart: one that is open or held; "
                f"`msp-xero worklogs list --reason {IN_DOUBT}` shows those that are held for that doubt"
            )
        before = worklog.state
        if worklog.reason_code == IN_DOUBT:
            # Only what the transform steps found billable comes into doubt; all else was left as it was.
            worklog.state, worklog.decision = "open", "bill"
            worklog.reason_code = worklog.reason = None
            worklog.told_apart, worklog.line_digest = True, ""
        elif lines := _shown_for(ledger, worklog):
            foreign.tell_apart(session, row, lines)
        else:
            raise Refusal(
                f"nothing else is known to be billed under the id {worklog.worklog_id}: there is nothing to "
                "tell apart"
            )
        told = {"from": before, "state": worklog.state}
        record(session, ledger, [Change("worklog", row, "told_apart", told)])
        return worklog.state


def _shown_for(ledger: Ledger, worklog: Worklog) -> set[Line]:
    """Return the lines that a run has stopped for because of this worklog, and nobody has told apart from it.

    A run names strangers' invoices first, then those from before the connection started over, then its own
    ones, and where there are none here those of organisations that were left: nobody was shown the others.

    Raises:
        Refusal: it stops for a line of the very text, whatever a person says.
    """
    here, left = (
        [line for line in told if line.worklog_id == worklog.worklog_id]
        for told in (foreign.told_of_what_waits(ledger), foreign.told_where_it_left(ledger))
    )
    # One for each contact that its account is linked to, in this organisation and those that were left.
    ones = [one for one in pushing.waiting_worklogs(ledger, [worklog.worklog_id]) if one.row == worklog.id]
    on_record = pushing.on_record(ledger, {line.invoice_id for line in here})
    stops = [
        line
        for line in here
        if any(_may_bill(line, one, is_on_record=line.invoice_id in on_record) for one in ones)
    ]
    strangers = [line for line in stops if line.invoice_id not in on_record and not line.is_ours]
    before = [line for line in stops if line.invoice_id not in on_record and line.is_ours]
    if shown := strangers or before or stops:
        if lines := {line.line for line in shown}.difference(*(one.apart for one in ones)):
            return lines
        raise Refusal(
            f"the worklog {worklog.worklog_id} was told apart already, and stands with its very text on "
            f"{first_of(sorted({line.number for line in shown}))}: void that, or exclude the worklog "
            "(`msp-xero worklogs exclude`)"
        )
    return {line.line for line in left for one in ones if _may_have_billed(line, one)}


def _ids(worklogs: Collection[tuple[str, str]]) -> str:
    return first_of(sorted({worklog_id for _, worklog_id in worklogs}))

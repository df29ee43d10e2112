"""Coming to rest after all trouble: what can be repaired is, and the program runs until nothing happens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from torture.invariants import check_at_rest, ledger_digest
from torture.world import Surprise

if TYPE_CHECKING:
    from torture.simulate import Month

MOST_QUIET_RUNS: Final = 8


def come_to_rest(month: Month) -> None:
    """Repair everything, run until nothing happens any more, and check that all promises hold."""
    month.world.time.skew = timedelta(0)
    month.let_pass(49)
    month.books.check()
    month.people.repair_everything()
    month.people.free_numbers()
    month.books.look()
    before: tuple[Any, int] | None = _moved(month)
    # Who rebuilt a ledger was told to have everything delivered again.
    full_refresh, full_refresh_next = month.tally.rebuilds > 0, month.script.seed % 4 == 0
    for _ in range(MOST_QUIET_RUNS):
        for job in month.jobs:
            ended = month.world.run_job(month.world.here, job, full_refresh=full_refresh)
            month.has_ended(f"quiet {job}", ended)
            if ended.how != "done":
                break
        if ended.how != "done":
            full_refresh = _answer(month, ended.error or ended.how)
            before = None
        else:
            full_refresh = False
            after = _moved(month)
            if after == before:
                if not full_refresh_next:
                    break
                # The proof: even everything read anew changes nothing.
                full_refresh, full_refresh_next = True, False
            before = after
        month.let_pass(25)
    else:
        raise Surprise("never stuck", "it does not come to rest")
    check_at_rest(month.world, month.people, jobs=month.jobs, rebuilt=month.tally.rebuilds > 0)


def _moved(month: Month) -> tuple[list[tuple[Any, ...]], int]:
    """Return what a run that does nothing leaves as it is: the ledger, and the count of all writes."""
    writes = sum(one.log.writes() for one in (*month.world.organisations, month.world.sdp))
    return ledger_digest(month.world.here), writes


def _answer(month: Month, error: str) -> bool:
    """Do what the error line tells a person to do; return whether the next run is a full refresh.

    A ledger that is behind, of before a move, or that does not know invoices is only believed of one that
    somebody has put back, lost, or set beside another one.
    """
    if _decided(month, error):
        return False
    if "--full-refresh" in error and month.world.is_disturbed:
        return True
    is_wrong = "does not know" in error or "`msp-xero reinitialise`" in error
    if is_wrong and month.world.is_disturbed:
        month.rebuild({})
        return True
    if "Xero already has" in error:
        month.people.free_numbers()  # a person took that of one that was planned and not sent yet
        month.books.look()
    if "run again" in error:
        return False
    raise Surprise("never stuck", f"a quiet run fails: {error}")


def _decided(month: Month, error: str) -> bool:
    """Decide about what an error line names; return whether there was something to decide."""
    if "although it had refused it" in error:
        for invoice in month.people.our_invoices():
            if invoice.number in error and invoice.status not in {"VOIDED", "DELETED"}:
                month.people.withdraw(invoice)
        month.books.look()
        return True
    if "that this connection has left" in error:
        month.people.exclude_what_is_billed_there(error)
        month.story.append("excluded what is billed there")
        return True
    if "onto which a person has put" in error:
        month.people.exclude_what_is_billed_there(error)
        month.story.append("excluded what was put on another invoice")
        return True
    is_of_copies = "does not know" in error or "before this connection started over" in error
    if is_of_copies and month.people.withdraw_copies(error):
        month.books.look()
        month.story.append("copies withdrawn")
        return True
    if "before this connection started over" in error and month.people.has_added_to(error):
        month.people.exclude_what_is_billed_there(error)
        month.story.append("excluded what was put on an invoice of before")
        return True
    return False

"""Sending the planned batches: commit ``sending``, send the stored bytes, record each outcome."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero.errors import (
    AccessRefused,
    DayLimitReached,
    Missing,
    MspXeroError,
    Rejected,
    RemoteError,
    Throttled,
    Unavailable,
)
from msp_xero.ledger import pushing
from msp_xero.ledger.pushing import Created, Outcome, Refused, StoredBatch
from msp_xero.xero.errors import KeyConflict, messages_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

_ZERO_ID = "00000000-0000-0000-0000-000000000000"
_NUMBER_TAKEN = "must be unique"

# Xero's own words, matched loosely because the text may vary (xero-api §4.6).
_CODES = (
    ("lock date", "PERIOD_LOCKED"),
    ("archived contact", "CONTACT_ARCHIVED"),
    ("contact is archived", "CONTACT_ARCHIVED"),
    ("not subscribed to currency", "CURRENCY_NOT_ENABLED"),
    ("taxtype", "TAX_TYPE_INVALID"),
    ("account code", "ACCOUNT_CODE_INVALID"),
)


@dataclass(slots=True)
class Pushed:
    """What one push did, and why it stopped early, if it did."""

    outcome: Outcome = field(default_factory=Outcome)
    stopped_by: MspXeroError | None = None
    interrupted: bool = False
    unknown_in_a_row: int = 0

    @property
    def goes_on(self) -> bool:
        """False after two unknown outcomes in a row: look them up before sending more into the dark."""
        return self.stopped_by is None and self.unknown_in_a_row < 2


def push(  # noqa: PLR0913 - a push needs all of these
    ledger: Ledger,
    client: XeroClient,
    fence: Fence,
    *,
    concurrency: int,
    stop_requested: Callable[[], bool],
    progress: Callable[[int, int], None],
    run_id: int | None = None,
) -> Pushed:
    """Send every planned batch once.

    A batch whose outcome is unknown is left for the look-up and does not stop the others. A system
    that cannot be reached, a refused access and the day's limit end the push; what was not sent
    stays planned and goes out with the same bytes next time.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        fence: proof of the settle lock.
        concurrency: calls side by side.
        stop_requested: asked before each batch; True ends the push after the calls under way.
        progress: told after each batch how many of how many are through.
        run_id: for the audit log.
    """
    result = Pushed()
    waiting = pushing.planned_batches(ledger)
    todo = list(reversed(waiting))
    under_way: dict[Future[list[dict[str, Any]]], StoredBatch] = {}
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        while todo or under_way:
            while todo and len(under_way) < concurrency and result.goes_on:
                if stop_requested():
                    result.interrupted = True
                    todo.clear()
                    break
                batch = pushing.load_batch(ledger, todo.pop())
                pushing.mark_sending(ledger, fence, batch.batch_id)
                call = pool.submit(client.put_invoices, batch.body, idempotency_key=batch.idempotency_key)
                under_way[call] = batch
            if not under_way:
                break
            for call in wait(under_way, return_when=FIRST_COMPLETED).done:
                _record(ledger, fence, under_way.pop(call), call, result, run_id)
                progress(len(waiting) - len(todo) - len(under_way), len(waiting))
    return result


def _record(  # noqa: PLR0913, PLR0917 - one step of push
    ledger: Ledger,
    fence: Fence,
    batch: StoredBatch,
    call: Future[list[dict[str, Any]]],
    result: Pushed,
    run_id: int | None,
) -> None:
    """Store the outcome of one call by the name of its error."""
    ids = list(batch.invoice_ids.values())
    try:
        outcome = outcomes(call.result(), batch.invoice_ids)
    except (Throttled, DayLimitReached, AccessRefused, Missing) as error:
        pushing.mark_not_sent(ledger, fence, batch.batch_id)
        result.stopped_by = error
        return
    except KeyConflict:
        outcome = Outcome(unknown=ids)
    except Rejected as error:
        outcome = _refused_whole(error, ids)
    except Unavailable as error:
        if not error.sent:
            pushing.mark_not_sent(ledger, fence, batch.batch_id)
            result.stopped_by = error
            return
        outcome = Outcome(unknown=ids)
    pushing.record_outcome(ledger, fence, outcome, run_id=run_id)
    result.outcome.add(outcome)
    result.unknown_in_a_row = result.unknown_in_a_row + 1 if len(outcome.unknown) == len(ids) else 0


def _refused_whole(error: Rejected, ids: Sequence[int]) -> Outcome:
    """A whole call that was refused: blame the invoice if it was alone, else look up and send one by one."""
    words = "; ".join(error.messages) or error.problem
    if len(ids) == 1 and _NUMBER_TAKEN not in words.casefold():
        return Outcome(refused=[Refused(ids[0], reason_code(words), words)])
    return Outcome(unknown=list(ids))


def outcomes(elements: Sequence[Mapping[str, Any]], invoice_ids: Mapping[str, int]) -> Outcome:
    """Match Xero's elements to our invoices by number and read each one's own outcome.

    HTTP 200 is not success here (xero-api §0 point 6). An invoice without an element, with a number
    that is taken, or refused under an id of Xero's is unknown: it may be there.
    """
    outcome = Outcome()
    answers: dict[str, list[Mapping[str, Any]]] = {}
    for element in elements:
        answers.setdefault(str(element.get("InvoiceNumber", "")).casefold(), []).append(element)
    for number, invoice_id in invoice_ids.items():
        told = answers.get(number.casefold(), [])
        saved = next((element for element in told if not has_failed(element)), None)
        words = "; ".join(messages_in(told)) or "Xero refused the invoice without saying why"
        if saved is not None:
            outcome.created.append(created(invoice_id, saved))
        elif not told or _NUMBER_TAKEN in words.casefold() or any(map(_has_id, told)):
            outcome.unknown.append(invoice_id)
        else:
            outcome.refused.append(Refused(invoice_id, reason_code(words), words))
    return outcome


def has_failed(element: Mapping[str, Any]) -> bool:
    """Tell whether an element of the answer was not saved."""
    return (
        element.get("StatusAttributeString") == "ERROR"
        or element.get("HasErrors") is True
        or element.get("HasValidationErrors") is True
        or not _has_id(element)
    )


def _has_id(element: Mapping[str, Any]) -> bool:
    """Tell whether an element has an id of Xero's, which only what is on record has."""
    return (element.get("InvoiceID") or _ZERO_ID) != _ZERO_ID


def created(invoice_id: int, element: Mapping[str, Any], note: str | None = None) -> Created:
    """Return the record of an invoice that Xero holds."""
    total = element.get("Total")
    return Created(
        invoice_id,
        str(element["InvoiceID"]),
        str(element.get("Status", "")),
        None if total is None else Decimal(total),
        note,
    )


def reason_code(words: str) -> str:
    """Return the stable code that fits Xero's words best."""
    folded = words.casefold()
    return next((code for part, code in _CODES if part in folded), "REJECTED_BY_XERO")


def raise_if_stopped(pushed: Pushed) -> None:
    """End the run with the error that stopped the push; the day's limit is no error."""
    error = pushed.stopped_by
    if isinstance(error, RemoteError) and not isinstance(error, DayLimitReached):
        raise error

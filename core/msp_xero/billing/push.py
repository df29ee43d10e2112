"""Sending the planned batches: commit ``sending``, send the stored bytes, record each outcome.

**The gate.** Two ledgers can bill one organisation by mistake at the same moment: two environments on one
connection, a copy beside the original. Each settle looks for invoices of others when it begins, but two
that look at the same time both see nothing. Xero's one atomic primitive is the invoice number, and ledgers
of the same history have the same next number. So the first invoice of a settle goes out alone, and nothing
follows before Xero has clearly created it: of two such ledgers, only one gets past. An invoice, not a
batch: of a batch whose first number is taken Xero would still create the others (xero-api §4.6). A number
that Xero calls taken though we never sent it before ends the sending, at the gate and after it; the settle
then finds out by whom (decision 0021).
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero.billing.document import worklog_of
from msp_xero.billing.plan import batch_body
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
from msp_xero.ledger.outcomes import Created, LineFault, Outcome, Refused, record_outcome
from msp_xero.ledger.pushing import BatchPart, StoredBatch
from msp_xero.xero import wire
from msp_xero.xero.errors import Blocked, FormRefused, KeyConflict, messages_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from msp_xero.ledger import Fence, Ledger
    from msp_xero.xero.client import XeroClient

_MOST_ASIDE = 5
"""Invoices set aside after which everything counts as answered so, if nothing was made meanwhile."""

_REFUSED_TWICE = {
    Missing: "Xero answered twice with 404: something that the invoice names is not there.",
    Blocked: "Something between here and Xero, such as a proxy or a firewall, answered twice with 403 while "
    "other invoices went through: it refuses what a line of this one says. Change the text in ServiceDesk "
    "Plus, or ask whoever runs it to let it through.",
}

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
    """What one push did, and why it stopped early, if it did.

    ``cleared``: the gate is passed, Xero has created an invoice of this settle. ``taken``: invoices whose
    number Xero called taken when they were sent for the very first time, so it was not us.
    """

    outcome: Outcome = field(default_factory=Outcome)
    stopped_by: MspXeroError | None = None
    interrupted: bool = False
    unknown_in_a_row: int = 0
    cleared: bool = False
    taken: set[int] = field(default_factory=set)

    @property
    def goes_on(self) -> bool:
        """False when to look before sending more into the dark: after two unknown outcomes in a row.

        At the gate already after one, and anywhere after a number that somebody else has.
        """
        most = 2 if self.cleared else 1
        return self.stopped_by is None and not self.taken and self.unknown_in_a_row < most


def push(  # noqa: PLR0913 - a push needs all of these
    ledger: Ledger,
    client: XeroClient,
    fence: Fence,
    *,
    concurrency: int,
    stop_requested: Callable[[], bool],
    progress: Callable[[int, int], None],
    cleared: bool = False,
    without: Collection[int] = (),
    run_id: int | None = None,
) -> Pushed:
    """Send every planned batch once, the first invoice of a settle alone.

    A batch whose outcome is unknown is left for the look-up and does not stop the others. A call that Xero
    refuses as a whole, or answers with 404, or that something on the way refuses for what it says, is halved
    until the invoice that spoils it is alone. A system that cannot be reached, a refused access, calls that
    are refused whatever they say, and the day's limit end the push; what was not sent stays
    planned and goes out with the same bytes next time.

    Args:
        ledger: the open ledger.
        client: the Xero client.
        fence: proof of the settle lock.
        concurrency: calls side by side.
        stop_requested: asked before each batch; True ends the push after the calls under way.
        progress: told after each batch how many of how many are through.
        cleared: whether an earlier push of this settle has passed the gate.
        without: ids of invoices whose batches are left for another time.
        run_id: for the audit log.
    """
    waiting = pushing.planned_batches(ledger, without=without)
    sending = _Sending(ledger, client, fence, run_id, deque(waiting), Pushed(cleared=cleared))
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        while True:
            while sending.may_send(concurrency):
                if stop_requested():
                    sending.result.interrupted = True
                    sending.todo.clear()
                    break
                sending.send_next(pool)
            if not sending.under_way:
                return sending.end()
            for call in wait(sending.under_way, return_when=FIRST_COMPLETED).done:
                sending.finish(call)
                progress(sending.done, sending.done + len(sending.under_way) + len(sending.todo))


@dataclass(slots=True)
class _Sending:
    """One push under way."""

    ledger: Ledger
    client: XeroClient
    fence: Fence
    run_id: int | None
    todo: deque[int]
    result: Pushed
    done: int = 0
    aside: dict[int, RemoteError] = field(default_factory=dict)
    tried_again: set[int] = field(default_factory=set)
    sent: int = 0
    departures: dict[int, int] = field(default_factory=dict)
    """In which order the calls left, by their batch; ``last_made`` is the last one that made an invoice."""
    last_made: int = 0
    under_way: dict[Future[list[dict[str, Any]]], StoredBatch] = field(default_factory=dict)

    def may_send(self, concurrency: int) -> bool:
        """Tell whether a call may leave now: at the gate only one."""
        most = concurrency if self.result.cleared else 1
        return bool(self.todo) and len(self.under_way) < most and self.result.goes_on

    def send_next(self, pool: ThreadPoolExecutor) -> None:
        """Commit ``sending`` and let the next batch leave; at the gate, its first invoice alone."""
        batch = pushing.load_batch(self.ledger, self.todo.popleft())
        if not self.result.cleared and len(batch.invoice_ids) > 1:
            self._split(batch, 1)
            batch = pushing.load_batch(self.ledger, self.todo.popleft())
        key = pushing.mark_sending(self.ledger, self.fence, batch.batch_id)
        self.sent += 1
        self.departures[batch.batch_id] = self.sent
        self.under_way[pool.submit(self.client.put_invoices, batch.body, idempotency_key=key)] = batch

    def finish(self, call: Future[list[dict[str, Any]]]) -> None:
        """Store the outcome of one call by the name of its error."""
        batch = self.under_way.pop(call)
        ids = list(batch.invoice_ids.values())
        taken: set[int] = set()
        try:
            elements = call.result()
            outcome, taken = outcomes(elements, batch.invoice_ids), numbers_taken(elements, batch.invoice_ids)
        except (Missing, Blocked) as error:
            return self._set_aside(batch, error)
        except (Throttled, DayLimitReached, AccessRefused, FormRefused) as error:
            return self._stop(batch, error)
        except KeyConflict:
            outcome = Outcome(unknown=ids)
        except Rejected as error:
            if len(ids) > 1:
                return self._split(batch, len(ids) // 2)
            words = "; ".join(error.messages) or error.problem
            if _NUMBER_TAKEN in words.casefold():
                outcome, taken = Outcome(unknown=ids), set(ids)
            else:
                outcome = Outcome(refused=[Refused(ids[0], reason_code(words), words)])
        except Unavailable as error:
            if not error.sent:
                return self._stop(batch, error)
            outcome = Outcome(unknown=ids)
        self._record(batch, outcome, taken)
        return None

    def _stop(self, batch: StoredBatch, error: RemoteError) -> None:
        """End the push: nothing of this batch was processed, and nothing of the next one would be."""
        pushing.mark_not_sent(self.ledger, self.fence, batch.batch_id)
        self.result.stopped_by = error

    def _set_aside(self, batch: StoredBatch, error: Missing | Blocked) -> None:
        """Leave for later what is answered 404, or 403 by somebody else than Xero.

        It may be an id in it that Xero does not know, or a text that a firewall does not let through: that is
        answered so for the whole call (xero-api §8), and so is everything while a gateway has lost its way.
        It is tried once more when something that left later was made, and refused if that ends so too.
        """
        if len(batch.invoice_ids) > 1:
            return self._split(batch, len(batch.invoice_ids) // 2)
        ((number, invoice_id),) = batch.invoice_ids.items()
        if batch.batch_id in self.tried_again:
            words = _REFUSED_TWICE[type(error)]
            self._record(batch, Outcome(refused=[Refused(invoice_id, reason_code(words), words)]), set())
            return None
        pushing.mark_not_sent(self.ledger, self.fence, batch.batch_id)
        told = self.aside[batch.batch_id] = _about(error, number)
        self._try_again()
        if len(self.aside) > _MOST_ASIDE:
            self.result.stopped_by = told
        return None

    def _try_again(self) -> None:
        """Send once more what was set aside before something was made: the address is right."""
        for batch_id in [one for one in self.aside if self.departures[one] < self.last_made]:
            del self.aside[batch_id]
            self.tried_again.add(batch_id)
            self.todo.append(batch_id)

    def end(self) -> Pushed:
        """Return what the push did; what is still set aside ends it with an error, where nothing else did."""
        if self.aside and self.result.goes_on and not self.result.interrupted:
            self.result.stopped_by = next(iter(self.aside.values()))
        return self.result

    def _record(self, batch: StoredBatch, outcome: Outcome, taken: set[int]) -> None:
        result = self.result
        record_outcome(self.ledger, self.fence, outcome, run_id=self.run_id)
        result.outcome.add(outcome)
        result.cleared = result.cleared or bool(outcome.created)
        if batch.attempts == 0:
            # Of a second attempt, the first one may have arrived late: then it was us.
            result.taken |= taken
        is_dark = len(outcome.unknown) == len(batch.invoice_ids)
        result.unknown_in_a_row = result.unknown_in_a_row + 1 if is_dark else 0
        self.done += 1
        if outcome.created:
            self.last_made = max(self.last_made, self.departures[batch.batch_id])
            self._try_again()

    def _split(self, batch: StoredBatch, first: int) -> None:
        """Store a batch of which nothing was processed as two, the ``first`` invoices and the rest."""
        elements = wire.decode(batch.body)["Invoices"]
        parts = []
        for chosen in (elements[:first], elements[first:]):
            body = batch_body([wire.canonical(element) for element in chosen])
            ids = [batch.invoice_ids[element["InvoiceNumber"]] for element in chosen]
            parts.append(BatchPart(invoice_ids=ids, body=body))
        self.todo.extendleft(reversed(pushing.split_batch(self.ledger, self.fence, batch, parts)))


def _about(error: Missing | Blocked, number: str) -> RemoteError:
    """Return what an invoice was set aside for, as an error that names it."""
    where: dict[str, Any] = {"system": error.system, "address": error.address, "status": error.status}
    if isinstance(error, Blocked):
        return Blocked(f"{error.problem}, with invoice {number}", advice=error.advice, **where)
    return Missing(
        f"something that invoice {number} names is not there",
        advice=f"`msp-xero invoices show {number}` names its contact and items; look at them in Xero",
        **where,
    )


def outcomes(elements: Sequence[Mapping[str, Any]], invoice_ids: Mapping[str, int]) -> Outcome:
    """Match Xero's elements to our invoices by number and read each one's own outcome.

    HTTP 200 is not success here (xero-api §0 point 6). An invoice without an element, with a number
    that is taken, or refused under an id of Xero's is unknown: it may be there.
    """
    outcome = Outcome()
    for invoice_id, told in _told(elements, invoice_ids).items():
        saved = next((element for element in told if not has_failed(element)), None)
        words = "; ".join(messages_in(told)) or "Xero refused the invoice without saying why"
        if saved is not None:
            outcome.created.append(created(invoice_id, saved, _warned(saved)))
        elif not told or _NUMBER_TAKEN in words.casefold() or any(map(_has_id, told)):
            outcome.unknown.append(invoice_id)
        else:
            outcome.refused.append(Refused(invoice_id, reason_code(words), words, faults(told)))
    return outcome


def _warned(element: Mapping[str, Any]) -> str | None:
    """Return what Xero warns of though it has made the invoice, such as an account code that it took away."""
    told = [str(one.get("Message")) for one in element.get("Warnings") or [] if one.get("Message")]
    return f"Xero warns: {'; '.join(told)}" if told else None


def numbers_taken(elements: Sequence[Mapping[str, Any]], invoice_ids: Mapping[str, int]) -> set[int]:
    """Return the invoices of which Xero says that their number is taken, and that it did not create."""
    return {
        invoice_id
        for invoice_id, told in _told(elements, invoice_ids).items()
        if all(map(has_failed, told)) and any(_NUMBER_TAKEN in text.casefold() for text in messages_in(told))
    }


def _told(
    elements: Sequence[Mapping[str, Any]], invoice_ids: Mapping[str, int]
) -> dict[int, list[Mapping[str, Any]]]:
    """Return what Xero said of each invoice, by our id: numbers are compared without regard to case."""
    by_number: dict[str, list[Mapping[str, Any]]] = {}
    for element in elements:
        by_number.setdefault(str(element.get("InvoiceNumber", "")).casefold(), []).append(element)
    return {invoice_id: by_number.get(number.casefold(), []) for number, invoice_id in invoice_ids.items()}


def faults(told: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], LineFault]:
    """Return the lines that Xero blames, by ``(module, worklog id)``.

    Messages can sit at single lines (xero-api §4.6), which are recognised by the marker at the end of
    their descriptions. Empty when something is wrong beside the lines, or with a line that is not known.
    """
    blamed: dict[tuple[str, str], LineFault] = {}
    explained: set[str] = set()
    for line in (line for element in told for line in element.get("LineItems") or []):
        words = messages_in(line)
        worklog = worklog_of(line.get("Description"))
        if words and worklog is not None:
            blamed[worklog] = LineFault(reason_code("; ".join(words)), "; ".join(words))
            explained.update(words)
    return blamed if explained.issuperset(messages_in(told)) else {}


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

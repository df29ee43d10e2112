"""What one settle did: figures for the record of runs, one sentence for the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, select

from msp_xero.billing.arithmetic import ZERO
from msp_xero.billing.plan import HeldSum
from msp_xero.ledger import pushing, second_look
from msp_xero.ledger.models import Invoice, Worklog
from msp_xero.ledger.outcomes import Outcome
from msp_xero.lots import lots

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal

    from msp_xero.billing.plan import Plan
    from msp_xero.errors import DayLimitReached
    from msp_xero.ledger import Ledger

_NAMED: Final = 5
"""Most invoices that a sentence names."""


@dataclass(slots=True)
class Settled:
    """What one settle did. Money is with tax where it says total.

    ``held`` is what this settle was asked for: all accounts, or some, where ``is_of_some`` says so;
    ``held_in_all`` counts all of them, by reason. ``totals`` are of the invoices that were made, by their
    currency: what was planned earlier may be in another one than ``currency``, in which is planned now.
    ``differing`` are the numbers of those that are not in Xero as they were sent, and of all that count as
    billing what is not there.
    """

    currency: str = ""
    invoices: int = 0
    worklogs: int = 0
    minutes: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    rejected: int = 0
    unknown: int = 0
    unsent: int = 0
    unsent_worklogs: int = 0
    unsent_total: Decimal = ZERO
    unsent_currency: str = ""
    unanswered: int = 0
    unplanned: int = 0
    refreshed: int = 0
    held: dict[str, HeldSum] = field(default_factory=dict)
    held_in_all: dict[str, int] = field(default_factory=dict)
    is_of_some: bool = False
    excluded: int = 0
    would_be: Plan | None = None
    calls: dict[str, int] = field(default_factory=dict)
    day_limit: DayLimitReached | None = None
    interrupted: bool = False
    made: Outcome = field(default_factory=Outcome)

    @property
    def needs_person(self) -> bool:
        """Whether something waits for a person."""
        return bool(self.held or self.rejected or self.unknown or self.unanswered or self.differing)

    @property
    def outcome(self) -> str:
        """How the run ended, as the record of runs says it."""
        if self.day_limit is not None or self.interrupted:
            return "stopped"
        return "needs_person" if self.needs_person else "done"

    def counts(self) -> dict[str, Any]:
        """Return the figures for the record of runs."""
        return {
            "invoices": self.invoices,
            "worklogs": self.worklogs,
            "minutes": self.minutes,
            **self._money(),
            "rejected": self.rejected,
            "unknown": self.unknown,
            "unsent": self.unsent,
            "unplanned": self.unplanned,
            "held": dict(sorted(self.held_in_all.items())),
            "excluded": self.excluded,
            "differing": len(self.differing),
        }

    def _money(self) -> dict[str, Any]:
        """Return the total of what was made, and its currency; of several currencies each total."""
        if len(self.totals) > 1:
            return {"totals": dict(sorted(self.totals.items()))}
        [(currency, total)] = self.totals.items() or [(self.currency, ZERO)]
        return {"total": total, "currency": currency}

    def _deed(self) -> str:
        """Say what was billed, or would be."""
        if self.would_be is not None:
            total = sum((draft.total for draft in self.would_be.invoices), ZERO)
            count = _counted(len(self.would_be.invoices), "invoice")
            return f"push is off: {count} over {self.currency} {total:,.2f} would be made, none was sent"
        if not self.invoices:
            return "nothing new to bill"
        worklogs, invoices = _counted(self.worklogs, "worklog"), _counted(self.invoices, "invoice")
        money = " and ".join(f"{currency} {total:,.2f}" for currency, total in sorted(self.totals.items()))
        return f"{worklogs} invoiced on {invoices} ({money})"

    def sentence(self) -> str:
        """Return the one summary line of a run."""
        held = sum(held.lines for held in self.held.values())
        calls = sum(self.calls.values())
        here, everywhere = (" for these accounts", " of all accounts") if self.is_of_some else ("", "")
        parts = [
            self._deed(),
            f"{held:,} held{here}" + (": see msp-xero worklogs list --state held" if held else ""),
        ]
        if self.rejected:
            parts.append(f"{_counted(self.rejected, 'invoice')} refused by Xero")
        if self.unknown:
            parts.append(
                f"{_counted(self.unknown, 'invoice')} with unknown outcome, looked up again by the next run"
            )
        if self.differing:
            parts.append(told_of_differing(self.differing))
        if self.unsent:
            parts.append(
                f"{_counted(self.unsent, 'invoice')} with {_counted(self.unsent_worklogs, 'worklog')} over "
                f"{self.unsent_currency} {self.unsent_total:,.2f} still to send: "
                + ("the next run does" if self.would_be is None else "a run does once push is on")
            )
        if self.unplanned and self.would_be is None:
            open_ones = _counted(self.unplanned, "worklog")
            parts.append(f"{open_ones}{everywhere} still to judge and plan: the next run does")
        if self.day_limit is not None:
            parts.append(str(self.day_limit))
        parts.append(_counted(calls, "Xero call"))
        return "worklogs: " + "; ".join(parts)


def is_differing(invoice: Invoice) -> bool:
    """Tell whether an invoice stands in Xero in another way than it was sent."""
    stands = invoice.state in {"created", "paid"}
    return stands and (bool(invoice.reason) or invoice.xero_total not in {None, invoice.total})


def told_of_differing(numbers: Sequence[str]) -> str:
    """Name invoices that are not in Xero as they were sent, and where it says what differs."""
    named = ", ".join(numbers[:_NAMED]) + (" …" if len(numbers) > _NAMED else "")
    invoices = _counted(len(numbers), "invoice")
    return f"{invoices} not in Xero as sent ({named}): see msp-xero invoices show NUMBER"


def _counted(number: int, noun: str) -> str:
    """Return ``1 invoice``, ``2 invoices``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# Built once: every run ends with these.
_UNSENT = select(
    func.count(),
    func.sum(Invoice.line_count),
    func.sum(Invoice.total),
    func.min(Invoice.currency),
    func.max(Invoice.currency),
).where(Invoice.connection_id == bindparam("connection"), Invoice.state == "planned")
_UNKNOWN = select(func.count()).where(
    Invoice.connection_id == bindparam("connection"), Invoice.state.in_(pushing.UNSETTLED)
)
_OPEN_OR_EXCLUDED = (
    select(Worklog.state, func.count())
    .where(Worklog.connection_id == bindparam("connection"), Worklog.state.in_(("open", "excluded")))
    .group_by(Worklog.state)
)
_HELD = (
    select(
        Worklog.reason_code,
        func.count(),
        func.sum(Worklog.minutes),
        func.sum(Worklog.money),
        func.count() - func.count(Worklog.money),
    )
    .where(Worklog.connection_id == bindparam("connection"), Worklog.state == "held")
    .group_by(Worklog.reason_code)
)


def sum_up(ledger: Ledger, settled: Settled, accounts: Collection[str] | None = None) -> None:
    """Read from the ledger what this run brought about: the ledger, not a counter, is the truth.

    ``accounts``: tell of what is held for these SDP accounts only, beside the count of all; None is all.
    """
    with ledger.read() as session:
        here = {"connection": ledger.connection_id}
        count, worklogs, total, currency, another = session.execute(_UNSENT, here).one()
        settled.unsent, settled.unsent_worklogs, settled.unsent_total = count, worklogs or 0, total or ZERO
        settled.unsent_currency = currency if currency == another else "several currencies,"
        settled.unknown = session.scalar(_UNKNOWN, here) or 0
        placed = dict(session.execute(_OPEN_OR_EXCLUDED, here).tuples().all())
        settled.unplanned, settled.excluded = placed.get("open", 0), placed.get("excluded", 0)
        held = session.execute(_HELD, here).all()
        settled.held_in_all = {code: lines for code, lines, *_ in held}
        if accounts is not None:
            settled.is_of_some = True
            held = session.execute(_HELD.where(Worklog.account_id.in_(accounts)), here).all()
        settled.held = {
            code: HeldSum(lines, minutes or 0, money or ZERO, unpriced)
            for code, lines, minutes, money, unpriced in held
        }
        for some in lots(result.invoice_id for result in settled.made.created):
            # One that a person has deleted before we could look bills nothing.
            stand = Invoice.state.in_(("created", "paid"))
            for invoice in session.scalars(select(Invoice).where(Invoice.id.in_(some), stand)):
                settled.invoices += 1
                settled.worklogs += invoice.line_count
                settled.minutes += invoice.minutes
                sums = settled.totals
                sums[invoice.currency] = sums.get(invoice.currency, ZERO) + invoice.total
                if is_differing(invoice):
                    settled.differing.append(invoice.number)
    settled.differing += [one for one in second_look.missing_on(ledger) if one not in settled.differing]
    settled.rejected = len({refused.invoice_id for refused in settled.made.refused})

"""What Xero refused lately and would refuse again: it is held, and burns no call and no number.

Nothing is stored for this. The ledger has the bytes of every invoice that was refused; a worklog waits
while the invoice that would be sent now says the same in everything but its number, reference and dates,
and nothing that it names has changed in Xero since. Xero's reason may be one that cannot be seen (a limit
of the plan, for example), so after a day it is tried again in any case (decision 0022).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.billing.document import NAMES_AND_DATES, heading, line_item, worklog_of
from msp_xero.ledger import planning
from msp_xero.xero import wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from msp_xero.billing.document import DraftLine
    from msp_xero.billing.reference import Contact, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Ledger
    from msp_xero.ledger.planning import BillableLine, RefusedInvoice

TRY_AGAIN_AFTER = timedelta(days=1)
"""How long the same is not sent again."""


class Refusals:
    """The invoices that Xero refused within the last day, of which worklogs still wait."""

    def __init__(
        self, session: Session, ledger: Ledger, reference: Reference, settings: BillingSettings
    ) -> None:
        self._session = session
        self._reference = reference
        self._settings = settings
        self._sent: dict[int, dict[str, dict[str, Any]]] = {}
        self._by_account = defaultdict[str, list["RefusedInvoice"]](list)
        since = ledger.clock.now() - TRY_AGAIN_AFTER
        for refused in planning.refused_invoices(session, ledger, since=since):
            self._by_account[refused.account_id].append(refused)

    def repeats(
        self, account_id: str, contact: Contact, ready: Mapping[int, tuple[BillableLine, DraftLine]]
    ) -> set[int]:
        """Return the lines of an account that would only bring the same refusal again.

        Where Xero blamed single lines, each is judged by itself. Otherwise nobody knows which line it was:
        all of the invoice wait together, and one that changed or left sets all of them free.

        Args:
            account_id: whose lines.
            contact: whom they are billed to.
            ready: the lines that could be billed, as delivered and as they would be sent, by their rows.
        """
        repeats: set[int] = set()
        for refused in self._by_account.get(account_id, ()):
            same = self._unchanged(refused, contact, ready)
            if refused.by_line or len(same) == refused.line_count:
                repeats |= same
        return repeats

    def _unchanged(
        self,
        refused: RefusedInvoice,
        contact: Contact,
        ready: Mapping[int, tuple[BillableLine, DraftLine]],
    ) -> set[int]:
        sent = self._element(refused)
        head = heading(
            contact.contact_id,
            self._reference,
            status=self._settings.invoice_status,
            line_amount_types=self._settings.line_amount_types,
        )
        same_head = {name: sent[name] for name in sent.keys() - NAMES_AND_DATES} == head
        if not same_head or contact.name != refused.contact_name or _is_newer(contact.updated_at, refused):
            return set()
        sent_lines = {worklog_of(line["Description"]): wire.canonical(line) for line in sent["LineItems"]}
        touched = self._touched_since(refused)
        unchanged = set()
        for row, tax in refused.blamed.items():
            if row not in ready:
                continue
            line, draft = ready[row]
            terms = draft.terms
            if (
                _holds(refused, line)
                and terms.tax == tax
                and touched.isdisjoint({("item", terms.item_code), ("account", terms.account_code)})
                and sent_lines.get((draft.module, draft.worklog_id))
                == wire.canonical(line_item(draft, self._reference.tracking))
            ):
                unchanged.add(row)
        return unchanged

    def _element(self, refused: RefusedInvoice) -> dict[str, Any]:
        """Return the invoice as it was sent."""
        if refused.batch_id not in self._sent:
            sent = wire.decode(planning.batch_bytes(self._session, refused.batch_id))["Invoices"]
            self._sent[refused.batch_id] = {element["InvoiceNumber"]: element for element in sent}
        return self._sent[refused.batch_id][refused.number]

    def _touched_since(self, refused: RefusedInvoice) -> set[tuple[str, str]]:
        """Return the items and accounts, by code, that somebody changed in Xero since."""
        items, accounts = self._reference.items.values(), self._reference.accounts.values()
        return {("item", item.code) for item in items if _is_newer(item.updated_at, refused)} | {
            ("account", account.code) for account in accounts if _is_newer(account.updated_at, refused)
        }


def _is_newer(updated_at: datetime | None, refused: RefusedInvoice) -> bool:
    """Tell whether something changed after the invoice was planned, which read it."""
    return updated_at is not None and updated_at > refused.planned_at


def _holds(refused: RefusedInvoice, line: BillableLine) -> bool:
    """Tell whether a line still waits for that refusal, by its words.

    Another hold since, or a person's decision, means that something changed.
    """
    words = _words(line.reason)
    return line.state == "held" and bool(words) and words <= _words(refused.reason)


def _words(reason: str | None) -> set[str]:
    return set(reason.split("; ")) if reason else set()

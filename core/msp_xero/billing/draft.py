"""What a worklog would be on an invoice now: to whom it goes, as what it is sold, at which price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msp_xero.billing import preflight
from msp_xero.billing.arithmetic import line_amount
from msp_xero.billing.document import DraftLine, described
from msp_xero.billing.preflight import Hold, ItemTerms, LinkedItem
from msp_xero.billing.reference import today
from msp_xero.ledger import planning
from msp_xero.ledger.type_choices import ignored_types
from msp_xero.ledger.type_names import TypeNames

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy.orm import Session

    from msp_xero.billing.reference import Contact, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger import Ledger
    from msp_xero.ledger.models import WorklogTypeLink
    from msp_xero.ledger.planning import BillableLine


class Drafter:
    """Drafts lines by the links, the settings and Xero's reference data as they are now.

    Attributes:
        date: today in the organisation's zone, the date of what is planned now.
    """

    def __init__(
        self, session: Session, ledger: Ledger, reference: Reference, settings: BillingSettings
    ) -> None:
        self.date = today(reference.organisation, ledger.clock.now())
        self._reference = reference
        self._settings = settings
        self._contacts = {
            account_id: preflight.linked_contact(link)
            for account_id, link in planning.account_links(session, ledger).items()
        }
        self._ignored_contacts = planning.ignored_contacts(session, ledger)
        links = list(planning.type_links(session, ledger))
        names = TypeNames(links)
        meant = {name: names.find(name) for name in names}
        self._by_name = {name: _linked_item(rows[0]) for name, rows in meant.items() if len(rows) == 1}
        self._doubtful_names = {
            name: sorted(row.item_code for row in rows) for name, rows in meant.items() if len(rows) > 1
        }
        self._by_type = {link.type_id: _linked_item(link) for link in links if link.type_id is not None}
        self._ignored_types = ignored_types(session, ledger)
        self._items: dict[tuple[str | None, str | None], ItemTerms | Hold | None] = {}

    def contact(self, account_id: str) -> Contact | Hold | None:
        """Return the contact that an account's invoice goes to now, or why there is none.

        None where Xero was not asked for it: it was linked since.
        """
        return preflight.billed_contact(
            self._contacts.get(account_id), self._reference, self._ignored_contacts
        )

    def line(self, line: BillableLine) -> DraftLine | Hold | None:
        """Return what a worklog would be on an invoice, or why it cannot be on one.

        None where Xero was not asked for its item: it was linked since.
        """
        if line.given_anew is not None:
            return preflight.GIVEN_ANEW[line.given_anew]
        item = self._item(line)
        if item is None or isinstance(item, Hold):
            return item
        description = described(line.description, line.module, line.worklog_id)
        terms = preflight.line_terms(
            quantity=Decimal(1) if line.quantity is None else line.quantity,
            unit_price=line.unit_price,
            amount=line.amount,
            description=description,
            item=item,
            line_amount_types=self._settings.line_amount_types,
        )
        if isinstance(terms, Hold):
            return terms
        return DraftLine(
            worklog_row=line.id,
            revision=line.revision,
            module=line.module,
            worklog_id=line.worklog_id,
            work_date=line.work_date,
            minutes=line.minutes,
            description=description,
            terms=terms,
        )

    def at_stake(self, line: BillableLine) -> Decimal | None:
        """Estimate what a held line would bring, by the item's last known price; None: nobody knows."""
        if line.amount is not None:
            return line.amount
        linked = preflight.find_item(line.type_id, line.type_name, self._by_type, self._by_name)
        price = line.unit_price if line.unit_price is not None else linked.unit_price if linked else None
        if price is None or line.quantity is None:
            return None
        money = line_amount(line.quantity, price)
        return money if abs(money) <= preflight.LARGEST_AMOUNT else None  # it is no money, and held for that

    def reference_text(
        self,
        number: str,
        account_name: str,
        contact: Contact,
        lines: Sequence[DraftLine],
        *,
        dated: date,
    ) -> str:
        """Return the text of an invoice's reference, without its marker.

        ``dated``: the invoice's date, for work whose day nobody told.
        """
        dates = [line.work_date for line in lines if line.work_date] or [dated]
        minutes = sum(line.minutes for line in lines)
        return self._settings.render_reference(
            account_name=account_name,
            contact_name=contact.name,
            first_date=min(dates),
            last_date=max(dates),
            hours=f"{Decimal(minutes) / 60:.2f}",
            lines=len(lines),
            number=number,
        )

    def _item(self, line: BillableLine) -> ItemTerms | Hold | None:
        key = (line.type_id, line.type_name)
        if key not in self._items:
            linked = preflight.find_item(*key, self._by_type, self._by_name)
            # An item without a type only happens to be called like the one that a person ignores.
            is_certain = linked is not None and (line.type_id is not None or linked.has_type)
            hold = (
                None
                if is_certain
                else preflight.unlinked_type(*key, self._ignored_types, self._doubtful_names)
            )
            self._items[key] = hold or preflight.item_terms(
                linked, line.type_name, self._reference, self._settings
            )
        return self._items[key]


def _linked_item(link: WorklogTypeLink) -> LinkedItem:
    return LinkedItem(link.item_id, link.name, link.unit_price, has_type=link.type_id is not None)

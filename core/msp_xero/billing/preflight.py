"""What can be billed, decided before anything is sent: pure functions of plain values.

Each answers with the terms to bill by, or with a :class:`Hold` that says why not yet; None where Xero was
not asked for what was linked since, which the next run does.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from msp_xero.billing.arithmetic import ZERO, line_amount, line_tax
from msp_xero.ledger.link_staging import ACCOUNT, WORKLOG_TYPE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from msp_xero.billing.reference import Contact, Item, Reference
    from msp_xero.billing.settings import BillingSettings
    from msp_xero.ledger.models import AccountLink

LONGEST_DESCRIPTION = 4000
"""UTF-16 units of a line's description (xero-api §4.2, counted as in §10.20)."""

LONGEST_QUANTITY = 13
"""Characters of a line's quantity as it is written (xero-api §4.2)."""

NO_TAX_TYPE = "NONE"
"""Xero's code of no tax (xero-api §8), for lines that are not taxed and have no tax type that can be used."""

LARGEST_AMOUNT = Decimal("9999999999.99")
"""Of a line (xero-api §4.2); one line beyond it would have the whole invoice refused."""

SETTLE_REASONS = frozenset(
    {
        "ACCOUNT_UNMAPPED",
        "ACCOUNT_IGNORED",
        "CONTACT_ARCHIVED",
        "TYPE_NOT_SYNCED",
        "TYPE_IGNORED",
        "ID_GIVEN_ANEW",
        "ITEM_GONE",
        "ITEM_NOT_SOLD",
        "ITEM_WITHOUT_PRICE",
        "ACCOUNT_CODE_INVALID",
        "TAX_TYPE_INVALID",
        "PERIOD_LOCKED",
        "CURRENCY_NOT_ENABLED",
        "TOO_LONG",
        "NEGATIVE_AMOUNT",
        "REJECTED_BY_XERO",
        "NUMBER_CONFLICT",
    }
)
"""Codes of the holds that planning and pushing decide, and lift again when the cause is gone."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a line cannot be billed yet: a stable code and one plain sentence."""

    code: str
    reason: str


NO_ACCOUNT = Hold("ACCOUNT_UNRESOLVED", "The worklog belongs to no account.")


GIVEN_ANEW = {
    kind: Hold(
        "ID_GIVEN_ANEW",
        f"ServiceDesk Plus MSP has given the id of its {noun} to another one since the worklog was read.",
    )
    for kind, noun in ((ACCOUNT, "account"), (WORKLOG_TYPE, "worklog type"))
}
"""Why a worklog is not billed to whoever, or as what, has its id now."""


@dataclass(frozen=True, slots=True)
class LinkedContact:
    """The contact that an account is linked to, as the ledger knows it."""

    contact_id: str
    contact_name: str


@dataclass(frozen=True, slots=True)
class LinkedItem:
    """The item that a worklog type is linked to, or only called like, as the ledger knows it."""

    item_id: str
    name: str
    unit_price: Decimal | None
    has_type: bool = True


@dataclass(frozen=True, slots=True)
class ItemTerms:
    """What a worklog type is billed as. ``rate`` is in percent."""

    item_code: str
    account_code: str
    tax_type: str
    rate: Decimal
    unit_price: Decimal | None


@dataclass(frozen=True, slots=True)
class LineTerms:
    """One billable line: hours, price, amount and tax in the invoice's currency."""

    item_code: str
    account_code: str
    tax_type: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    tax: Decimal


def invoice_hold(reference: Reference, invoice_date: date) -> Hold | None:
    """Say why no invoice at all can be made now, if so."""
    locked = reference.organisation.locked_until
    if locked is not None and invoice_date <= locked:
        return Hold(
            "PERIOD_LOCKED",
            f"Xero's books are locked until {locked}, and the invoice would be dated {invoice_date}.",
        )
    if not reference.currency_enabled:
        return Hold("CURRENCY_NOT_ENABLED", f"The currency {reference.currency} is not enabled in Xero.")
    return None


def linked_contact(link: AccountLink | None) -> LinkedContact | None:
    """Return what planning needs of a link."""
    return None if link is None else LinkedContact(link.contact_id, link.contact_name)


def billed_contact(
    link: LinkedContact | None, reference: Reference, ignored: Collection[str] = ()
) -> Contact | Hold | None:
    """Return the contact that an account's invoice goes to; a merged contact leads to the surviving one.

    None: the account was linked, or its worklogs came, after the contacts were read.

    Args:
        link: of the account.
        reference: Xero's reference data, with the contact and those that it was merged into.
        ignored: ids of the contacts that a person wants no account for: nothing is billed to them.
    """
    if link is None:
        return Hold("ACCOUNT_UNMAPPED", "The account is not linked to a Xero contact.")
    contact = reference.contacts.get(link.contact_id)
    if contact is None and link.contact_id not in reference.asked_for:
        return None
    seen = {link.contact_id}
    # One that is active stands for itself, whatever was merged once.
    while contact is not None and contact.status != "ACTIVE" and contact.merged_to:
        if contact.merged_to in seen:
            break
        seen.add(contact.merged_to)
        contact = reference.contacts.get(contact.merged_to)
    if contact is None:
        return Hold("CONTACT_ARCHIVED", f"Xero no longer has the linked contact {link.contact_name}.")
    if contact.contact_id in ignored:
        return Hold("ACCOUNT_IGNORED", f"The Xero contact {contact.name} is set to be ignored.")
    if contact.status != "ACTIVE":
        return Hold("CONTACT_ARCHIVED", f"The Xero contact {contact.name} is archived.")
    return contact


def item_terms(
    link: LinkedItem | None, type_name: str | None, reference: Reference, settings: BillingSettings
) -> ItemTerms | Hold | None:
    """Return what a worklog type is billed as: the item's own account and tax type come first.

    None: the item was linked after the items were read.
    """
    if link is None:
        return Hold(
            "TYPE_NOT_SYNCED", f"The worklog type {type_name or '(none)'} is not linked to a Xero item."
        )
    item = reference.items.get(link.item_id)
    if item is None and link.item_id not in reference.asked_for:
        return None
    if item is None:
        return Hold("ITEM_GONE", f"The Xero item of worklog type {type_name or link.name} was deleted.")
    if not item.is_sold:
        return Hold("ITEM_NOT_SOLD", f"The Xero item {item.code} is not set to be sold.")
    account = _account_code(item, reference, settings)
    if isinstance(account, Hold):
        return account
    return _tax(item, account, reference, settings)


def unlinked_type(
    type_id: str | None,
    type_name: str | None,
    ignored: Mapping[str, str],
    doubtful: Mapping[str, Sequence[str]],
) -> Hold | None:
    """Say more of a worklog type without an item than that it is not linked, if there is more.

    Args:
        type_id: of the worklog; None where its type is known by name only.
        type_name: of the worklog.
        ignored: worklog types that a person wants no item for, name by id.
        doubtful: codes of the items that a name fits, where it fits several.
    """
    if type_id in ignored or (type_id is None and type_name in ignored.values()):
        return Hold(
            "TYPE_IGNORED", f"The worklog type {type_name} is set to be ignored: no item is wanted for it."
        )
    if type_id is None and type_name is not None and type_name in doubtful:
        codes = " and ".join(doubtful[type_name])
        return Hold("TYPE_NOT_SYNCED", f"The worklog type {type_name} fits more than one Xero item: {codes}.")
    return None


def _account_code(item: Item, reference: Reference, settings: BillingSettings) -> str | Hold:
    code = item.account_code or settings.account_code
    if not code:
        return Hold(
            "ACCOUNT_CODE_INVALID",
            f"The Xero item {item.code} has no sales account, and none is set as default.",
        )
    account = reference.accounts.get(code)
    if account is None or account.status != "ACTIVE" or account.kind == "BANK" or account.is_system:
        whose = f"of item {item.code}" if item.account_code else "in the setting account_code"
        return Hold("ACCOUNT_CODE_INVALID", f"Account {code} {whose} cannot be used for sales.")
    return code


def _tax(item: Item, account_code: str, reference: Reference, settings: BillingSettings) -> ItemTerms | Hold:
    tax_type = item.tax_type or settings.tax_type or reference.accounts[account_code].tax_type
    rate = reference.tax_rates.get(tax_type) if tax_type else None
    can_be_used = rate is not None and rate.active and rate.for_revenue
    if settings.line_amount_types == "NoTax":
        # Nothing is taxed, so no tax type keeps it from being billed.
        untaxed = tax_type if tax_type and can_be_used else NO_TAX_TYPE
        return ItemTerms(item.code, account_code, untaxed, ZERO, item.unit_price)
    if not tax_type:
        return Hold(
            "TAX_TYPE_INVALID", f"Neither item {item.code} nor account {account_code} has a tax type."
        )
    if item.tax_type:
        whose = f"of item {item.code}"
    else:
        whose = "in the setting tax_type" if settings.tax_type else f"of account {account_code}"
    if rate is None or not can_be_used:
        return Hold("TAX_TYPE_INVALID", f"Tax type {tax_type} {whose} cannot be used for sales.")
    if reference.accounts[account_code].group in rate.not_for:
        return Hold(
            "TAX_TYPE_INVALID",
            f"Tax type {tax_type} {whose} cannot be used with account {account_code}.",
        )
    return ItemTerms(item.code, account_code, tax_type, rate.rate, item.unit_price)


def line_terms(  # noqa: PLR0913 - a line has these parts
    *,
    quantity: Decimal,
    unit_price: Decimal | None,
    amount: Decimal | None,
    description: str,
    item: ItemTerms,
    line_amount_types: str,
) -> LineTerms | Hold:
    """Return one billable line.

    Args:
        quantity: hours, four decimals.
        unit_price: price of an hour; None is the item's.
        amount: the line's amount where the worklog's charge decides, else None.
        description: the final text.
        item: what the worklog type is billed as.
        line_amount_types: ``Exclusive``, ``Inclusive`` or ``NoTax``.
    """
    if utf16_length(description) > LONGEST_DESCRIPTION:
        return Hold("TOO_LONG", f"The description is longer than {LONGEST_DESCRIPTION} characters.")
    price = unit_price if unit_price is not None else amount if amount is not None else item.unit_price
    if unit_price is None and amount is not None:
        quantity = Decimal(1)
    if price is None:
        return Hold("ITEM_WITHOUT_PRICE", f"The Xero item {item.item_code} has no sales price.")
    computed = line_amount(quantity, price)
    if amount is not None and computed != amount:
        # Hours times a rounded rate miss the charge by cents: the charge counts (xero-api §4.3).
        quantity, price, computed = Decimal(1), amount, amount
    if computed < ZERO or quantity < ZERO:
        return Hold("NEGATIVE_AMOUNT", "The amount is negative.")
    if computed > LARGEST_AMOUNT:
        return Hold("INVALID_RECORD", "The amount is larger than Xero can hold.")
    if len(f"{quantity:f}") > LONGEST_QUANTITY:
        return Hold("INVALID_RECORD", "The hours are more than Xero can hold.")
    return LineTerms(
        item_code=item.item_code,
        account_code=item.account_code,
        tax_type=item.tax_type,
        quantity=quantity,
        unit_price=price,
        amount=computed,
        tax=line_tax(computed, item.rate, line_amount_types),
    )


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 units, the cautious way to count characters."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def find_item(
    type_id: str | None,
    type_name: str | None,
    by_type_id: Mapping[str, LinkedItem],
    by_name: Mapping[str, LinkedItem],
) -> LinkedItem | None:
    """Find the item of a worklog's type: by the type's id; by name only where the line has no id.

    The default worklog type has a name only.
    """
    if type_id is not None:
        return by_type_id.get(type_id)
    return by_name.get(type_name) if type_name is not None else None

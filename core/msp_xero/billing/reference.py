"""Xero's reference data, read once a run: what a line may use and to whom it may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from msp_xero.errors import LedgerError, SettingError
from msp_xero.xero.wire import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msp_xero.billing.settings import BillingSettings
    from msp_xero.xero.client import XeroClient

MOST_CLOCK_ERROR = timedelta(minutes=8)
"""Less than what a look for changes reaches back."""

_NONE = timedelta(0)
_BY_IDS_UP_TO = 80
"""Contacts that are asked for by id, 40 a call; for more, whole pages of 1,000 are fewer calls."""

# Which member of a tax rate says whether it can be used with a class of accounts (xero-api §7).
_APPLIES = {
    "ASSET": "CanApplyToAssets",
    "EQUITY": "CanApplyToEquity",
    "EXPENSE": "CanApplyToExpenses",
    "LIABILITY": "CanApplyToLiabilities",
    "REVENUE": "CanApplyToRevenue",
}

# Xero writes Windows zone names without spaces and in capitals: NEWZEALANDSTANDARDTIME.
_ZONES = {
    "".join(letter for letter in name.upper() if letter.isalnum()): zone for name, zone in win_tz.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """The organisation that is billed from."""

    organisation_id: str
    name: str
    short_code: str | None
    base_currency: str
    zone: tzinfo
    zone_name: str | None
    locked_until: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A product or service; prices have up to four decimals."""

    item_id: str
    code: str
    is_sold: bool
    unit_price: Decimal | None
    account_code: str | None
    tax_type: str | None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesAccount:
    """An account of the chart of accounts. ``group`` is Xero's ``Class``, for example ``REVENUE``."""

    code: str
    status: str
    kind: str
    tax_type: str | None
    is_system: bool
    group: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxRate:
    """A tax rate in percent. ``not_for`` are the classes of accounts that it cannot be used with."""

    tax_type: str
    rate: Decimal
    active: bool
    for_revenue: bool
    not_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A customer, as far as billing cares."""

    contact_id: str
    name: str
    status: str
    merged_to: str | None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A snapshot of everything that planning looks up.

    ``asked_for``: the ids of the linked contacts and items that were looked for. One of them that is not here
    is not in Xero; of any other one that is not here nothing is known, it was linked since.
    """

    organisation: Organisation
    currency: str
    currency_enabled: bool = True
    items: Mapping[str, Item] = field(default_factory=dict)
    accounts: Mapping[str, SalesAccount] = field(default_factory=dict)
    tax_rates: Mapping[str, TaxRate] = field(default_factory=dict)
    contacts: Mapping[str, Contact] = field(default_factory=dict)
    branding_theme_id: str | None = None
    tracking: tuple[Mapping[str, str], ...] = ()
    asked_for: frozenset[str] = frozenset()


def meet_organisation(client: XeroClient) -> Organisation:
    """Read the organisation, and make sure that this machine and Xero agree on what time it is.

    With a wrong clock invoices would get a wrong date, and the questions what changed in Xero since our
    last look would miss changes: they reach back only ten minutes further.

    Raises:
        LedgerError: the clocks differ by more than eight minutes.
        RemoteError: Xero could not be read.
    """
    row = client.organisation()
    error = client.clock_error
    if error is not None and abs(error) > MOST_CLOCK_ERROR:
        minutes = abs(error) // timedelta(minutes=1)
        raise LedgerError(
            f"the clock of this machine is {minutes:,} minutes {'ahead of' if error > _NONE else 'behind'} "
            "Xero's. Nothing was billed: invoices would get a wrong date. Set the clock and run again"
        )
    return read_organisation(row)


def read_organisation(row: Mapping[str, Any]) -> Organisation:
    """Read the organisation; its zone is UTC when Xero's name for it is unknown."""
    zone_name = _ZONES.get("".join(c for c in str(row.get("Timezone", "")).upper() if c.isalnum()))
    locks = [
        parse_instant(row[name]).date() for name in ("PeriodLockDate", "EndOfYearLockDate") if row.get(name)
    ]
    return Organisation(
        organisation_id=row["OrganisationID"],
        name=row.get("Name") or "",
        short_code=row.get("ShortCode"),
        base_currency=row.get("BaseCurrency") or "",
        zone=ZoneInfo(zone_name) if zone_name else UTC,
        zone_name=zone_name,
        locked_until=max(locks, default=None),
    )


def today(organisation: Organisation, now: datetime) -> date:
    """Return the organisation's calendar date: documents are dated where the books are kept."""
    return now.astimezone(organisation.zone).date()


def read_reference(
    client: XeroClient,
    settings: BillingSettings,
    organisation: Organisation,
    contact_ids: Iterable[str],
    item_ids: Iterable[str],
) -> Reference:
    """Read what planning needs, in as few calls as possible.

    Args:
        client: the Xero client.
        settings: how to bill.
        organisation: as it was just read.
        contact_ids: of the linked contacts that may be billed to.
        item_ids: of the linked items; all items are read, and these must have been linked before.

    Raises:
        SettingError: the branding theme or a tracking option does not exist.
        RemoteError: Xero could not be read.
    """
    currency = settings.currency_code or organisation.base_currency
    enabled = _is_enabled(client, currency, organisation)
    wanted = sorted(set(contact_ids))
    asked_for = {*wanted, *item_ids}
    rows = client.contacts(ids=wanted) if len(wanted) <= _BY_IDS_UP_TO else client.contacts()
    needed = set(wanted)
    contacts = {row["ContactID"]: _contact(row) for row in rows if _is_needed(row, needed)}
    # A long list that kept changing while it was read may have left one out: only its id tells.
    asked = set(wanted) if len(wanted) <= _BY_IDS_UP_TO else set()
    while missing := _named(wanted, contacts) - contacts.keys() - asked:
        asked |= missing
        contacts |= {row["ContactID"]: _contact(row) for row in client.contacts(ids=sorted(missing))}
    return Reference(
        organisation=organisation,
        currency=currency,
        currency_enabled=enabled,
        items={row["ItemID"]: _item(row) for row in client.items()},
        accounts={row["Code"]: _account(row) for row in client.accounts() if row.get("Code")},
        tax_rates={row["TaxType"]: _tax_rate(row) for row in client.tax_rates() if row.get("TaxType")},
        contacts=contacts,
        branding_theme_id=_branding_theme(client, settings),
        tracking=_tracking(client, settings),
        asked_for=frozenset(asked_for),
    )


def meet_settings(client: XeroClient, settings: BillingSettings, organisation: Organisation) -> bool:
    """Make sure that Xero has the branding theme and the tracking options; tell if it has the currency.

    Raises:
        SettingError: the branding theme or a tracking option does not exist.
        RemoteError: Xero could not be read.
    """
    _branding_theme(client, settings)
    _tracking(client, settings)
    return _is_enabled(client, settings.currency_code or organisation.base_currency, organisation)


def _is_enabled(client: XeroClient, currency: str, organisation: Organisation) -> bool:
    return currency == organisation.base_currency or currency in {
        row.get("Code") for row in client.currencies()
    }


def _named(wanted: Iterable[str], contacts: Mapping[str, Contact]) -> set[str]:
    """Return the ids of the contacts that are wanted, and of those that they were merged into."""
    return {*wanted, *(one.merged_to for one in contacts.values() if one.merged_to)}


def _is_needed(row: Mapping[str, Any], needed: set[str]) -> bool:
    """Tell whether a contact is wanted, noting whom a merged one leads to."""
    if row["ContactID"] not in needed:
        return False
    if row.get("MergedToContactID"):
        needed.add(row["MergedToContactID"])
    return True


def _contact(row: Mapping[str, Any]) -> Contact:
    return Contact(
        contact_id=row["ContactID"],
        name=row.get("Name") or "",
        status=row.get("ContactStatus") or "ACTIVE",
        merged_to=row.get("MergedToContactID"),
        updated_at=_updated_at(row),
    )


def _item(row: Mapping[str, Any]) -> Item:
    sales = row.get("SalesDetails") or {}
    price = sales.get("UnitPrice")
    return Item(
        item_id=row["ItemID"],
        code=row["Code"],
        is_sold=row.get("IsSold", True) is not False,
        unit_price=None if price is None else Decimal(price),
        account_code=sales.get("AccountCode"),
        tax_type=sales.get("TaxType"),
        updated_at=_updated_at(row),
    )


def _account(row: Mapping[str, Any]) -> SalesAccount:
    return SalesAccount(
        code=row["Code"],
        status=row.get("Status") or "ACTIVE",
        kind=row.get("Type") or "",
        tax_type=row.get("TaxType"),
        is_system=bool(row.get("SystemAccount")),
        group=row.get("Class") or "",
        updated_at=_updated_at(row),
    )


def _tax_rate(row: Mapping[str, Any]) -> TaxRate:
    return TaxRate(
        tax_type=row["TaxType"],
        rate=Decimal(row.get("EffectiveRate") or 0),
        active=(row.get("Status") or "ACTIVE") == "ACTIVE",
        for_revenue=row.get("CanApplyToRevenue", True) is not False,
        not_for=frozenset(group for group, name in _APPLIES.items() if row.get(name) is False),
    )


def _updated_at(row: Mapping[str, Any]) -> datetime | None:
    told = row.get("UpdatedDateUTC")
    return parse_instant(told) if isinstance(told, str) else None


def _branding_theme(client: XeroClient, settings: BillingSettings) -> str | None:
    wanted = settings.branding_theme
    if not wanted:
        return None
    themes = list(client.branding_themes())
    for theme in themes:
        if wanted in (theme["BrandingThemeID"], theme.get("Name")):
            return str(theme["BrandingThemeID"])
    names = ", ".join(sorted(str(theme.get("Name")) for theme in themes))
    raise SettingError(
        "branding_theme", f"Xero has no branding theme {wanted!r}; it has: {names}", "Standard"
    )


def _tracking(client: XeroClient, settings: BillingSettings) -> tuple[Mapping[str, str], ...]:
    if not settings.tracking:
        return ()
    options = {
        row["Name"]: {option["Name"] for option in row.get("Options", []) if _is_active(option)}
        for row in client.tracking_categories()
        if _is_active(row)
    }
    for category, option in settings.tracking.items():
        if option not in options.get(category, ()):
            known = "; ".join(
                f"{name}: {', '.join(sorted(values))}" for name, values in sorted(options.items())
            )
            problem = f"Xero has no option {option!r} in category {category!r}; it has {known or 'none'}"
            raise SettingError("tracking", problem, '{"Region": "Auckland"}')
    return tuple({"Name": name, "Option": option} for name, option in sorted(settings.tracking.items()))


def _is_active(row: Mapping[str, Any]) -> bool:
    return (row.get("Status") or "ACTIVE") == "ACTIVE"

"""The books: is the organisation the right one, are they open, and has Xero what the settings name?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msp_xero.billing.reference import today
from msp_xero.ledger import views
from msp_xero.ledger.links import type_links

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.project import WORKLOG_MAPPING
from msp_xero_console.words import plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from msp_xero.billing.reference import Organisation
    from msp_xero.ledger import Ledger
    from msp_xero.xero import XeroClient

    from msp_xero_console.project import Project


def pinned(ledger: Ledger | None, organisation: Organisation) -> Finding:
    """Check that the credentials lead to the organisation that the ledger bills."""
    known = None if ledger is None else views.connection_view(ledger)
    if known is None or known.organisation_id is None:
        return Finding("organisation", OK, "the first settle ties the ledger to it")
    if known.organisation_id != organisation.organisation_id:
        return Finding(
            "organisation",
            FAILED,
            f"the ledger bills {text(known.organisation_name)}, "
            f"the credentials lead to {text(organisation.name)}",
            "Correct the credentials or tenant_id; for another organisation: `msp-xero reinitialise`.",
        )
    return Finding("organisation", OK, "the same that the ledger bills")


def time_zone(project: Project, organisation: Organisation) -> Finding:
    """Compare the zone of the work dates with the organisation's, by what their clocks show all year."""
    subject = "time zone"
    wanted = str(project.mapping.get("time_zone") or "UTC")
    try:
        ours = ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError):
        return Finding(
            subject, FAILED, f"time_zone {wanted} is unknown", "Use an IANA name: Pacific/Auckland."
        )
    if organisation.zone_name is None:
        return Finding(
            subject, WARNING, f"work dates in {wanted}; Xero's zone is unknown here", "Compare them."
        )
    start = datetime.now(UTC)
    days = [start + timedelta(days=30 * month) for month in range(13)]
    if all(day.astimezone(ours).utcoffset() == day.astimezone(organisation.zone).utcoffset() for day in days):
        return Finding(subject, OK, f"{wanted}, as the organisation's")
    return Finding(
        subject,
        WARNING,
        f"work dates are in {wanted}, the organisation keeps {organisation.zone_name}",
        f"Set time_zone: {organisation.zone_name} for the mapping {WORKLOG_MAPPING}.",
    )


def lock_dates(organisation: Organisation, now: datetime) -> Finding:
    """Say whether the books are open for an invoice of today."""
    locked = organisation.locked_until
    if locked is None:
        return Finding("lock dates", OK, "none")
    date = today(organisation, now)
    if date <= locked:
        return Finding(
            "lock dates",
            WARNING,
            f"the books are locked until {locked}",
            "Move the lock date, or wait: all is held.",
        )
    return Finding("lock dates", OK, f"locked until {locked}; today's invoices are after it")


def fallbacks(config: Mapping[str, Any], client: XeroClient) -> Iterator[Finding]:
    """Check the account and the tax type for items that have none."""
    yield account_code(config, client)
    yield tax_type(config, client)


def account_code(config: Mapping[str, Any], client: XeroClient) -> Finding:
    """Check the account for items that have none."""
    unset = "each item's own is used, and items without one are held"
    return _fallback("account_code", config, client.accounts, "Code", _account_problem, unset)


def tax_type(config: Mapping[str, Any], client: XeroClient) -> Finding:
    """Check the tax type for items that have none."""
    unset = "each item's own is used, and of items without one the account's"
    return _fallback("tax_type", config, client.tax_rates, "TaxType", _tax_problem, unset)


def _fallback(  # noqa: PLR0913, PLR0917 - two settings, checked alike
    setting: str,
    config: Mapping[str, Any],
    read: Callable[[], list[dict[str, Any]]],
    key: str,
    problem_of: Callable[[Mapping[str, Any]], str | None],
    unset: str,
) -> Finding:
    wanted = config.get(setting)
    rows = {str(row.get(key)): row for row in read()}
    if not wanted:
        return Finding(setting, OK, f"not set: {unset}")
    usable = sorted(code for code, row in rows.items() if problem_of(row) is None)
    advice = f"Usable: {', '.join(usable[:12])}{' …' if len(usable) > 12 else ''}."
    row = rows.get(str(wanted))
    if row is None:
        return Finding(setting, FAILED, f"Xero has no {wanted}", advice)
    problem = problem_of(row)
    if problem:
        return Finding(setting, FAILED, f"{wanted} ({text(row.get('Name'))}) {problem}", advice)
    return Finding(setting, OK, f"{wanted} ({text(row.get('Name'))})")


def _account_problem(row: Mapping[str, Any]) -> str | None:
    if row.get("Status", "ACTIVE") != "ACTIVE":
        return "is archived"
    if row.get("Type") == "BANK" or row.get("SystemAccount"):
        return "cannot be used for sales"
    return None if row.get("Class", "REVENUE") == "REVENUE" else "is not a revenue account"


def _tax_problem(row: Mapping[str, Any]) -> str | None:
    if row.get("Status", "ACTIVE") != "ACTIVE":
        return "is not active"
    return "cannot be used for sales" if row.get("CanApplyToRevenue", True) is False else None


def items(ledger: Ledger | None, project: Project, client: XeroClient) -> Iterator[Finding]:
    """Check that there is something to bill with, and that what worklog types are linked to still exists."""
    rows = {str(row.get("ItemID")): row for row in client.items()}
    sold = {key: row for key, row in rows.items() if row.get("IsSold", True) is not False}
    unpriced = [row for row in sold.values() if (row.get("SalesDetails") or {}).get("UnitPrice") is None]
    seen = f"{plural(len(sold), 'item')} that Xero sells"
    if unpriced:
        seen += f", {len(unpriced)} without a price"
    if not sold:
        advice = "Make the services that you sell in Xero, under Products and services."
        yield Finding("items", FAILED, "Xero has none that is sold", advice)
        return
    yield Finding("items", OK, seen)
    if ledger is None:
        return
    links = [row for row in type_links(ledger) if row.type_id and row.gone_at is None]
    if not links:
        return
    bills_price = project.mapping.get("rate_source") != "worklog_charge"
    faults = [
        fault for row in links if (fault := _item_fault(rows.get(row.item_id), bills_price=bills_price))
    ]
    if faults:
        yield Finding(
            "items of worklog types",
            WARNING,
            f"{len(faults)} of {plural(len(links), 'linked worklog type')}: {', '.join(sorted(set(faults)))}",
            "Their worklogs are held. `msp-xero types list` shows them; mend the items in Xero.",
        )
    else:
        yield Finding("items of worklog types", OK, f"all {len(links)} linked types have theirs")


def _item_fault(row: Mapping[str, Any] | None, *, bills_price: bool) -> str | None:
    if row is None:
        return "the item is gone from Xero"
    if row.get("IsSold", True) is False:
        return "the item is not sold"
    if bills_price and (row.get("SalesDetails") or {}).get("UnitPrice") is None:
        return "the item has no price"
    return None

"""What ``msp-xero doctor`` looks at. Each check reads, judges, and says what to do; none changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msp_xero.billing.reference import read_organisation, today
from msp_xero.billing.settings import BILLING, BillingSettings
from msp_xero.directory.settings import DIRECTORY
from msp_xero.errors import MspXeroError, SettingError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.settings import LEDGER
from msp_xero.ledger.store import HEAD_REVISION
from msp_xero.sdp import SDP_CONNECTION, SdpSettings
from msp_xero.singer.settings import check_settings, unknown_settings
from msp_xero.xero import XERO_BUDGET, XERO_CONNECTION, XeroSettings
from singer_sdk.typing import PropertiesList
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from msp_xero_console.meltano import variable_name
from msp_xero_console.project import (
    LEDGER_VARIABLE,
    PLUGINS,
    SDP_PLUGINS,
    WORKLOG_MAPPING,
    XERO_PLUGINS,
)
from msp_xero_console.words import plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from msp_xero.billing.reference import Organisation
    from msp_xero.xero import XeroClient

    from msp_xero_console.project import Project

OK, WARNING, FAILED = "ok", "warning", "failed"

# What core knows of each plugin's settings; those of extraction and selection are the taps' own.
_SCHEMAS = {
    "tap-msp-sdp": PropertiesList(*SDP_CONNECTION).to_dict(),
    "target-msp-sdp": PropertiesList(*SDP_CONNECTION, *LEDGER, *DIRECTORY).to_dict(),
    "tap-xero-lite": PropertiesList(*XERO_CONNECTION, *XERO_BUDGET).to_dict(),
    "target-xero-invoices": PropertiesList(*XERO_CONNECTION, *XERO_BUDGET, *LEDGER, *BILLING).to_dict(),
}
_SWITCHES = {
    "accounts": ("target-msp-sdp", "accounts_enabled"),
    "worklog-types": ("target-msp-sdp", "worklog_types_enabled"),
    "worklogs": ("target-xero-invoices", "worklogs_enabled"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it is, what was seen, what to do."""

    subject: str
    status: str
    seen: str
    advice: str = ""


def examine(project: Project) -> Iterator[Finding]:
    """Yield the findings of all checks, cheap ones first."""
    usable: set[str] = set()
    for plugin in PLUGINS:
        finding = settings_of(project, plugin)
        if finding.status != FAILED and plugin in project.configs:
            usable.add(plugin)
        yield finding
    yield from agreement(project)
    yield from switches(project)
    ledger = list(ledger_state(project))
    yield from ledger
    yield from sdp_connections(project, [plugin for plugin in SDP_PLUGINS if plugin in usable])
    readable = all(finding.status != FAILED for finding in ledger)
    xero_plugins = [plugin for plugin in XERO_PLUGINS if plugin in usable]
    yield from xero_connections(project, xero_plugins, ledger_readable=readable)


# ---------------------------------------------------------------- settings


def settings_of(project: Project, plugin: str) -> Finding:
    """Check the settings of one plugin."""
    if plugin not in project.configs:
        return Finding(plugin, WARNING, f"not in {project.source}", "Its jobs cannot run without it.")
    try:
        config = project.config(plugin)
        if unknown := _unknown_settings(project, plugin, config):
            return Finding(plugin, FAILED, _sentences(unknown), "Correct the name in meltano.yml.")
        known = _SCHEMAS[plugin]["properties"]
        check_settings({name: config[name] for name in config if name in known}, _SCHEMAS[plugin])
        return _sdp_settings(plugin, config) if plugin in SDP_PLUGINS else _xero_settings(plugin, config)
    except SettingError as error:
        variable = variable_name(plugin, error.setting)
        seen = _sentences([error, *error.others])
        return Finding(plugin, FAILED, seen, f"Set it in meltano.yml, or {variable} in .env.")


def _sdp_settings(plugin: str, config: Mapping[str, Any]) -> Finding:
    sdp = SdpSettings.from_config(config)
    if not sdp.verify_tls:
        return Finding(
            plugin, WARNING, "verify_tls is off", "Set ca_bundle instead and trust the certificate."
        )
    return Finding(plugin, OK, f"{sdp.base_url} ({sdp.edition})")


def _xero_settings(plugin: str, config: Mapping[str, Any]) -> Finding:
    xero = XeroSettings.from_config(config)
    if plugin != "target-xero-invoices":
        return Finding(plugin, OK, xero.grant)
    billing = BillingSettings.from_config(config)
    push = "" if billing.push else ", push is off"
    seen = f"{xero.grant}, invoices {billing.number_prefix}… as {billing.invoice_status}{push}"
    return Finding(plugin, OK, seen)


def _unknown_settings(project: Project, plugin: str, config: Mapping[str, Any]) -> list[SettingError]:
    """Return an error for each misspelt name; only Meltano's file says which settings a tap has."""
    declared = project.declared.get(plugin)
    return unknown_settings(config, {*declared, *_SCHEMAS[plugin]["properties"]}) if declared else []


def _sentences(errors: Iterable[SettingError]) -> str:
    return "; ".join(str(error) for error in errors)


def agreement(project: Project) -> Iterator[Finding]:
    """Check that the plugins mean the same systems and the same ledger."""
    yield from _same(project, SDP_PLUGINS, "base_url", "worklogs would be linked to another installation")
    for setting in ("client_id", "tenant_id", "api_url"):
        yield from _same(
            project, XERO_PLUGINS, setting, "items of one organisation would be billed in another"
        )
    ledgers = project.ledger_urls()
    if project.ledger_override:
        ledgers[LEDGER_VARIABLE] = project.ledger_url
    if len(set(ledgers.values())) > 1:
        seen = "; ".join(f"{name}: {_without_password(url)}" for name, url in ledgers.items())
        yield Finding(
            "one ledger", FAILED, f"different ledgers. {seen}", "Give all of them the same ledger_url."
        )
    elif WORKLOG_MAPPING not in ledgers:
        yield Finding(
            "one ledger",
            WARNING,
            f"the mapping {WORKLOG_MAPPING} has no ledger_url",
            "Set it, so that a changed rule applies to worklogs that already wait.",
        )
    names = {
        project.config(name).get("connection", "default") for name in project.ledger_urls() if name in PLUGINS
    }
    if len(names) > 1:
        yield Finding("one connection", FAILED, f"different connections: {', '.join(sorted(names))}")


def _same(project: Project, plugins: tuple[str, ...], setting: str, danger: str) -> Iterator[Finding]:
    values = {
        name: str(project.configs[name].get(setting) or "").rstrip("/")
        for name in plugins
        if name in project.configs and name not in project.problems
    }
    if len(set(values.values())) > 1:
        seen = "; ".join(f"{name}: {value or 'not set'}" for name, value in values.items())
        yield Finding(f"same {setting}", FAILED, f"{seen}; {danger}", f"Set {setting} to the same for both.")


def switches(project: Project) -> Iterator[Finding]:
    """Say which jobs are switched off."""
    off = [
        job
        for job, (plugin, switch) in _SWITCHES.items()
        if project.configs.get(plugin, {}).get(switch) is False
    ]
    if off:
        yield Finding("jobs", OK, f"switched off: {', '.join(off)}")


# ------------------------------------------------------------------ ledger


def ledger_state(project: Project) -> Iterator[Finding]:
    """Check that the ledger can be opened, and what it says of itself."""
    where = _without_password(project.ledger_url)
    try:
        ledger = Ledger.open_existing(project.ledger_url, connection=project.connection)
    except MspXeroError as error:
        yield Finding("ledger", FAILED, str(error))
        return
    except SQLAlchemyError as error:
        yield Finding("ledger", FAILED, f"{where} cannot be used ({type(error).__name__}). Is it a ledger?")
        return
    if ledger is None:
        yield Finding("ledger", OK, f"{where} is not there yet; the first run makes it")
        return
    with ledger:
        yield Finding("ledger", OK, f"{where}, version {HEAD_REVISION}, connection {project.connection}")
        shared = views.count_shared_ids(ledger)
    if shared:
        yield Finding(
            "worklog ids",
            WARNING,
            f"{plural(shared, 'worklog')} with the id of another, different one",
            "Both are billed. Compare them once: `msp-xero worklogs show ID` shows both.",
        )


# ------------------------------------------------------ ServiceDesk Plus MSP


def sdp_connections(project: Project, plugins: list[str]) -> Iterator[Finding]:
    """Check that SDP answers and shows accounts, once for each different set of credentials."""
    seen: list[SdpSettings] = []
    for plugin in plugins:
        settings = SdpSettings.from_config(project.config(plugin))
        if settings in seen:
            continue
        seen.append(settings)
        subject = f"ServiceDesk Plus for {plugin}"
        client = project.sdp(plugin)
        try:
            first = next(client.accounts(), None)
        except MspXeroError as error:
            yield Finding(subject, FAILED, str(error))
        else:
            if first is None:
                yield Finding(
                    subject,
                    WARNING,
                    "answers, but shows no account",
                    "Let the key's technician see all accounts.",
                )
            else:
                yield Finding(subject, OK, f"answers; first account: {text(first.get('name'))}")
        finally:
            client.close()


# -------------------------------------------------------------------- Xero


def xero_connections(
    project: Project, plugins: list[str], *, ledger_readable: bool = True
) -> Iterator[Finding]:
    """Check each Xero connection, and with the target's the books."""
    for plugin in plugins:
        subject = f"Xero for {plugin}"
        client = project.xero(plugin)
        try:
            organisation = read_organisation(client.organisation())
            yield Finding(
                subject, OK, f"organisation {text(organisation.name)} ({organisation.base_currency})"
            )
            if plugin == "target-xero-invoices":
                config = project.config(plugin)
                if ledger_readable:
                    yield pinned(project, organisation)
                yield time_zone(project, organisation)
                yield lock_dates(organisation, datetime.now(UTC))
                yield from fallbacks(config, client)
            else:
                next(client.contacts(page_size=1), None)
                yield Finding("Xero contacts", OK, "can be read")
        except MspXeroError as error:
            yield Finding(subject, FAILED, str(error))


def pinned(project: Project, organisation: Organisation) -> Finding:
    """Check that the credentials lead to the organisation that the ledger bills."""
    with project.reading() as ledger:
        known = views.connection_view(ledger)
    if known.organisation_id is None:
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
    yield _fallback("account_code", config, client.accounts, "Code", _account_problem)
    yield _fallback("tax_type", config, client.tax_rates, "TaxType", _tax_problem)


def _fallback(
    setting: str,
    config: Mapping[str, Any],
    read: Callable[[], list[dict[str, Any]]],
    key: str,
    problem_of: Callable[[Mapping[str, Any]], str | None],
) -> Finding:
    wanted = config.get(setting)
    rows = {str(row.get(key)): row for row in read()}
    if not wanted:
        return Finding(setting, OK, "not set: each item's own is used, and items without one are held")
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


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it must not be shown
        return "a URL that cannot be read"

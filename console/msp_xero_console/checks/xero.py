"""Xero: is it there, does it let us in, what may we do, and are the day's calls enough?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msp_xero.billing.reference import meet_settings, read_organisation
from msp_xero.billing.settings import BillingSettings
from msp_xero.edges.certificates import shake_hands
from msp_xero.errors import MspXeroError
from msp_xero.ledger import views
from msp_xero.ledger.runs import last_runs
from msp_xero.xero import XeroSettings, classify

from msp_xero_console.checks import books
from msp_xero_console.checks.doors import certificate, clock, same_server
from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding, failure
from msp_xero_console.checks.scene import ServerClock
from msp_xero_console.project import XERO_PLUGINS
from msp_xero_console.words import number, plural, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from msp_xero.billing.reference import Organisation
    from msp_xero.ledger import Ledger
    from msp_xero.xero import CallBudget, XeroClient

    from msp_xero_console.checks.scene import Scene

SYSTEM = "Xero"
TOKENS = "Xero's token service"
TARGET = "target-xero-invoices"
# What a user must be allowed to do for invoices of a status (fact sheet of Xero, section 7).
_NEEDED = {
    "DRAFT": "CreateDraftInvoice",
    "SUBMITTED": "CreateSubmittedInvoice",
    "AUTHORISED": "CreateApprovedInvoice",
}
# Calls of a run beside its invoices: organisation, items, accounts, tax rates, currencies, contacts, and
# the look at what changed in Xero since the last one; some more for pages.
_CALLS_OF_A_RUN = 12
_NOT_LOOKED_AT = "Not looked at because of this: organisation, lock dates, account, tax, items."


def xero(scene: Scene) -> Iterator[Finding]:
    """Check each Xero connection, and with the target's the books."""
    yield from _connections(scene)
    if TARGET in scene.usable:
        # Last, so that the calls of this look are counted; and where the day is over already, too.
        settings = XeroSettings.from_config(scene.project.config(TARGET))
        config = scene.project.config(TARGET)
        yield from guarded("call limit of the day", lambda: budget(scene, config, scene.budget(settings)))


def _connections(scene: Scene) -> Iterator[Finding]:
    refused: dict[tuple[str, str, str | None], Finding] = {}
    for plugin in (name for name in XERO_PLUGINS if name in scene.usable):
        scene.tell(f"{SYSTEM} for {plugin}")
        settings = XeroSettings.from_config(scene.project.config(plugin))
        subject = f"{SYSTEM} for {plugin}"
        key = (settings.api_url, settings.client_id, settings.client_secret)
        if key in refused:
            yield Finding(subject, FAILED, refused[key].seen, refused[key].advice)
            continue
        first = not refused and plugin == next(name for name in XERO_PLUGINS if name in scene.usable)
        finding, more, organisation = _door(scene, plugin, settings)
        yield finding
        if first:
            yield from more
        if organisation is None:
            refused[key] = finding
        elif plugin == TARGET:
            yield from target(scene, organisation)
        else:
            client = scene.xero(plugin)
            yield from guarded("Xero contacts", lambda client=client: [_contacts(client)])  # type: ignore[misc]


def _door(
    scene: Scene, plugin: str, settings: XeroSettings
) -> tuple[Finding, list[Finding], Organisation | None]:
    """Return what is said of the connection, of TLS and clock, and the organisation when we are let in."""
    subject = f"{SYSTEM} for {plugin}"
    more, problem = _servers(settings, scene.clock.now())
    if problem or any(one.status == FAILED for one in more):
        seen = problem or "is not asked, because a certificate is not trusted"
        advice = "Check the network, and that the firewall lets api.xero.com and identity.xero.com through."
        return Finding(subject, FAILED, seen, advice), more, None
    server = ServerClock(scene.clock)
    client = scene.xero(plugin, server)
    try:
        organisation = read_organisation(client.organisation())
    except MspXeroError as error:
        return failure(subject, error, _NOT_LOOKED_AT if plugin == TARGET else ""), more, None
    skew = clock(
        SYSTEM,
        max((one for one in (server.ahead, client.clock_error) if one is not None), key=abs, default=None),
    )
    seen = f"organisation {text(organisation.name)} ({organisation.base_currency})"
    return Finding(subject, OK, seen), [*more, *([skew] if skew else [])], organisation


def _servers(settings: XeroSettings, now: datetime) -> tuple[list[Finding], str]:
    """Return what is said of TLS at Xero's two servers, and what keeps either from being reached."""
    servers = {TOKENS: settings.identity_url, SYSTEM: settings.api_url}
    if same_server(settings.identity_url, settings.api_url):
        del servers[TOKENS]
    found: list[Finding] = []
    for name, address in servers.items():
        hands = shake_hands(address)
        if not hands.reached:
            return found, hands.problem
        if secured := certificate(name, address, hands, is_public=True, now=now):
            found.append(secured)
    return found, ""


def _contacts(client: XeroClient) -> Finding:
    next(client.contacts(page_size=1), None)
    return Finding("Xero contacts", OK, "can be read")


def target(scene: Scene, organisation: Organisation) -> Iterator[Finding]:
    """Check what invoices need; each check stands for itself."""
    client, ledger, project = scene.xero(TARGET), scene.ledger, scene.project
    config = project.config(TARGET)
    now = scene.clock.now()
    yield from guarded("organisation", lambda: [books.pinned(ledger, organisation)])
    yield from guarded("time zone", lambda: [books.time_zone(project, organisation)])
    yield from guarded("lock dates", lambda: [books.lock_dates(organisation, now)])
    scene.tell("accounts, tax rates and items")
    yield from guarded("account_code", lambda: [books.account_code(config, client)])
    yield from guarded("tax_type", lambda: [books.tax_type(config, client)])
    yield from guarded("items", lambda: books.items(ledger, project, client))
    yield from guarded("settings of invoices", lambda: [invoice_settings(config, client, organisation)])
    scene.tell("scopes and roles")
    yield from guarded("Xero invoices", lambda: [_invoices(client, now)])
    yield from guarded("Xero role", lambda: [role(config, client, now)])


def guarded(subject: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Make a failure of one check a finding, so that the next ones are made all the same."""
    try:
        yield from check()
    except MspXeroError as error:
        yield failure(subject, error)


def invoice_settings(config: Mapping[str, Any], client: XeroClient, organisation: Organisation) -> Finding:
    """Check that branding theme, tracking options and currency exist."""
    settings = BillingSettings.from_config(config)
    enabled = meet_settings(client, settings, organisation)
    currency = settings.currency_code or organisation.base_currency
    if not enabled:
        advice = f"Add the currency {currency} in Xero, or correct currency_code."
        return Finding(
            "settings of invoices", FAILED, f"Xero has not enabled the currency {currency}", advice
        )
    return Finding("settings of invoices", OK, f"in {currency}, as {settings.invoice_status}")


def _invoices(client: XeroClient, now: datetime) -> Finding:
    """Read at most one invoice: that tells whether the scope for them was granted."""
    answer = client.probe("Invoices", {"page": "1", "pageSize": "1", "summaryOnly": "true"})
    if error := classify(answer, now=now):
        raise error
    return Finding("Xero invoices", OK, "can be read")


def role(config: Mapping[str, Any], client: XeroClient, now: datetime) -> Finding:
    """Check that the connecting user's role allows invoices of the wanted status."""
    settings = BillingSettings.from_config(config)
    answer = client.probe("Organisation/Actions")
    if classify(answer, now=now) is not None:
        return Finding("Xero role", OK, "Xero does not tell what the user may do")
    rows = answer.json().get("Actions")
    told = {row.get("Name"): row.get("Status") for row in rows or [] if isinstance(row, dict)}
    needed = _NEEDED[settings.invoice_status]
    if told.get(needed, "ALLOWED") != "ALLOWED":
        return Finding(
            "Xero role",
            FAILED,
            f"the user who connected may not make {settings.invoice_status} invoices ({needed})",
            "Give the user the role Standard or Adviser in Xero, or set invoice_status to DRAFT.",
        )
    return Finding("Xero role", OK, f"may make {settings.invoice_status} invoices")


def budget(scene: Scene, config: Mapping[str, Any], calls: CallBudget) -> Iterator[Finding]:
    """Compare the calls that the day has left with the reserve and with what a run needs."""
    subject, left, reserve = "call limit of the day", calls.day_left, calls.reserve
    if left is None:
        return  # no answer came; why, another line says
    told_at = scene.clock.now() - timedelta(seconds=calls.day_news_age)
    need = calls_of_a_run(scene.ledger, BillingSettings.from_config(config).batch_size)
    seen = (
        f"{plural(left, 'call')} left today, as last told {told_at:%H:%M} UTC; reserve {number(reserve)}; "
        f"a run needs about {number(need)}"
    )
    if left <= reserve:
        advice = "A run stops at once, and goes on when Xero's day begins anew. Or lower day_call_reserve."
        yield Finding(subject, FAILED, seen, advice)
    elif left - reserve < need:
        yield Finding(subject, WARNING, seen, "The run stops at the reserve, and the next one goes on.")
    else:
        yield Finding(subject, OK, seen)


def calls_of_a_run(ledger: Ledger | None, batch_size: int) -> int:
    """Estimate the calls of the next run: from what waits, and from what the last one made."""
    if ledger is None:
        return _CALLS_OF_A_RUN
    waiting = views.count_accounts_waiting(ledger)
    batches = -(-waiting // batch_size)
    last = last_runs(ledger).get("worklogs")
    made = sum(int(count) for count in (last.calls or {}).values()) if last else 0
    return max(_CALLS_OF_A_RUN + 2 * batches, made)

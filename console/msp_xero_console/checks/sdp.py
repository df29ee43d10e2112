"""ServiceDesk Plus MSP: is it there, does it let us in, and is everything where we look for it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msp_xero.edges.certificates import shake_hands
from msp_xero.errors import AccessRefused, Missing, MspXeroError, Rejected, Throttled
from msp_xero.ledger.links import account_links
from msp_xero.sdp import SdpSettings

from msp_xero_console.checks.doors import certificate, clock, same_server
from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding, failure
from msp_xero_console.checks.scene import ServerClock
from msp_xero_console.checks.sdp_fields import account_fields
from msp_xero_console.checks.sdp_worklogs import costs, global_list
from msp_xero_console.project import SDP_PLUGINS
from msp_xero_console.words import number, plural, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero.errors import RemoteError
    from msp_xero.sdp import SdpClient

    from msp_xero_console.checks.scene import Scene

TAP: Final = "tap-msp-sdp"
TARGET: Final = "target-msp-sdp"
SYSTEM: Final = "ServiceDesk Plus"
TOKENS: Final = "Zoho's token service"
ONE: Final = {"list_info": {"row_count": 1, "start_index": 1, "get_total_count": True}}
MODULES: Final = ("requests", "problems", "changes", "projects", "tasks")
# Where accounts are known to be: on-premises, cloud (fact sheet of SDP, section 5).
_ACCOUNTS: Final = ("accounts", "customers")
_TYPES: Final = "worklog_types"
_DOCUMENTED: Final = "the documentation in the product (Admin > Developer Space > API)"


def sdp(scene: Scene) -> Iterator[Finding]:
    """Check each different connection once, then what only tap or target need."""
    seen: list[SdpSettings] = []
    let_in: set[str] = set()
    for plugin in (name for name in SDP_PLUGINS if name in scene.usable):
        settings = SdpSettings.from_config(scene.project.config(plugin))
        if settings in seen:
            let_in |= {plugin} if SDP_PLUGINS[seen.index(settings)] in let_in else set()
            continue
        seen.append(settings)
        scene.tell(f"{SYSTEM} for {plugin}")
        findings, open_door = _door(scene, plugin, settings)
        yield from findings
        if open_door:
            let_in.add(plugin)
            yield from worklog_types(scene, scene.sdp(plugin))
    if TAP in let_in:
        scene.tell("modules and worklogs")
        client = scene.sdp(TAP)
        yield from modules(scene, client)
        yield from costs(scene, client)
        yield global_list(client)
    if TARGET in let_in:
        scene.tell("account fields")
        yield from account_fields(scene, scene.sdp(TARGET))


def _door(scene: Scene, plugin: str, settings: SdpSettings) -> tuple[list[Finding], bool]:
    """Return what is said of reachability, TLS, clock, key and accounts, and whether the key lets us in."""
    subject = f"{SYSTEM} for {plugin}"
    hands = shake_hands(
        settings.base_url, ca_bundle=settings.ca_bundle, timeout=min(settings.timeout_seconds, 15)
    )
    secured = certificate(
        SYSTEM,
        settings.base_url,
        hands,
        verify_tls=settings.verify_tls,
        ca_bundle=settings.ca_bundle,
        now=scene.clock.now(),
    )
    findings = [secured] if secured else []
    if not hands.reached:
        advice = "Check base_url (host, port, http or https), that it runs, and the firewall between."
        return [Finding(subject, FAILED, hands.problem, advice), *findings], False
    if settings.oauth_url:
        tokens, problem = _token_door(scene, settings, settings.oauth_url)
        findings += tokens
        if problem:
            advice = "Check oauth_url, and that the firewall lets it through."
            return [Finding(subject, FAILED, problem, advice), *findings], False
    if any(one.status == FAILED for one in findings):
        return [
            Finding(subject, FAILED, "is not asked, because a certificate is not trusted"),
            *findings,
        ], False
    server = ServerClock(scene.clock)
    client = scene.sdp(plugin, server)
    finding, open_door = accounts(scene, client, subject)
    skew = clock(SYSTEM, server.ahead)
    return [finding, *findings, *([skew] if skew else [])], open_door


def _token_door(scene: Scene, settings: SdpSettings, address: str) -> tuple[list[Finding], str]:
    """Return what is said of TLS at the token service, and why it cannot be reached; empty when it can."""
    if same_server(address, settings.base_url) and settings.verify_tls:
        return [], ""
    hands = shake_hands(address, ca_bundle=settings.ca_bundle, timeout=min(settings.timeout_seconds, 15))
    if not hands.reached:
        return [], hands.problem
    now = scene.clock.now()
    found = certificate(TOKENS, address, hands, ca_bundle=settings.ca_bundle, now=now)
    return [found] if found else [], ""


def accounts(  # noqa: PLR0911 - one return a judgement
    scene: Scene, client: SdpClient, subject: str
) -> tuple[Finding, bool]:
    """Read one account; a wrong path alone does not close the door to the rest."""
    path = client.settings.accounts_path
    probed = client.probe(path, ONE)
    match probed.error:
        case None:
            pass
        case Missing() if not probed.payload and _is_page(probed.answer.body if probed.answer else b""):
            advice = (
                "Check base_url: a context path such as /sdp, or /app/<portal> in the cloud, may be missing."
            )
            return Finding(subject, FAILED, "there is no API at this address", advice), False
        case Missing():
            return _misplaced(client, subject, path), True
        case AccessRefused(status=403) as error:
            return failure(subject, error), True
        case error:
            return failure(subject, error), False
    try:
        first = next(client.accounts(), None)
    except MspXeroError as error:
        return failure(subject, error), True
    if first is None:
        advice = "Let the key's technician see all accounts."
        return Finding(subject, WARNING, "answers, but shows no account", advice), True
    return _complete(scene, client, subject, first, probed.payload), True


def _complete(
    scene: Scene, client: SdpClient, subject: str, first: dict[str, Any], payload: dict[str, Any]
) -> Finding:
    """Compare the accounts that the key sees with those that the ledger knows: a narrow scope hides some."""
    seen = f"answers; first account: {text(first.get('name'))}"
    total = str((payload.get("list_info") or {}).get("total_count") or "")
    if total.isdigit():
        seen += f", {number(int(total))} in all"
    if scene.ledger is None:
        return Finding(subject, OK, seen)
    linked = {row.account_id for row in account_links(scene.ledger) if row.account_id}
    hidden = linked - {str(row.get("id")) for row in client.accounts()} if linked else set()
    if hidden:
        return Finding(
            subject,
            WARNING,
            f"{seen}; {plural(len(hidden), 'account')} with a link to a contact cannot be seen",
            "Were they deleted? If not, let the key's technician see all accounts: what it cannot see is "
            "not billed.",
        )
    return Finding(subject, OK, seen)


def _misplaced(client: SdpClient, subject: str, path: str) -> Finding:
    found = next((other for other in _ACCOUNTS if other != path and _is_there(client, other)), None)
    if found:
        return Finding(
            subject,
            FAILED,
            f"answers, but has its accounts at {found}, not at {path}",
            f"Set accounts_path: {found}.",
        )
    return Finding(
        subject,
        FAILED,
        f"answers, but has no accounts at {path}",
        f"Set accounts_path to the path that {_DOCUMENTED} names.",
    )


def worklog_types(scene: Scene, client: SdpClient) -> Iterator[Finding]:
    """Check that worklog types are where we look for them, and that the default type is one of them."""
    path = client.settings.worklog_types_path
    subject = "worklog types"
    # The list itself: the client would read the types elsewhere, where they cannot be written.
    if isinstance(client.probe(path, {"list_info": {"row_count": 1}}).error, Missing):
        if path != _TYPES and _is_there(client, _TYPES):
            seen, advice = f"they are not at {path} but at {_TYPES}", f"Set worklog_types_path: {_TYPES}."
        else:
            seen = f"there is nothing at {path}"
            advice = (
                f"Set worklog_types_path to the path that {_DOCUMENTED} names. If there is none, set "
                "worklog_types_enabled to false and make the types by hand: `msp-xero types list` says which."
            )
        yield Finding(subject, WARNING, seen, advice)
        return
    try:
        rows = list(client.worklog_types())
    except MspXeroError as error:
        yield failure(subject, error)
        return
    inactive = sum(str(row.get("inactive")).lower() == "true" for row in rows)
    seen = f"{number(len(rows))} at {path}" + (f", {number(inactive)} switched off" if inactive else "")
    yield Finding(subject, OK if rows else WARNING, seen, "" if rows else "Run `meltano run worklog-types`.")
    wanted = scene.project.mapping.get("default_worklog_type")
    if wanted and rows and wanted not in {row.get("name") for row in rows}:
        yield Finding(
            "default worklog type",
            FAILED,
            f"ServiceDesk Plus has no worklog type {text(wanted)}",
            "Correct default_worklog_type, or run `meltano run worklog-types`.",
        )


def modules(scene: Scene, client: SdpClient) -> Iterator[Finding]:
    """Check that the key may read each module that worklogs are taken from."""
    wanted = scene.project.config(TAP).get("modules") or MODULES
    readable = []
    for module in wanted:
        probed = client.probe(str(module), ONE)
        if probed.error is None:
            readable.append(str(module))
            continue
        yield Finding(f"module {module}", FAILED, *_refusal(probed.error))
    if readable:
        yield Finding("modules", OK, f"{', '.join(readable)} can be read")


def _refusal(error: RemoteError) -> tuple[str, str]:
    match error:
        case Missing():
            return "this installation does not have it", "Leave it out of the setting modules."
        case AccessRefused() if "licence" in error.problem:
            return error.problem, "Leave it out of the setting modules, or extend the licence."
        case AccessRefused():
            return f"the key may not read it ({error.problem})", (
                "Give the key's technician a role with it, or leave it out of the setting modules."
            )
        case Throttled():
            asked = "" if error.retry_after is None else f"; {error.advice}"
            return f"{error.problem}{asked}", "Wait, and set requests_per_minute."
        case Rejected():
            return (
                f"it is refused: {', '.join(map(str, error.codes))}",
                "Run with --live-checklist and report it.",
            )
    return error.problem, error.advice


def _is_there(client: SdpClient, path: str) -> bool:
    return client.probe(path, ONE).error is None


def _is_page(body: bytes) -> bool:
    return b"<html" in body[:4096].lower()

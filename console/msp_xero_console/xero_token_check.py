"""What the token store tells of the Xero connection, without a call: for ``doctor`` and ``status``."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from msp_xero.errors import SettingError
from msp_xero.xero import XeroSettings
from msp_xero.xero.auth import connection_name
from msp_xero.xero.scopes import NEEDS, READING, missing
from msp_xero.xero.standing import Standing, standing
from msp_xero.xero.tokens import TokenStore

from msp_xero_console.project import XERO_PLUGINS
from msp_xero_console.words import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from msp_xero.xero.scopes import Need

    from msp_xero_console.project import Project

Line: TypeAlias = tuple[str, str, str, str]
"""Subject, result, what was seen, what to do."""

OK, WARNING, FAILED = "ok", "warning", "failed"

_RESULTS = {"good": OK, "ends_soon": WARNING, "ends_very_soon": WARNING}


def xero_logins(project: Project, now: datetime | None = None) -> Iterator[Line]:
    """Check, before anything uses and so renews them, when logins end, and that they are private."""
    sharing = _sharing(project)
    for plugins, settings in sharing:
        yield from _login(" and ".join(plugins), settings, now or datetime.now(UTC))
    for path in dict.fromkeys(settings.token_store for _, settings in sharing):
        yield from _privacy(path)


def xero_scopes(
    project: Project, store_of: Callable[[XeroSettings], TokenStore] = lambda one: TokenStore(one.token_store)
) -> Iterator[Line]:
    """Check, when a token is there, that its scopes are enough.

    Args:
        project: the connections.
        store_of: where the token of a connection is kept.
    """
    for plugins, settings in _sharing(project):
        needs = NEEDS if "target-xero-invoices" in plugins else READING
        yield from _scopes(" and ".join(plugins), settings, store_of(settings), needs)


def login_standing(project: Project, now: datetime | None = None) -> Standing | None:
    """Return how the login that bills stands; None where there is none to keep an eye on."""
    for settings in reversed(_connections(project).values()):
        if found := standing(settings, now or datetime.now(UTC)):
            return found
    return None


def _sharing(project: Project) -> list[tuple[list[str], XeroSettings]]:
    """Return each connection once, with the plugins that share its token."""
    found: dict[tuple[Path, str], tuple[list[str], XeroSettings]] = {}
    for plugin, settings in _connections(project).items():
        plugins, _ = found.setdefault((settings.token_store, connection_name(settings)), ([], settings))
        plugins.append(plugin)
    return list(found.values())


def _connections(project: Project) -> dict[str, XeroSettings]:
    """Return the connections whose settings can be read; the others are the business of other checks."""
    found = {}
    for plugin in XERO_PLUGINS:
        if plugin in project.configs:
            try:
                found[plugin] = XeroSettings.from_config(project.config(plugin))
            except SettingError:
                continue
    return found


def _login(name: str, settings: XeroSettings, now: datetime) -> Iterator[Line]:
    found = standing(settings, now)
    if found is None:
        return
    where = f"{text(found.organisation)}: " if found.organisation else ""
    yield f"Xero login of {name}", _RESULTS.get(found.state, FAILED), f"{where}{found.seen}", found.advice
    if settings.tenant_id and found.tenant_id and settings.tenant_id.lower() != found.tenant_id.lower():
        chosen = f"{text(found.organisation)} ({found.tenant_id})"
        seen = f"tenant_id is {settings.tenant_id}, and {chosen} was chosen at the login; the setting counts"
        yield "Xero organisation", WARNING, seen, "Correct tenant_id, or log in again and choose the other."


def _scopes(name: str, settings: XeroSettings, store: TokenStore, needs: Sequence[Need]) -> Iterator[Line]:
    """Compare the scopes of the last token with what is needed; without a token nothing is known."""
    try:
        token = store.load(connection_name(settings))
    except SettingError:
        return
    if token is None or not token.scope:
        return
    subject = f"Xero scopes of {name}"
    lacking = missing(token.scope, needs)
    if not lacking:
        yield subject, OK, f"all that are needed; granted: {token.scope}", ""
        return
    advice = (
        "Allow them for the app, add them to the setting scopes if that is set, and run `msp-xero login`."
        if settings.grant == "authorization_code"
        else "Tick them for the Custom Connection in Xero's developer portal, and have it authorised again; "
        "add them to the setting scopes if that is set."
    )
    cannot = "; ".join(f"{need.scope} is missing, to {need.what}" for need in lacking)
    yield subject, FAILED, cannot, advice


def _privacy(path: Path) -> Iterator[Line]:
    """Warn when others can read the tokens: a copied or restored file gets the rights of its folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        yield (
            "Xero token store",
            WARNING,
            f"{path} can be read by others ({stat.S_IMODE(mode):04o})",
            f"chmod 600 {path}",
        )

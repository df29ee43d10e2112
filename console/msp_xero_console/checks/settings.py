"""Are the settings complete, and do the plugins mean the same systems and the same ledger?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero.billing.settings import BILLING, BillingSettings
from msp_xero.directory.settings import DIRECTORY
from msp_xero.errors import SettingError
from msp_xero.ledger.address import shown
from msp_xero.ledger.settings import LEDGER
from msp_xero.sdp import SDP_CONNECTION, SdpSettings
from msp_xero.singer.settings import check_settings, unknown_settings
from msp_xero.xero import XERO_BUDGET, XERO_CONNECTION, XeroSettings
from singer_sdk.typing import PropertiesList

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.meltano import variable_name
from msp_xero_console.project import (
    LEDGER_VARIABLE,
    PLUGINS,
    SDP_PLUGINS,
    WORKLOG_MAPPING,
    XERO_PLUGINS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msp_xero_console.checks.scene import Scene
    from msp_xero_console.project import Project

# What core knows of each plugin's settings; those of extraction and selection are the taps' own.
_SCHEMAS = {
    "tap-msp-sdp": PropertiesList(*SDP_CONNECTION).to_dict(),
    "target-msp-sdp": PropertiesList(*SDP_CONNECTION, *LEDGER, *DIRECTORY).to_dict(),
    "tap-xero-lite": PropertiesList(*XERO_CONNECTION, *XERO_BUDGET).to_dict(),
    "target-xero-invoices": PropertiesList(*XERO_CONNECTION, *XERO_BUDGET, *LEDGER, *BILLING).to_dict(),
}


def settings(scene: Scene) -> Iterator[Finding]:
    """Check the settings of every plugin, and remember whose can be used."""
    for plugin in PLUGINS:
        finding = settings_of(scene.project, plugin)
        if finding.status != FAILED and plugin in scene.project.configs:
            scene.usable.add(plugin)
        yield finding
    for plugin in scene.project.heirs:
        yield settings_of(scene.project, plugin)


def settings_of(project: Project, plugin: str) -> Finding:
    """Check the settings of one plugin."""
    heir = project.heirs.get(plugin)
    if plugin not in project.configs and heir is None:
        return Finding(plugin, WARNING, f"not in {project.source}", "Its jobs cannot run without it.")
    kind = heir.parent if heir else plugin
    try:
        config = project.config(plugin)
        if unknown := _unknown_settings(project, kind, config):
            return Finding(plugin, FAILED, _sentences(unknown), "Correct the name in meltano.yml.")
        known = _SCHEMAS[kind]["properties"]
        check_settings({name: config[name] for name in config if name in known}, _SCHEMAS[kind])
        found = _sdp_settings(plugin, config) if kind in SDP_PLUGINS else _xero_settings(plugin, kind, config)
    except SettingError as error:
        advice = f"Set it in meltano.yml, or {variable_name(plugin, error.setting)} in .env."
        if heir:
            advice += f" What an environment says of {kind} does not reach it."
        return Finding(plugin, FAILED, _sentences([error, *error.others]), advice)
    return found


def _sdp_settings(plugin: str, config: Mapping[str, Any]) -> Finding:
    sdp = SdpSettings.from_config(config)
    if not sdp.verify_tls:
        return Finding(
            plugin,
            WARNING,
            "verify_tls is off: anybody between here and there can read and change everything, the key "
            "included",
            "Set ca_bundle to the PEM file of your authority, and verify_tls back to true.",
        )
    return Finding(plugin, OK, f"{sdp.base_url} ({sdp.edition})")


def _xero_settings(plugin: str, kind: str, config: Mapping[str, Any]) -> Finding:
    xero = XeroSettings.from_config(config)
    if kind != "target-xero-invoices":
        return Finding(plugin, OK, xero.grant)
    billing = BillingSettings.from_config(config)
    push = "" if billing.push else ", push is off"
    seen = f"{xero.grant}, invoices {billing.number_prefix}… as {billing.invoice_status}{push}"
    return Finding(plugin, OK, seen)


def _unknown_settings(project: Project, kind: str, config: Mapping[str, Any]) -> list[SettingError]:
    """Return an error for each misspelt name; only Meltano's file says which settings a tap has."""
    declared = project.declared.get(kind)
    return unknown_settings(config, {*declared, *_SCHEMAS[kind]["properties"]}) if declared else []


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
        seen = "; ".join(f"{name}: {shown(url)}" for name, url in ledgers.items())
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
        seen = "; ".join(f"{name}: {_told(value)}" for name, value in values.items())
        yield Finding(f"same {setting}", FAILED, f"{seen}; {danger}", f"Set {setting} to the same for both.")


def _told(value: str) -> str:
    """Return an address or an id as it may be shown: it is not checked yet, and could hold a password."""
    return "not shown, it seems to hold a password" if "@" in value else value or "not set"


def switches(project: Project) -> Iterator[Finding]:
    """Say which jobs are switched off."""
    if off := project.switched_off:
        yield Finding("jobs", OK, f"switched off: {', '.join(off)}")

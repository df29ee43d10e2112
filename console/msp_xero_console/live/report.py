"""The report of the probes: Markdown that can be pasted into an issue."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from msp_xero.errors import MspXeroError, SettingError
from msp_xero.sdp import SdpSettings
from msp_xero.xero import XeroSettings

from msp_xero_console.checks.scene import PATIENCE, looking_store
from msp_xero_console.live.probe import Answered, Probe, ask, kind_of
from msp_xero_console.live.sdp import SDP_PROBES, SdpGround
from msp_xero_console.live.xero import XERO_PROBES, XeroGround
from msp_xero_console.project import SDP_PLUGINS, XERO_PLUGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from msp_xero.edges.watching import Watch

    from msp_xero_console.project import Project


def probe_all(project: Project, *, tell: Callable[[str], None], watch: Watch | None) -> list[Answered]:
    """Run all probes that the project's settings allow; those of a system without settings say so."""
    return [*_sdp(project, tell, watch), *_xero(project, tell, watch)]


def _sdp(project: Project, tell: Callable[[str], None], watch: Watch | None) -> Iterator[Answered]:
    try:
        client = project.sdp(_plugin(project, SDP_PLUGINS), watch=watch, patience=PATIENCE)
    except MspXeroError as error:
        yield from _unasked(SDP_PROBES, error)
        return
    try:
        # Without an answer to the first call each of the others would wait for its own.
        if (door := client.probe(client.settings.accounts_path)).answer is None and door.error:
            yield from _unasked(SDP_PROBES, door.error)
            return
        yield from ask(SDP_PROBES, SdpGround(client), tell)
    finally:
        client.close()


def _xero(project: Project, tell: Callable[[str], None], watch: Watch | None) -> Iterator[Answered]:
    try:
        plugin = _plugin(project, reversed(XERO_PLUGINS))
        store = looking_store(XeroSettings.from_config(project.config(plugin)))
        client = project.xero(plugin, watch=watch, store=store, patience=PATIENCE)
    except MspXeroError as error:
        yield from _unasked(XERO_PROBES, error)
        return
    try:
        client.probe("Organisation")
        yield from ask(XERO_PROBES, XeroGround(client), tell)
    except MspXeroError as error:
        yield from _unasked(XERO_PROBES, error)
    finally:
        client.close()


def _plugin(project: Project, plugins: Iterable[str]) -> str:
    found = next((name for name in plugins if name in project.configs), None)
    if found is None:
        raise SettingError("plugins", f"none of its plugins is in {project.source}")
    return found


def _unasked(probes: Iterable[Probe[Any]], error: MspXeroError) -> Iterator[Answered]:
    for probe in probes:
        seen = (f"could not be asked: {kind_of(error)}",) if probe.run else ()
        yield Answered(probe.name, probe.section, probe.question, seen, probe.steps)


def markdown(project: Project, answers: Iterable[Answered], now: datetime) -> str:
    """Return the report. It names no host, no customer, no text and no number of anybody."""
    lines = [
        "# Live checklist of msp-xero",
        "",
        "Written by `msp-xero doctor --live-checklist`. It holds HTTP statuses, names of members, types and",
        "counts; no values, hosts, names or texts. Only reads were made.",
        "",
        *(f"- {fact}" for fact in _facts(project, now)),
        "",
    ]
    manual = []
    for answer in answers:
        if not answer.seen:
            manual.append(answer)
            continue
        lines += [f"## {answer.name}", "", f"{answer.question} ({answer.section})", ""]
        lines += [f"- {line}" for line in answer.seen]
        lines += ["", f"By hand: {answer.steps}"] if answer.steps else []
        lines.append("")
    lines += ["## What only a person can try", ""]
    for answer in manual:
        lines += [f"- [ ] **{answer.name}** ({answer.section}): {answer.question} {answer.steps}"]
    return "\n".join(lines) + "\n"


def _facts(project: Project, now: datetime) -> Iterator[str]:
    try:
        yield f"msp-xero {version('msp-xero')}, {now:%Y-%m-%d}"
    except PackageNotFoundError:
        yield f"msp-xero from its source, {now:%Y-%m-%d}"
    try:
        sdp = SdpSettings.from_config(project.config(_plugin(project, SDP_PLUGINS)))
        tls = "https" if sdp.base_url.startswith("https") else "http"
        private = ", ca_bundle" if sdp.ca_bundle else ""
        checked = "" if sdp.verify_tls else ", verification off"
        yield f"ServiceDesk Plus MSP: {sdp.edition}, {tls}{private}{checked}"
    except MspXeroError as error:
        yield f"ServiceDesk Plus MSP: {kind_of(error)}"
    try:
        xero = XeroSettings.from_config(project.config(_plugin(project, reversed(XERO_PLUGINS))))
        yield f"Xero: {xero.grant}"
    except MspXeroError as error:
        yield f"Xero: {kind_of(error)}"

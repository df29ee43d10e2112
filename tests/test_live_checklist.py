"""The page of open questions holds all of them, and each probe tells the answers of its switches apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from msp_xero.edges.watching import watched
from msp_xero.sdp import SdpClient, SdpSettings
from msp_xero.xero import XeroClient, XeroSettings
from msp_xero_console.live import PROBES, SDP_PROBES, XERO_PROBES, SdpGround, XeroGround, ask
from msp_xero_sandbox.assembly import assemble
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.sdp.switches import Switches as SdpSwitches
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.xero.switches import Switches as XeroSwitches

from docs.live_checklist import NO_QUESTIONS, SETTLES
from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from msp_xero.edges.watching import Exchange
    from msp_xero_sandbox.assembly import Sandbox

PAGE = (ROOT / "docs" / "live-checklist.md").read_text()
CLOUD = {
    "edition": "cloud",
    "oauth_client_id": "sandbox-client",
    "oauth_client_secret": "sandbox-secret",
    "oauth_refresh_token": "sandbox-refresh",
    "oauth_url": "http://sdp.test/oauth/v2/token",
    "base_url": "http://sdp.test/app/itdesk",
}


def switches_of_the_sandbox() -> set[str]:
    sdp = {f"sdp.{name}" for name in SdpSwitches({}).as_dict()}
    return sdp | {f"xero.{name}" for name, _, _ in XeroSwitches.documented()}


def test_every_switch_of_the_sandbox_is_settled_by_a_probe_or_is_no_question() -> None:
    settled = [switch for switches in SETTLES.values() for switch in switches]
    assert len(settled) == len(set(settled)), "a switch is settled by two probes"
    assert not set(settled) & set(NO_QUESTIONS)
    assert {*settled, *NO_QUESTIONS} == switches_of_the_sandbox()


def test_the_page_and_the_list_name_the_probes_that_there_are_and_no_others() -> None:
    assert list(SETTLES) == [probe.name for probe in PROBES]
    for probe in PROBES:
        assert f"| `{probe.name}` | {probe.section} |" in PAGE
    for switch in switches_of_the_sandbox():
        assert f"`{switch}`" in PAGE


def test_what_is_not_asked_has_steps_for_a_person() -> None:
    for probe in PROBES:
        assert probe.question.endswith("?")
        assert probe.run is not None or probe.steps, probe.name


class World:
    """A sandbox in this process, and what a probe says of it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        # The local Xero counts 60 calls a minute; waiting only moves its clock.
        self.sandbox = sandbox
        self._clock = MovingClock(self.sandbox.clock)
        self._folder = folder
        self.session = requests.Session()
        self.session.trust_env = False
        for host, site in (("http://sdp.test", self.sandbox.sdp), ("http://xero.test", self.sandbox.xero)):
            self.session.mount(host, InProcessAdapter(site.faulty, self.sandbox.clock))

    def set(self, switch: str, value: str) -> None:
        system, _, name = switch.partition(".")
        getattr(self.sandbox, system).control.set(name, value)

    def says(self, name: str, **config: Any) -> tuple[str, ...]:
        if name.startswith("sdp-"):
            probes, ground = SDP_PROBES, SdpGround(self.sdp(**config))
        else:
            settings = {
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
                "api_url": "http://xero.test/api.xro/2.0",
                "identity_url": "http://xero.test",
                "token_store": str(self._folder / "token.json"),
            }
            xero = XeroClient(XeroSettings.from_config(settings), session=self.session, clock=self._clock)
            probes, ground = XERO_PROBES, XeroGround(xero)
        (answer,) = ask([probe for probe in probes if probe.name == name], ground, lambda _: None)
        return answer.seen

    def sdp(self, **config: Any) -> SdpClient:
        settings = {"base_url": "http://sdp.test", "auth_token": "sandbox-authtoken", **config}
        return SdpClient(SdpSettings.from_config(settings), session=self.session, clock=self._clock)

    def writes(self) -> list[str]:
        logs = [getattr(self.sandbox, system).faulty.log.since() for system in ("sdp", "xero")]
        calls = [call for log in logs for call in log]
        return [
            f"{c['method']} {c['path']}" for c in calls if c["method"] != "GET" and "token" not in c["path"]
        ]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return assemble(Settings(scale="small"))


@pytest.fixture
def world(tmp_path: Path, sandbox: Sandbox) -> Iterator[World]:
    world = World(tmp_path, sandbox)
    for site in (sandbox.sdp, sandbox.xero):
        site.control.reset()
    yield world
    assert world.writes() == []


# The other answer of each switch, where it is not the second of the sandbox's own list.
OTHER = {
    "sdp.login_url_field": "loginUrl",
    "sdp.portal_id": "1",
    "sdp.last_updated_on": "all",
    "sdp.account_on": "requests",
    "xero.day_limit": "1000",
    "sdp.cost_visible": "off",
}
_OTHERWISE = {"sdp.dialect", "sdp.context_path", "xero.unique_contact_names", "xero.zero_lines_lose_codes"}
ASKED = [
    (probe.name, switch)
    for probe in PROBES
    if probe.run is not None and not probe.steps
    for switch in SETTLES[probe.name]
    if switch not in _OTHERWISE
]


def other_answer(switch: str) -> str:
    if switch in OTHER:
        return OTHER[switch]
    system, _, name = switch.partition(".")
    if system == "sdp":
        from msp_xero_sandbox.sdp import switches  # noqa: PLC0415

        return switches._CHOICES[name][1]
    default = next(default for each, default, _ in XeroSwitches.documented() if each == name)
    choices = {"on": "off", "off": "on", "list": "304"}
    return choices[default]


@pytest.mark.parametrize(("name", "switch"), ASKED)
def test_a_probe_tells_the_answers_of_its_switch_apart(world: World, name: str, switch: str) -> None:
    config = {}
    if switch == "sdp.cost_shape":
        world.set("sdp.dialect", "cloud")
        config = CLOUD
    one = world.says(name, **config)
    world.set(switch, other_answer(switch))
    other = world.says(name, **config)
    assert one
    assert other
    assert one != other
    assert not any("could not be" in line for line in [*one, *other])


@pytest.mark.parametrize("config", [{}, CLOUD], ids=["onprem", "cloud"])
def test_no_probe_ever_sends_a_wrong_key(world: World, config: dict[str, Any]) -> None:
    if config:
        world.set("sdp.dialect", "cloud")
    sent: set[str] = set()
    ours = {"sandbox-authtoken"}

    def note(exchange: Exchange) -> None:
        if exchange.url.endswith("/oauth/v2/token"):
            ours.add(f"Zoho-oauthtoken {json.loads(exchange.body).get('access_token')}")
        headers = ("authtoken", "TECHNICIAN_KEY", "Authorization")
        sent.update(exchange.request_headers[name] for name in headers if name in exchange.request_headers)

    watched(world.session, note)
    # One client for all, as the command has it: tokens are few.
    answers = list(ask(SDP_PROBES, SdpGround(world.sdp(**config)), lambda _: None))
    assert not any("Throttled" in line for one in answers for line in one.seen)
    assert sent
    assert sent <= ours


def test_the_dialects_are_told_apart(world: World) -> None:
    for dialect, config in (("new", {}), ("legacy", {}), ("cloud", CLOUD)):
        world.set("sdp.dialect", dialect)
        assert f"looks like the dialect: {dialect}" in world.says("sdp-worklog-row", **config)


def test_a_context_path_is_told(world: World) -> None:
    assert "the base URL has a path: no" in world.says("sdp-portal")
    world.set("sdp.context_path", "/sdp")
    assert "the base URL has a path: yes" in world.says("sdp-portal", base_url="http://sdp.test/sdp")


def test_contacts_of_one_name_are_counted(world: World) -> None:
    assert any("names that several share: 0" in line for line in world.says("xero-contact-names"))
    world.set("xero.unique_contact_names", "off")
    app = world.sandbox.xero.faulty.app
    first = app.dump(["contacts"])["contacts"][0]["Name"]
    app.change_row({"kind": "contact", "action": "add", "values": {"Name": first}})
    assert any("names that several share: 1" in line for line in world.says("xero-contact-names"))


def test_lines_of_nothing_without_codes_are_counted(world: World) -> None:
    app = world.sandbox.xero.faulty.app
    line = {"Description": "free", "Quantity": 1, "UnitAmount": 0, "AccountCode": "200", "TaxType": "OUTPUT2"}
    contact = next(row for row in app.dump(["contacts"])["contacts"] if row["ContactStatus"] == "ACTIVE")
    values = {"Type": "ACCREC", "Contact": {"ContactID": contact["ContactID"]}, "LineItems": [line]}
    app.change_row({"kind": "invoice", "action": "add", "values": values})
    assert "1 of 0.00, 0 of these without" in world.says("xero-zero-lines")[0]
    world.set("xero.zero_lines_lose_codes", "on")
    app.change_row({"kind": "invoice", "action": "add", "values": values})
    assert "2 of 0.00, 1 of these without" in world.says("xero-zero-lines")[0]


def test_a_probe_that_fails_says_so_and_hides_no_other() -> None:
    def broken(_ground: object) -> list[str]:
        raise KeyError("Kōwhai Dental")

    from msp_xero_console.live import Probe  # noqa: PLC0415

    probes = [
        Probe(name="a", section="1", question="?", run=broken),
        Probe(name="b", section="2", question="?", run=lambda _: ["fine"]),
    ]
    first, second = ask(probes, object(), lambda _: None)
    assert first.seen == ("the answer could not be read (KeyError)",)
    assert second.seen == ("fine",)

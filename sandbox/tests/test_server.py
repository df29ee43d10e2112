from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests
from msp_xero_sandbox import cli
from msp_xero_sandbox.assembly import assemble
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.server import running
from msp_xero_sandbox.settings import Settings, parse_latency, parse_scale, parse_switch
from msp_xero_sandbox.wire import make_call

READY = re.compile(r"msp-xero-sandbox ready xero=(http://127\.0\.0\.1:\d+) sdp=(http://127\.0\.0\.1:\d+)\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_says_when_it_is_ready_and_ends_cleanly(tmp_path, number):
    data = tmp_path / "rows.json"
    data.write_text(json.dumps({"xero": {"organisation": [{"Name": "From a file", "BaseCurrency": "NZD"}]}}))
    command = [
        sys.executable,
        "-m",
        "msp_xero_sandbox.cli",
        "--xero-port",
        "0",
        "--sdp-port",
        "0",
        "--data",
        str(data),
    ]
    with subprocess.Popen(
        [*command, "--set", "xero.day_limit=7"], stdout=subprocess.PIPE, text=True
    ) as process:
        found = READY.fullmatch(process.stdout.readline())
        assert found
        for system, url in zip(("xero", "sdp"), found.groups(), strict=True):
            assert requests.get(f"{url}/_sandbox/", timeout=10).json()["system"] == system
        dump = requests.get(f"{found[1]}/_sandbox/dump?kinds=organisation", timeout=10).json()
        assert dump["organisation"][0]["Name"] == "From a file"
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""


def test_port_in_use_is_one_line(capsys, served):
    port = served.rpartition(":")[2]
    assert cli.main(["--xero-port", port, "--sdp-port", "0"]) == 1
    assert capsys.readouterr().err.startswith("msp-xero-sandbox: ")


def test_command_line():
    settings = cli.settings_from(
        ["--latency-ms", "5,10", "--scale", "30", "--seed", "7", "--set", "xero.a=b", "--set", "sdp.c=d=e"]
    )
    assert settings.latency_seconds == (0.005, 0.01)
    assert (settings.scale, settings.seed) == (30, 7)
    assert settings.switches_of("xero") == [("a", "b")]
    assert settings.switches_of("sdp") == [("c", "d=e")]
    assert cli.settings_from([]) == Settings()


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_latency, "x"),
        (parse_latency, "5,1"),
        (parse_latency, "-1"),
        (parse_scale, "huge"),
        (parse_scale, "0"),
    ]
    + [(parse_switch, text) for text in ("xero.a", "other.a=b", "=")],
)
def test_wrong_options_say_what_is_right(parse, text, capsys):
    with pytest.raises(ValueError, match="is"):
        parse(text)


def test_wrong_option_ends_with_its_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--scale", "huge"])
    assert ended.value.code == 2
    assert "small, medium, large or a positive number" in capsys.readouterr().err


def test_latency_makes_calls_overlap_and_the_sixth_is_refused():
    sandbox = assemble(Settings(latency_seconds=(0.2, 0.2)))
    with running([sandbox.xero]) as (url,), requests.Session() as session:
        session.trust_env = False
        granted = session.post(
            f"{url}/connect/token",
            auth=("sandbox-client", "sandbox-secret"),
            data={"grant_type": "client_credentials"},
            timeout=10,
        ).json()
        headers = {"Authorization": f"Bearer {granted['access_token']}"}

        def get(_number):
            with requests.Session() as own:
                own.trust_env = False
                return own.get(f"{url}/api.xro/2.0/Organisation", headers=headers, timeout=10)

        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(get, range(8)))
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(refused) == 3
    assert {reply.headers["X-Rate-Limit-Problem"] for reply in refused} == {"concurrent"}
    assert not any("Retry-After" in reply.headers for reply in refused)


def test_same_seed_same_delays_and_ids():
    def walk():
        sandbox = assemble(
            Settings(latency_seconds=(0.001, 0.5)), Clock(datetime(2026, 11, 22, tzinfo=UTC), running=False)
        )
        served = [sandbox.xero.faulty.serve(make_call("GET", "/connections", {})) for _ in range(3)]
        return [outcome.delay for outcome in served], sandbox.xero.faulty.app.dump()

    assert walk() == walk()


def test_faults_are_values_for_a_simulation_in_one_process(xero):
    sandbox = assemble(Settings(), Clock(datetime(2026, 11, 22, tzinfo=UTC), running=False))
    faulty = sandbox.xero.faulty
    faulty.add_faults([{"kind": "slow", "commit": "after", "seconds": 30}, {"kind": "truncate"}])
    late = faulty.serve(make_call("GET", "https://api.xero.com/connections?x=1", {}))
    assert (late.ending, late.delay, late.answer) == ("answer", 30.0, None)
    assert late.settled().status == 401
    assert faulty.log.since()[0]["query"] == {"x": "1"}


def test_clock_stands_still_until_moved():
    start = datetime(2026, 11, 22, tzinfo=UTC)
    clock = Clock(start, running=False)
    assert clock.now() == clock.now() == start
    clock.advance(1.5)
    assert clock.epoch_ms() == int(start.timestamp() * 1000) + 1500
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    clock.reset()
    assert clock.now() == start


def test_keep_alive_and_percent_encoding(live):
    assert (
        live.call("GET", "/Contacts?where=Name%3D%3D%22Ada%20Limited%22").json()["Contacts"][0]["Name"]
        == "Ada Limited"
    )
    assert live.call("GET", "/Items/REM%2D1").json()["Items"][0]["Code"] == "REM-1"
    assert live.call("HEAD", "/Nowhere").status_code == 404

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest


def mapper(*arguments, given=b"", **options):
    return subprocess.run(
        [sys.executable, "-m", "msp_xero_transforms", *arguments],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def config(tmp_path):
    def write(**settings):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(settings))
        return ["--config", str(path)]

    return write


def test_one_full_run(config, fixtures):
    settings = config(
        time_zone="Pacific/Auckland", default_worklog_type="Remote support", rate_source="worklog_charge"
    )
    run = mapper(*settings, given=(fixtures / "worklogs.singer").read_bytes())
    assert run.returncode == 0, run.stderr.decode()
    written = [line for line in run.stdout.splitlines() if b'"SCHEMA"' not in line]
    assert written == (fixtures / "worklogs.expected.singer").read_bytes().splitlines()
    assert b"Mapped worklogs to bill: 10, worklogs to hold: 4." in run.stderr


def test_texts_are_utf8_whatever_the_locale(config, fixtures):
    given = (fixtures / "worklogs.singer").read_bytes()
    run = mapper(*config(), given=given, env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert run.returncode == 0
    assert "👍🏽".encode() in run.stdout


def test_input_can_be_a_file(config, fixtures):
    run = mapper(*config(), "--input", str(fixtures / "items.singer"))
    assert run.returncode == 0
    assert b'"unit_price":128.1950' in run.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_zone": "Mars"}, b"Setting time_zone: is not the name of a time zone in the IANA database."),
        ({"rate_source": "guess"}, b"Setting rate_source: must be one of item_price, worklog_charge."),
        ({"description_template": "{{ txt }}"}, b"did you mean text?"),
    ],
)
def test_a_wrong_setting_ends_the_run_before_it_reads(config, fixtures, settings, message):
    run = mapper(*config(**settings), given=(fixtures / "worklogs.singer").read_bytes())
    assert run.returncode == 1
    assert run.stdout == b""
    assert message in run.stderr
    assert b"Traceback" not in run.stderr


def test_a_line_that_is_no_message_ends_the_run_without_showing_it(config):
    state = b'{"type":"STATE","value":{}}\n'
    run = mapper(*config(), given=state + b'{"password": "hunter2"\n' + state)
    assert run.returncode == 1
    assert run.stdout == state
    assert b"msp-xero-transforms: error: input line 2 is not JSON" in run.stderr
    assert b"hunter2" not in run.stderr


def test_about_names_every_setting():
    run = mapper("--about", "--format=json")
    assert run.returncode == 0
    assert "time_zone" in json.loads(run.stdout)["settings"]["properties"]


def test_a_terminated_run_neither_succeeds_nor_claims_to_have_seen_all_items():
    with subprocess.Popen(
        [sys.executable, "-m", "msp_xero_transforms"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        process.stdin.write(b'{"type":"SCHEMA","stream":"items","schema":{}}\n{"type":"STATE","value":{}}\n')
        process.stdin.flush()
        assert b"worklog_types" in process.stdout.readline()
        assert b"STATE" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert process.stdout.read() == b""

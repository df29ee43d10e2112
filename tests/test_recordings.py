"""What leaves the house: the report for an issue, and recorded fixtures. Nothing of anybody is in either."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from msp_xero.edges.watching import Exchange
from msp_xero.sdp import SdpClient, SdpSettings, read_worklog
from msp_xero.sdp.calls import Probed
from msp_xero.sdp.envelope import Answer
from msp_xero_console.live.sdp_ground import codes_of
from msp_xero_console.live.shapes import headers, merged, name, names, shape
from msp_xero_console.main import app
from msp_xero_console.recording import Recorder
from msp_xero_console.scrubbing import Scrubber
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from typer.testing import CliRunner

from tests.project import NAMES_OF_OURS, Project
from tests.systems import Sandbox, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parent / "recorded"
MARK = "Zarquon"
PLANTED = f"{MARK} Dental & Söhne"
SECRETS = ("sandbox-authtoken", "sandbox-secret", "sandbox-client", "sandbox-refresh")
SWITCHED = {"cost_shape": "object", "task_worklogs": "all", "worklogs_list": "on"}


class Replay(BaseAdapter):
    """Answers from a recorded folder: the first record of the same call, or 404."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}
        for record in records:
            if record["system"] == "sdp" and record["answer"]["status"] == 200:
                asked = record["request"]
                self.answers.setdefault((asked["method"], asked["path"]), record["answer"])

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        path = re.sub(r".*?(?=/api/v3/)", "", urlsplit(str(request.url)).path)
        answer = self.answers.get((str(request.method), path)) or {"status": 404, "headers": {}, "body": None}
        response = requests.Response()
        response.status_code = answer["status"]
        response.headers = CaseInsensitiveDict(answer["headers"])
        body = answer["body"] or {}
        if "list_info" in body.get("json", {}):
            body["json"]["list_info"]["has_more_rows"] = False  # a recording has the first rows only
            body["json"]["list_info"].pop("total_count", None)
        response._content = (
            json.dumps(body["json"]).encode() if "json" in body else body.get("text", "").encode()
        )
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        pass

    def client(self) -> SdpClient:
        session = requests.Session()
        session.mount("http://recorded.test", self)
        settings = SdpSettings.from_config({"base_url": "http://recorded.test", "auth_token": "none"})
        return SdpClient(settings, session=session)

    def parents(self) -> list[str]:
        """The parents whose worklogs were recorded."""
        paths = [path for method, path in self.answers if method == "GET" and path.endswith("/worklogs")]
        found = [path.removeprefix("/api/v3/").removesuffix("/worklogs") for path in paths]
        return [path for path in found if path != "/api/v3/worklogs" and "/" in path]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    xero, sdp = free_ports(2)
    sandbox = Sandbox((xero, sdp), "--scale", "small")
    yield sandbox
    sandbox.stop()


@pytest.fixture
def planted(sandbox: Sandbox) -> set[str]:
    """Put a mark into every kind of text of both systems; returns all texts that must not get out."""
    sandbox.reset()
    for kind, rows_name in (
        ("account", "accounts"),
        ("worklog_type", "worklog_types"),
        ("technician", "technicians"),
    ):
        first = sandbox.rows("sdp", rows_name)[0]
        sandbox.change("sdp", kind, "edit", first["id"], name=PLANTED)
    newest = max(sandbox.rows("sdp", "requests"), key=lambda row: int(row["id"]))
    sandbox.change(
        "sdp", "request", "edit", newest["id"], title=f"{MARK}'s printer", description=f"call {MARK}"
    )
    sandbox.change(
        "sdp",
        "worklog",
        "add",
        parent=f"requests/{newest['id']}",
        owner=PLANTED,
        minutes=30,
        description=f"<div>{MARK} said: password hunter2-{MARK}</div>",
    )
    contact = sandbox.rows("xero", "contacts")[0]
    sandbox.change(
        "xero", "contact", "edit", contact["ContactID"], Name=PLANTED, EmailAddress=f"{MARK}@zarquon.example"
    )
    kinds = {
        "sdp": (
            "accounts",
            "requests",
            "problems",
            "changes",
            "projects",
            "tasks",
            "worklogs",
            "technicians",
            "requesters",
        ),
        "xero": ("contacts", "items", "invoices", "organisation"),
    }
    return {
        text
        for system, names in kinds.items()
        for kind in names
        for row in sandbox.rows(system, kind)
        for text in words(row)
    }


def words(value: Any) -> Iterator[str]:
    """Yield the texts of a row that are somebody's: those with a blank in them, or an @."""
    if isinstance(value, dict):
        for member in value.values():
            yield from words(member)
    elif isinstance(value, list):
        for member in value:
            yield from words(member)
    elif isinstance(value, str) and (" " in value.strip() or "@" in value) and len(value) > 5:
        yield value


def leaks(text: str, planted: set[str], sandbox: Sandbox) -> list[str]:
    ports = [urlsplit(address).netloc for address in (sandbox.sdp, sandbox.xero)]
    secret = [*SECRETS, *ports, "127.0.0.1", MARK, "hunter2", "Söhne", 'access_token": "1']
    return [one for one in {*secret, *planted} if one.lower() in text.lower()]


def run(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    import os  # noqa: PLC0415

    for variable in [one for one in os.environ if one.startswith(NAMES_OF_OURS)]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(project.folder)
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_report_and_the_recording_hold_nothing_of_anybody(
    sandbox: Sandbox, planted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(planted) > 100
    for switch, value in SWITCHED.items():
        sandbox.control("POST", "sdp", "set", {switch: value})
    project = Project.create(tmp_path / "project", sandbox)
    folder = tmp_path / "recorded"
    said = run(project, monkeypatch, "--live-checklist", "report.md", "--record", str(folder))
    report = (project.folder / "report.md").read_text()
    # The report does ask what the planted texts stand in.
    assert "## sdp-worklog-row" in report
    assert "## xero-contact-names" in report
    assert leaks(report, planted, sandbox) == []
    assert leaks(said.replace(str(folder), ""), planted, sandbox) == []
    files = sorted(folder.iterdir())
    assert len(files) > 150
    for path in files:
        assert leaks(path.read_text() + path.name, planted, sandbox) == [], path.name
    calls = [call for system in ("sdp", "xero") for call in sandbox.calls(system)]
    assert {c["method"] for c in calls if not c["path"].endswith("/connect/token")} == {"GET"}


def test_a_recording_is_replayed_to_the_same_worklogs(
    sandbox: Sandbox, planted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "project", sandbox)
    folder = tmp_path / "recorded"
    run(project, monkeypatch, "--live-checklist", "report.md", "--record", str(folder))
    replay = Replay(folder)
    client = replay.client()
    found = [read_worklog(row) for parent in replay.parents() for row in client.worklogs(parent)]
    truth = {row["id"]: row for row in sandbox.rows("sdp", "worklogs")}
    assert len(found) > 15
    # Renumbered, so that they are recognised by what stays: when they were made, and how long they took.
    made = {row["created_time"]: row["minutes"] for row in truth.values()}
    moments = {_epoch(worklog["created_time"]): worklog["minutes"] for worklog in found}
    assert moments.items() <= made.items()
    for worklog in found:
        assert worklog["technician_id"]
        assert (worklog["total_cost"] is None) == (worklog["technician_cost"] is None)
        assert set(worklog["extra"]) <= {"include_nonoperational_hours", "template", "billing_hours"}
    names = {worklog["technician_id"]: worklog["technician_name"] for worklog in found}
    assert all(name is None or re.fullmatch(r"Text \d+", name) for name in names.values())
    assert len(set(names.values())) == len(names), "two technicians became one"
    accounts = [row["name"] for row in client.accounts()]
    assert len(set(accounts)) == len(accounts) > 5
    client.close()


def _epoch(text: str | None) -> int:
    from datetime import datetime  # noqa: PLC0415

    assert text is not None
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize("folder", sorted(RECORDED.glob("*/")), ids=lambda folder: folder.name)
def test_recordings_of_live_installations_can_be_read(folder: Path) -> None:
    """Every folder that somebody recorded and put into tests/recorded/ is replayed here."""
    replay = Replay(folder)
    client = replay.client()
    for parent in replay.parents():
        for row in client.worklogs(parent):
            worklog = read_worklog(row)
            assert worklog["worklog_id"] != "None"
            assert worklog["minutes"] is not None
    client.close()


def test_a_recording_does_not_mix_with_another(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "project", sandbox)
    monkeypatch.chdir(project.folder)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine.txt").write_text("mine")
    done = CliRunner().invoke(app, ["doctor", "--record", str(tmp_path / "old")])
    assert done.exit_code == 1
    assert "is not empty; name a new folder for the recording" in done.stderr
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["mine.txt"]


LETTERS = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=4, max_size=20)
PERSONAL = st.builds("{} {}".format, LETTERS, LETTERS)


@given(
    PERSONAL,
    st.sampled_from(["name", "Name", "description", "value", "subject", "id", "Reference", "status"]),
)
def test_no_text_survives_scrubbing_wherever_it_stands(text: str, key: str) -> None:
    inside = {key: text, "udf_fields": {key: [text, {"x": text}]}, text: 1, "total_cost": {"value": text}}
    scrubbed = json.dumps(Scrubber().value(inside), ensure_ascii=False)
    assert text not in scrubbed


@given(st.lists(st.integers(1, 10**18), unique=True, max_size=200))
def test_ids_are_renumbered_one_to_one_and_the_same_everywhere(ids: list[int]) -> None:
    scrubber = Scrubber()
    new = [scrubber.value({"id": str(one)})["id"] for one in ids]
    assert len(set(new)) == len(ids)
    assert [scrubber.path(f"/api/v3/requests/{one}/worklogs").split("/")[4] for one in ids] == new


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"start_time": {"value": "1763974800000"}}, {"start_time": {"value": "1763974800000"}}),
        ({"time_spent": {"hours": "01", "minutes": "30"}}, {"time_spent": {"hours": "01", "minutes": "30"}}),
        ({"total_cost": "135.00"}, {"total_cost": "111.11"}),
        ({"total_charge": {"value": "135"}}, {"total_charge": {"value": "111"}}),
        ({"landline": "+64 21 555 0199"}, {"landline": "Text 1"}),
        ({"email_id": "a@b.example"}, {"email_id": "person1@example.test"}),
        ({"weburl": "https://kowhai.example/x?y"}, {"weburl": "https://host1.example.test/"}),
        ({"UpdatedDateUTC": "/Date(1439434356790+0000)/"}, {"UpdatedDateUTC": "/Date(1439434356790+0000)/"}),
        ({"description": "<div>Called Ana</div>"}, {"description": "<div>Text 1</div>"}),
        ({"is_billable": True, "type": None}, {"is_billable": True, "type": None}),
        ({"row_count": 7, "UnitPrice": 128.19}, {"row_count": 7, "UnitPrice": 1.5}),
    ],
)
def test_structure_types_and_formats_stay(value: dict[str, Any], kept: dict[str, Any]) -> None:
    assert Scrubber().value(value) == kept


def test_query_strings_of_a_recording_lose_what_they_name() -> None:
    query = dict(parse_qsl("InvoiceNumbers=SDP-1,SDP-2&where=Name%3D%3D%22Ana%22&page=2"))
    scrubber = Scrubber()
    assert {key: scrubber.parameter(key, value) for key, value in query.items()} == {
        "InvoiceNumbers": "Text 1,Text 2",
        "where": "a filter",
        "page": "2",
    }


NAMED_AFTER_SOMEBODY = [
    "Contoso",
    "Jane-Doe",
    "Smith_and_Sons",
    "AKIA5EXAMPLEKEYabcdef",
    "a1b2c3d4-0000-4000-8000-000000000001",
    "udf_contoso_12",
    "mail@contoso.example",
    "Kōwhai",
]


@pytest.mark.parametrize("key", NAMED_AFTER_SOMEBODY)
def test_a_member_that_is_named_after_somebody_gets_out_nowhere(key: str, tmp_path: Path) -> None:
    row = {"id": "12", key: {key: "x"}, "udf_sline_101": 1}
    status = {"status_code": 211234567, "messages": [{"status_code": 4001, "field": key, "fields": [key]}]}
    refused = Probed(Answer(status=400, body=json.dumps({"response_status": status}).encode(), headers={}))
    said = [shape(row), merged([row]), names(row), name(key), headers([f"X-{key}-Limit"]), *codes_of(refused)]
    assert not [line for line in said if key.lower() in line.lower()]
    assert not [line for line in said if "211234567" in line]
    assert said[2] == "id, udf_sline_101, 1 not shown"
    recorder = Recorder(tmp_path)
    recorder(
        Exchange(
            method="GET",
            url=f"https://h/connect/{key}/api/v3/requests/{key}?{key}=1&input_data=%7B%22{key}%22:1%7D",
            status=200,
            headers=dict.fromkeys(("Retry-After", "X-Rate-Limit-Problem", "Content-Type"), key),
            body=json.dumps({**row, "response_status": status}).encode(),
        )
    )
    (written,) = tmp_path.iterdir()
    record = json.loads(written.read_text())
    assert key.lower() not in (written.read_text() + written.name).lower()
    assert record["system"] == "sdp"
    # An id is renumbered, any other part that is no word of the API becomes a name; neither stays.
    assert record["request"]["path"].startswith("/api/v3/requests/")
    assert not record["request"]["path"].endswith(key)
    assert set(record["answer"]["headers"].values()) == {"another value"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"Status": "0211234567"}, {"Status": "1111111111"}),
        ({"hours": "0211234567", "minutes": 211234567}, {"hours": "1111111111", "minutes": 1}),
        ({"mobile": {"value": "9421234567890"}}, {"mobile": {"value": "1111111111111"}}),
        ({"mobile": {"value": "1763974800000"}}, {"mobile": {"value": "1577923200000"}}),
        ({"start_time": {"value": "9421234567890"}}, {"start_time": {"value": "1111111111111"}}),
        ({"time_spent": {"value": "5400000"}}, {"time_spent": {"value": "5400000"}}),
        ({"udf_date_105": "1980-04-05"}, {"udf_date_105": "2020-01-02"}),
        ({"Name": "/Date(323740800000+0000)/"}, {"Name": "/Date(1577923200000+0000)/"}),
        ({"title": "1980-04-05T06:07:08Z"}, {"title": "2020-01-02T00:00:00Z"}),
    ],
)
def test_a_number_or_a_date_stays_only_where_the_system_has_one(
    value: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert Scrubber().value(value) == kept


@pytest.mark.parametrize("prefix", ["/acme", "/connect/acme", "/acme/zoho", "/connections-of-acme"])
def test_what_a_proxy_puts_before_a_path_is_not_recorded(prefix: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for path in ("/api/v3/accounts", "/api.xro/2.0/Contacts", "/oauth/v2/token", "/token"):
        recorder(Exchange(method="GET", url=f"https://proxy.acme.example{prefix}{path}", status=200))
    assert not [one.name for one in tmp_path.iterdir() if "acme" in one.read_text() + one.name]


def test_an_answer_that_is_too_deep_does_not_end_a_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder(Exchange(method="GET", url="https://h/api/v3/accounts", status=200, body=b"[" * 9000))
    assert recorder.count == 1


def test_headers_of_a_known_form_are_recorded(tmp_path: Path) -> None:
    told = {
        "Retry-After": "30",
        "X-Rate-Limit-Problem": "minute",
        "Content-Type": "application/json; charset=utf-8",
    }
    Recorder(tmp_path)(Exchange(method="GET", url="https://h/api.xro/2.0/Items", status=429, headers=told))
    (written,) = tmp_path.iterdir()
    kept = {**told, "Content-Type": "application/json"}
    assert json.loads(written.read_text())["answer"]["headers"] == kept

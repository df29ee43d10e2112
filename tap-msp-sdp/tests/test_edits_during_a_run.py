"""A worklog that is edited while the run goes on: its ticket is read again, and the newer copy leaves."""

from __future__ import annotations

from collections import Counter

import pytest

from . import conftest
from .conftest import run, settings


class Ahead(conftest.PatientClock):
    """The clock of the tap's machine is an hour ahead of that of ServiceDesk Plus."""

    def __init__(self):
        super().__init__()
        self._offset = 3600.0


@pytest.mark.parametrize("clock", [conftest.PatientClock, Ahead])
def test_the_newer_copy_is_delivered_and_counted(large, monkeypatch, clock):
    monkeypatch.setattr(conftest, "PatientClock", clock)
    owners = {row["id"]: row for row in large.reachable().values() if row["module"] == "request"}
    edited = []

    def edit(message):
        if edited or message["type"] != "RECORD":
            return
        one = message["record"]["worklog_id"]
        edited.append(one)
        large.post("rows", {"kind": "worklog", "action": "edit", "id": one, "values": {"minutes": 777}})
        # Work goes on: half an hour later another ticket is changed.
        large.post("clock", {"advance_seconds": 1800})
        other = next(row["parent_id"] for row in owners.values() if row["id"] != one)
        large.post("rows", {"kind": "request", "action": "edit", "id": other, "values": {"title": "moved"}})

    out = run(settings(large, modules=["requests"]), each=edit)
    copies = [record for record in out.records() if record["worklog_id"] == edited[0]]
    assert [record["minutes"] == 777 for record in copies] == [False, True]
    assert out.trailer["worklogs"] == Counter(record["module"] for record in out.records())
    assert sum(out.trailer["minutes"].values()) == sum(record["minutes"] for record in out.records())


def test_only_a_time_of_change_is_told_as_one(small):
    """Problems tell none (sdp-msp-api §4): that one was closed is no later than its being opened again."""
    small.post("set", {"last_updated_on": "requests"})
    records = run(settings(small, modules=["requests", "problems"])).records()
    told = {record["parent_module"]: record["parent_changed_time"] for record in records}
    assert told["request"] is not None
    assert told["problem"] is None
    for record in records:
        assert record["parent_changed_time"] in {None, record["parent_updated_time"]}

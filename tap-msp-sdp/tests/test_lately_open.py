"""What is remembered of parents that were open, where nothing tells when one was closed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msp_xero.sdp import SdpClient

from .conftest import found, new_worklog, run, settings
from .test_closed_parents import ended, long_ago, open_project


def open_general_tasks(sandbox):
    tasks = sandbox.get("dump")["tasks"]
    return [task for task in tasks if task["parent_kind"] == "general" and task["status"] == "Open"]


def without_empty_members(monkeypatch):
    """Let the installation leave out what is null, in lists and in single rows."""
    read_page, read_row = SdpClient._page, SdpClient.read_row

    def told(row):
        return {name: value for name, value in row.items() if value is not None}

    def page(self, *asked):
        answer = read_page(self, *asked)
        return replace(answer, rows=[told(row) for row in answer.rows])

    monkeypatch.setattr(SdpClient, "_page", page)
    monkeypatch.setattr(SdpClient, "read_row", lambda self, *asked: told(read_row(self, *asked)))


@pytest.mark.parametrize("kind", ["project", "task"])
def test_what_was_seen_open_is_remembered_where_rows_leave_empty_members_out(small, monkeypatch, kind):
    without_empty_members(monkeypatch)
    long_ago(small, kind)
    if kind == "project":
        parent, task = open_project(small.get("dump"))
        path = f"projects/{parent['id']}/tasks/{task['id']}"
    else:
        parent = open_general_tasks(small)[0]
        path = f"tasks/{parent['id']}"
    config = settings(small, modules=[f"{kind}s"])
    first = run(config)
    new_worklog(small, path)
    ended(small, kind, [parent], 60)
    second = run(config, state=first.state)
    assert second.trailer is not None
    assert len(found(second)) == 1

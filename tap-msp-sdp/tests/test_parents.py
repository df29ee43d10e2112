from __future__ import annotations

import pytest
from tap_msp_sdp.modules import MODULES
from tap_msp_sdp.parents import read_parent

ENDED = {"actual_end_time": {"value": "1780000000000"}}


@pytest.mark.parametrize(
    ("row", "is_open"),
    [
        ({}, True),
        (ENDED, False),
        ({"status": {"in_progress": True}}, True),
        ({"status": {"in_progress": False}}, False),
        ({"status": {"in_progress": "true"}, **ENDED}, True),
        ({"status": {"name": "Closed"}, **ENDED}, False),
    ],
)
def test_a_task_is_open_as_its_status_says_and_where_that_is_silent_until_it_has_an_end(row, is_open):
    assert read_parent(MODULES["tasks"], {"id": "9", **row}).is_open is is_open

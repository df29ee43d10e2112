"""The sandbox without sockets: what a system commits late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter
from msp_xero_sandbox.sdp.app import SdpApp

START = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def sdp():
    clock = Clock(START, running=False)
    faulty = Faulty(SdpApp({}, clock, {}), clock, CallLog())
    session = requests.Session()
    session.mount("http://", adapter := InProcessAdapter(faulty, clock))
    return clock, faulty, session, adapter


def test_a_late_call_is_due_in_its_own_moment_and_committed_then(sdp):
    clock, faulty, session, adapter = sdp
    assert adapter.next_due() is None
    for seconds in (400, 104):
        faulty.add_faults([{"kind": "slow", "seconds": seconds, "commit": "after", "match": {}, "nth": 1}])
        with pytest.raises(requests.ReadTimeout):
            session.get("http://sdp.test/api/v3/accounts", timeout=30)
        faulty.clear_faults()
    # The second call began when the first had been given up, and is due before it.
    assert adapter.next_due() == START + timedelta(seconds=30 + 104)
    clock.advance(74)
    adapter.commit_late_calls()
    assert adapter.next_due() == START + timedelta(seconds=400)
    clock.advance(3600)
    adapter.commit_late_calls()
    assert adapter.next_due() is None

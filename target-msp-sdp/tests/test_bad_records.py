"""Over real sockets: one bad record holds up no other, and what a person took away stays away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import Unavailable
from msp_xero.ledger.links import unlink_account

if TYPE_CHECKING:
    from conftest import Bench, Sandbox

NAMES = ("Harbour Print", "Ridgeway University")
ELSEWHERE = {"city": "Elsewhere", "udf_fields": {}}


def both(bench: Bench, first: dict[str, Any], second: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    return "accounts", [
        bench.contact("c1", NAMES[0], fields=first),
        bench.contact("c2", NAMES[1], fields=second),
    ]


def test_a_merged_away_contact_does_not_take_back_what_a_person_unlinked(
    bench: Bench, sandbox: Sandbox
) -> None:
    loser = bench.contact("c2", "Tahi Plumbing", contact_status="ARCHIVED", merged_to_contact_id="c3")
    bench.run(("accounts", [loser, bench.contact("c3", "Tahi Plumbing & Gas Limited")]))
    with bench.ledger() as ledger:
        unlink_account(ledger, "c3")
    bench.run(("accounts", []))
    account = sandbox.rows("accounts")["Tahi Plumbing"]["id"]
    assert account not in {row.account_id for row in bench.links().values()}


def test_one_account_that_always_answers_500_does_not_hold_up_the_others(
    bench: Bench, sandbox: Sandbox
) -> None:
    bad = sandbox.rows("accounts")[NAMES[0]]["id"]
    answer = {"response_status": {"status_code": 4004, "status": "failed"}}
    match = {"method": "PUT", "path": f"/api/v3/accounts/{bad}"}
    fault = {"kind": "status", "match": match, "status": 500, "body": answer, "times": 1000}
    sandbox.control("POST", "faults", [fault])
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"PUT .*/accounts/{bad}"):
            bench.run(both(bench, ELSEWHERE, ELSEWHERE))
        assert sandbox.rows("accounts")[NAMES[1]]["city"] == "Elsewhere"
        assert bench.links()["c1"].problem
    sandbox.control("DELETE", "faults")
    bench.run(("accounts", []))
    assert sandbox.rows("accounts")[NAMES[0]]["city"] == "Elsewhere"


def test_one_account_without_a_mandatory_field_does_not_hold_up_the_others(
    bench: Bench, sandbox: Sandbox
) -> None:
    bench.run(both(bench, {"udf_fields": {}}, {"udf_fields": {"udf_sline_102": "B7"}}))
    sandbox.set(udf_mandatory="on")
    bench.run(both(bench, ELSEWHERE, ELSEWHERE))
    assert sandbox.rows("accounts")[NAMES[1]]["city"] == "Elsewhere"
    assert "udf_sline_102" in (bench.links()["c1"].problem or "")

"""What has the id of a worklog that a rebuild found, and another module: it may be that one, moved."""

from __future__ import annotations

import pytest
from msp_xero.billing.memory import tell_apart
from msp_xero.ledger.decisions import Refusal, exclude_worklog, include_worklog, release_invoice

from core.tests.billing.test_copies import delete_and_release
from core.tests.billing.test_rebuild import go_on, rebuilt, rows


def moved(world, number, module="task", **changes):
    source = {"worklog_id": str(1000 + number), "module": module, "minutes": 45}
    return world.line(number, module=module, source=source, **changes)


@pytest.fixture
def in_doubt(world, lose):
    """A worklog that was billed as a request's and comes back as a task's after the rebuild."""
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    rebuilt(world)
    go_on(world)
    world.deliver(moved(world, 0))
    world.settle()
    return world


def held_row(world):
    return rows(world)["task", "1000"]


def test_a_worklog_that_was_moved_since_is_held_and_not_billed_again(in_doubt):
    world = in_doubt
    for _ in range(2):
        assert len(world.ours()) == 1
        assert (held_row(world).state, held_row(world).reason_code) == ("held", "ID_ON_INVOICE")
        staged = world.deliver(moved(world, 0))
        assert (staged.unchanged, staged.updated) == (1, 0)
        world.settle()
    # Not even when its content changes, or when a person excludes it and takes that back.
    world.deliver(moved(world, 0, minutes=60))
    exclude_worklog(world.ledger, held_row(world).id, "it is the same work")
    world.deliver(moved(world, 0, minutes=75))
    world.settle()
    assert held_row(world).reason_code == "EXCLUDED_BY_PERSON"
    assert include_worklog(world.ledger, held_row(world).id) == "held"
    world.settle()
    world.deliver(moved(world, 0, minutes=75))
    world.settle()
    assert held_row(world).reason_code == "ID_ON_INVOICE"
    assert len(world.ours()) == 1


def test_a_rule_that_excludes_a_doubtful_worklog_and_is_changed_back_does_not_bill_it(in_doubt):
    world = in_doubt
    ruled = {"decision": "exclude", "reason_code": "EXCLUDED_BY_RULE", "reason": "By a rule."}
    world.deliver(moved(world, 0, **ruled))
    assert held_row(world).state == "excluded"
    world.deliver(moved(world, 0))
    world.settle()
    assert held_row(world).reason_code == "ID_ON_INVOICE"


def test_a_person_can_say_that_it_is_another_one(in_doubt):
    world = in_doubt
    tell_apart(world.ledger, held_row(world).id)
    assert world.states() == {"invoiced": 1, "open": 1}
    world.deliver(moved(world, 0, minutes=60))
    world.settle()
    world.assert_exactly_once(2)
    with pytest.raises(Refusal, match="only a worklog that waits can be told apart"):
        tell_apart(world.ledger, held_row(world).id)


def test_it_is_another_one_when_the_billed_one_comes_back_itself(in_doubt):
    world = in_doubt
    world.deliver(world.line(0, created_time="2026-10-01T00:00:00Z"))
    world.deliver(moved(world, 0))
    world.settle()
    world.assert_exactly_once(2)


@pytest.mark.parametrize("technician", ["9", "8"])
def test_it_is_the_same_one_when_it_is_moved_back(world, lose, technician):
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    go_on(world)
    world.deliver(moved(world, 0))
    rebuilt(world)
    for _ in range(2):
        world.deliver(world.line(0, technician_id=technician))
        world.deliver(moved(world, 0))
        world.settle()
    assert len(world.ours()) == 1
    assert world.states() == {"invoiced": 1, "held": 1}


def test_once_the_invoice_is_released_the_moved_one_is_billed_and_the_rebuilt_one_waits(in_doubt):
    world = in_doubt
    delete_and_release(world)
    world.deliver(moved(world, 0))
    world.settle()
    assert world.states() == {"invoiced": 1, "held": 1}
    assert len(world.ours()) == 1
    # Not even when it is moved back, and given to another technician in that moment.
    world.deliver(world.line(0, technician_id="8"))
    world.settle()
    assert world.states() == {"invoiced": 1, "held": 1}
    assert len(world.ours()) == 1


def test_what_was_voided_under_another_module_and_is_released_is_not_billed_beside_the_billed_one(
    world, lose
):
    world.deliver(world.line(0))
    world.settle()
    delete_and_release(world)
    world.deliver(moved(world, 0))
    world.settle()
    lose(world)
    rebuilt(world)
    release_invoice(world.ledger, "SDP-00001")
    go_on(world)
    # It is moved back, so that what the live invoice says of it is not delivered any more.
    world.deliver(world.line(0))
    world.settle()
    assert {key: (row.state, row.reason_code) for key, row in rows(world).items()} == {
        ("task", "1000"): ("invoiced", None),
        ("request", "1000"): ("held", "ID_ON_INVOICE"),
    }
    assert [row["InvoiceNumber"] for row in world.ours() if row["Status"] == "DRAFT"] == ["SDP-00002"]
    # Another one of the same id is billed as soon as the billed one is delivered too.
    world.deliver(moved(world, 0, created_time="2026-10-01T00:00:00Z"))
    world.deliver(world.line(0))
    world.settle()
    assert world.states() == {"invoiced": 2}


def test_a_moved_worklog_that_waits_in_the_ledger_is_held_by_the_rebuild(world, lose):
    world.deliver(*(world.line(n) for n in range(3)))
    world.settle()
    lose(world)
    go_on(world)
    world.deliver(moved(world, 0), moved(world, 1), moved(world, 2, decision="exclude", reason_code="X"))
    exclude_worklog(world.ledger, rows(world)["task", "1001"].id, "no")
    found = rebuilt(world)
    assert (found.in_doubt, found.outcome) == (1, "needs_person")
    assert held_row(world).reason_code == "ID_ON_INVOICE"
    assert include_worklog(world.ledger, rows(world)["task", "1001"].id) == "held"
    world.settle()
    world.deliver(*(moved(world, n) for n in range(3)))
    world.settle()
    assert world.states() == {"invoiced": 3, "held": 3}
    assert len(world.ours()) == 3

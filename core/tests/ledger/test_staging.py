"""Every delivered worklog has one place in the ledger: none twice, none lost, whatever order they come in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.ledger.decisions import exclude_worklog, include_worklog
from msp_xero.ledger.models import Event, Worklog
from msp_xero.ledger.staging import Staged, stage_lines
from sqlalchemy import delete, func, select, update

EDITED = {"source": {"worklog_id": "1", "module": "request", "minutes": 60}, "minutes": 60}


def rows(ledger):
    with ledger.read() as session:
        return session.scalars(select(Worklog).order_by(Worklog.id)).all()


def only(ledger):
    [row] = rows(ledger)
    return row


def change(ledger, **values):
    with ledger.write() as session:
        session.execute(update(Worklog).values(**values))


def events(ledger):
    with ledger.read() as session:
        return session.execute(
            select(Event.action, Event.data).where(Event.entity == "worklog").order_by(Event.id)
        ).all()


@pytest.mark.parametrize(
    ("decision", "state", "by"),
    [("bill", "open", None), ("hold", "held", None), ("exclude", "excluded", "rule")],
)
def test_a_new_worklog_goes_where_the_rules_say(ledger, deliver, line, decision, state, by):
    code = None if decision == "bill" else "TYPE_MISSING"
    assert deliver(line(decision=decision, reason_code=code, reason="why")) == Staged(new=1)
    row = only(ledger)
    assert (row.state, row.reason_code, row.excluded_by) == (state, code, by)
    assert row.reason == (None if decision == "bill" else "why")
    assert events(ledger) == [("delivered", {"state": state, "reason_code": code})]


def test_the_same_line_again_costs_no_write(ledger, deliver, line, clock):
    deliver(line())
    clock.sleep(3600)
    assert deliver(line(), line()) == Staged(unchanged=2)
    assert only(ledger).last_seen_at == only(ledger).first_seen_at
    assert len(events(ledger)) == 1


def test_an_edited_worklog_is_brought_up_to_date(ledger, deliver, line, clock):
    deliver(line(amount=Decimal("10.00")))
    clock.sleep(3600)
    assert deliver(line(**EDITED, amount=Decimal("12.34"))) == Staged(updated=1)
    row = only(ledger)
    assert (row.minutes, row.money, row.source["minutes"]) == (60, Decimal("12.34"), 60)
    assert row.last_seen_at - row.first_seen_at == timedelta(hours=1)


def test_a_worklog_that_becomes_billable_is_open_and_says_where_it_was(ledger, deliver, line):
    deliver(line(decision="hold", reason_code="TYPE_MISSING", reason="why"))
    deliver(line())
    assert (only(ledger).state, only(ledger).reason_code, only(ledger).reason) == ("open", None, None)
    assert events(ledger)[-1] == ("open", {"from": "held", "reason_code": None})


def test_a_moved_worklog_is_the_same_worklog(ledger, deliver, line):
    deliver(line("1", "task"))
    assert deliver(line("1", "project", account_id="8")) == Staged(updated=1)
    assert (only(ledger).module, only(ledger).account_id) == ("project", "8")


def test_a_moved_worklog_is_not_billed_again_though_it_has_another_technician_now(ledger, deliver, line):
    deliver(line("1", "task"))
    change(ledger, state="invoiced")
    assert deliver(line("1", "project", technician_id="8")) == Staged(changed_after_billing=1)
    assert only(ledger).changed == {"technician_id": ["9", "8"]}


def test_a_worklog_given_to_another_technician_is_the_same_worklog(ledger, deliver, line):
    deliver(line())
    assert deliver(line(technician_id="8", created_time=None)) == Staged(updated=1)
    assert only(ledger).technician_id == "8"


OTHER = {"created_time": "2026-11-05T05:00:00.000Z", "technician_id": "4"}


@pytest.mark.parametrize("at_once", [True, False])
def test_two_worklogs_that_share_an_id_are_both_kept(ledger, deliver, line, at_once):
    lines = [line("1", "request"), line("1", "problem", **OTHER)]
    staged = Staged()
    for batch in [lines] if at_once else [[each] for each in lines]:
        staged.add(deliver(*batch))
    assert staged == Staged(new=2, shared_ids=1)
    assert [(r.module, r.ordinal, r.technician_id) for r in rows(ledger)] == [
        ("request", 0, "9"),
        ("problem", 1, "4"),
    ]
    assert deliver(*reversed(lines)) == Staged(unchanged=2)


def test_an_edit_goes_to_the_right_one_of_two_that_share_an_id(ledger, deliver, line):
    deliver(line("1", "request"), line("1", "problem", **OTHER))
    deliver(line("1", "problem", **(OTHER | {"technician_id": "5"})), line("1", "request", minutes=60))
    assert [(r.module, r.technician_id, r.minutes) for r in rows(ledger)] == [
        ("request", "9", 60),
        ("problem", "5", 30),
    ]


def test_a_move_and_a_newcomer_of_the_same_id_in_one_batch_are_not_mixed_up(ledger, deliver, line):
    deliver(line("1", "task"))
    staged = deliver(line("1", "project"), line("1", "task", **OTHER))
    assert (staged.new, staged.updated) == (1, 1)
    assert [(r.module, r.technician_id) for r in rows(ledger)] == [("project", "9"), ("task", "4")]


@pytest.mark.parametrize("state", ["open", "invoiced"])
def test_a_move_to_where_another_one_has_its_id_is_known_by_the_moment_of_creation(
    ledger, deliver, line, state
):
    deliver(line("1", "task"), line("1", "project", **OTHER))
    change(ledger, state=state)
    counts = {"updated": 1} if state == "open" else {"changed_after_billing": 1}
    moved = line("1", "project", technician_id="8")
    told = {**moved.source, "created_time": moved.created_time}
    assert deliver(replace(moved, source=told)) == Staged(**counts)
    known = [(r.created_time == OTHER["created_time"], r.state) for r in rows(ledger)]
    assert known == [(False, state), (True, state)]
    assert [bool(r.changed) for r in rows(ledger)] == [state == "invoiced", False]


def test_what_a_rebuild_found_is_met_in_its_module_though_another_one_was_created_in_that_moment(
    ledger, deliver, line
):
    deliver(line("1", "task"), line("1", "project", **OTHER))
    with ledger.write() as session:
        rebuilt = {"state": "invoiced", "created_time": None, "technician_id": None, "rebuilt": True}
        session.execute(update(Worklog).where(Worklog.module == "project").values(**rebuilt))
    moved = line("1", "project", technician_id="8")
    deliver(replace(moved, source={**moved.source, "created_time": moved.created_time}))
    assert [(r.module, r.state, r.rebuilt) for r in rows(ledger)] == [
        ("task", "open", False),
        ("project", "invoiced", False),
    ]


def test_an_edited_start_that_stands_in_for_the_creation_is_no_move(ledger, deliver, line):
    """One is billed. Its start is set to that of another one, of its id and another module, which waits."""
    deliver(line("1", "request"))
    change(ledger, state="invoiced")
    deliver(line("1", "task", **OTHER))
    edited = line("1", "request", created_time=OTHER["created_time"], **EDITED)
    assert deliver(edited) == Staged(changed_after_billing=1)
    assert [(r.module, r.state, bool(r.changed)) for r in rows(ledger)] == [
        ("request", "invoiced", True),
        ("task", "open", False),
    ]


@pytest.mark.parametrize("billed", [0, 1])
def test_of_two_that_fit_alike_the_billed_one_is_meant(ledger, deliver, line, billed):
    """Rather a change that a person reads than a worklog that is billed a second time."""
    deliver(line("1", "task"), line("1", "project", **OTHER))
    change(ledger, module="request", created_time="2026-01-01T00:00:00.000Z")
    with ledger.write() as session:
        session.execute(update(Worklog).where(Worklog.ordinal == billed).values(state="invoiced"))
    assert deliver(line("1", "request", **EDITED)) == Staged(changed_after_billing=1)
    assert {r.ordinal: r.state for r in rows(ledger)} == {billed: "invoiced", 1 - billed: "open"}


def test_of_two_copies_in_one_batch_the_later_one_counts(ledger, deliver, line):
    old, new = line(), line(**EDITED)
    assert deliver(old, new) == Staged(new=1, unchanged=1)
    assert only(ledger).minutes == 60
    deliver(new, old)
    assert only(ledger).minutes == 30


def test_the_last_of_many_copies_counts_also_if_they_name_two_modules(ledger, deliver, line):
    deliver(line("1", "task"))
    deliver(line("1", "task"), line("1", "project", minutes=40), line("1", "task", minutes=50))
    assert (only(ledger).module, only(ledger).minutes) == ("task", 50)


@pytest.mark.parametrize("settled", ["planned", "invoiced"])
def test_a_billed_worklog_stays_as_billed_and_its_change_is_noted_and_cleared_again(
    ledger, deliver, line, settled
):
    deliver(line())
    change(ledger, state=settled)
    assert deliver(line()) == Staged(unchanged=1)
    assert deliver(line(**EDITED)) == Staged(changed_after_billing=1)
    row = only(ledger)
    assert (row.state, row.minutes, row.source["minutes"]) == (settled, 30, 30)
    assert (row.changed["minutes"], row.newest["minutes"]) == ([30, 60], 60)
    assert row.changed_at is not None
    assert deliver(line(**EDITED)) == Staged(unchanged=1)
    assert deliver(line()) == Staged(changed_after_billing=1)
    row = only(ledger)
    assert (row.changed, row.newest, row.changed_at) == (None, None, None)
    assert [action for action, _ in events(ledger)] == [
        "delivered",
        "changed_after_billing",
        "as_billed_again",
    ]


def test_of_two_copies_of_a_billed_worklog_in_one_batch_the_later_one_counts(ledger, deliver, line):
    deliver(line())
    change(ledger, state="invoiced")
    # Moved for a moment: the copies have different modules, so both are compared.
    deliver(line("1", "project", **EDITED), line())
    assert only(ledger).changed is None


def test_a_changed_rule_is_no_change_after_billing(ledger, deliver, line):
    deliver(line(description="Old wording"))
    change(ledger, state="invoiced")
    assert deliver(line(description="New wording")) == Staged(unchanged=1)


def materials(*amounts):
    record = {"worklog_id": "1", "module": "request", "minutes": 30}
    return record | {"extra": {"additional_costs": [{"amount": Decimal(amount)} for amount in amounts]}}


def test_costs_that_are_added_after_billing_are_noted_and_cleared_again(ledger, deliver, line):
    deliver(line(amount=Decimal("120.00"), source=materials("20.00")))
    change(ledger, state="invoiced")
    more = line(amount=Decimal("1020.00"), source=materials("20.00", "900.00"))
    assert deliver(more) == Staged(changed_after_billing=1)
    row = only(ledger)
    assert row.changed == {"amount": [Decimal("120.00"), Decimal("1020.00")]}
    assert (row.amount, row.newest) == (Decimal("120.00"), more.source)
    assert deliver(more) == Staged(unchanged=1)
    deliver(line(amount=Decimal("120.00"), source=materials("20.00")))
    assert (only(ledger).changed, only(ledger).newest) == (None, None)


@pytest.mark.parametrize(
    ("billed", "now", "costs"),
    [
        pytest.param("120.00", "100.00", ["20.00"], id="another rule and the same costs"),
        pytest.param("100.00", "100.00", ["20.00", "900.00"], id="costs that are not billed"),
        pytest.param("100.00", None, ["20.00", "900.00"], id="the price of the item by now"),
    ],
)
def test_neither_another_rule_nor_costs_that_are_not_billed_are_a_change(
    ledger, deliver, line, billed, now, costs
):
    deliver(line(amount=Decimal(billed), source=materials("20.00")))
    change(ledger, state="invoiced")
    assert deliver(line(amount=now and Decimal(now), source=materials(*costs))) == Staged(unchanged=1)
    assert only(ledger).changed is None


@pytest.mark.parametrize(
    "source", [{}, {"id": "T-1", "duration": 2700}, {"created_time": "2026-11-20"}], ids=str
)
@pytest.mark.parametrize(
    ("term", "value", "told"),
    [
        ("account_id", "8", ["7", "8"]),
        ("type_id", "2", ["1", "2"]),
        ("type_name", "Onsite", ["Remote", "Onsite"]),
        ("work_date", date(2026, 11, 2), ["2026-11-01", "2026-11-02"]),
        ("minutes", 240, [60, 240]),
        ("description", "Four hours", [None, "Four hours"]),
        ("quantity", Decimal("4.0000"), [Decimal(1), Decimal(4)]),
        ("unit_price", Decimal("120.5000"), [None, Decimal("120.50")]),
        ("amount", Decimal("480.00"), [None, Decimal(480)]),
    ],
)
def test_what_another_tap_changes_after_billing_is_told_by_its_terms(
    ledger, deliver, line, source, term, value, told
):
    """Its record is its own: none of what ServiceDesk Plus has in a record needs to be in it."""
    toggl = {"source": source, "type_id": "1", "type_name": "Remote", "minutes": 60}
    deliver(line("T-1", "toggl", **toggl))
    change(ledger, state="invoiced")
    assert deliver(line("T-1", "toggl", **toggl, account_name="Renamed")) == Staged(unchanged=1)
    changed = replace(line("T-1", "toggl", **toggl), **{term: value})
    assert deliver(changed) == Staged(changed_after_billing=1)
    row = only(ledger)
    assert (row.changed, row.newest, getattr(row, term) == value) == ({term: told}, source, False)
    assert deliver(changed) == Staged(unchanged=1)
    deliver(line("T-1", "toggl", **toggl))
    assert (only(ledger).changed, only(ledger).newest) == (None, None)


def test_a_line_that_another_tap_takes_back_after_billing_is_told(ledger, deliver, line):
    deliver(line("T-1", "toggl", source={}))
    change(ledger, state="invoiced")
    deliver(line("T-1", "toggl", source={}, decision="exclude", reason_code="EXCLUDED_BY_RULE"))
    assert (only(ledger).state, only(ledger).changed) == ("invoiced", {"decision": ["bill", "exclude"]})


@pytest.mark.parametrize("code", sorted(SETTLE_REASONS))
def test_a_hold_that_only_a_settle_can_lift_stays_while_the_line_is_billable(ledger, deliver, line, code):
    deliver(line())
    change(ledger, state="held", reason_code=code, reason="why")
    deliver(line(**EDITED))
    assert (only(ledger).state, only(ledger).reason_code, only(ledger).minutes) == ("held", code, 60)
    deliver(line(decision="hold", reason_code="TYPE_MISSING", reason="x"))
    assert only(ledger).reason_code == "TYPE_MISSING"


def test_what_a_person_excluded_stays_excluded_until_the_person_includes_it(ledger, deliver, line):
    deliver(line())
    exclude_worklog(ledger, only(ledger).id, "goodwill")
    deliver(line(**EDITED))
    deliver(line(decision="hold", reason_code="TYPE_MISSING", reason="x"))
    row = only(ledger)
    assert (row.state, row.reason_code, row.reason) == ("excluded", "EXCLUDED_BY_PERSON", "goodwill")
    deliver(line(**EDITED))
    include_worklog(ledger, row.id)
    deliver(line(**EDITED))
    assert (only(ledger).state, only(ledger).minutes, only(ledger).reason_code) == ("open", 60, None)


def test_nothing_delivered_is_nothing_done(ledger, deliver):
    assert deliver() == Staged()
    assert rows(ledger) == []


def test_a_batch_is_stored_wholly_or_not_at_all(ledger, line):
    too_exact = line("2", amount=Decimal("0.00001"))
    with pytest.raises(Exception, match="decimals"):
        stage_lines(ledger, [line("1"), too_exact], settle_reasons=SETTLE_REASONS)
    assert rows(ledger) == []


# Any sequence of deliveries


class Desk:
    """Worklogs as they live in SDP; ``name`` is what no product code ever sees."""

    MODULES = ("request", "problem", "change", "project", "task")

    def __init__(self) -> None:
        self.worklogs = []
        self.used = set()

    def add(self, worklog_id, module):
        if (module, worklog_id) in self.used:
            return
        self.used.add((module, worklog_id))
        name = len(self.worklogs)
        created = f"2026-11-01T01:00:00.{name:03d}Z"
        self.worklogs.append(
            {"name": name, "id": worklog_id, "module": module, "created": created, "tech": "9", "minutes": 30}
        )

    def move(self, worklog, module):
        # Ids are unique within a module for ever, as far as anybody knows.
        if (module, worklog["id"]) not in self.used:
            self.used.add((module, worklog["id"]))
            worklog["module"] = module


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["add", "add", "deliver", "deliver", "deliver", "move", "edit", "give", "bill", "again"]
        ),
        st.integers(0, 2),
        st.integers(0, 4),
        st.lists(st.integers(0, 9), max_size=6),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_no_sequence_of_deliveries_makes_two_rows_of_a_worklog_or_loses_one(ledger, line, steps):
    with ledger.write() as session:
        session.execute(delete(Event))
        session.execute(delete(Worklog))
    desk, delivered = Desk(), set()

    def as_line(worklog):
        source = {"worklog_id": worklog["id"], "name": worklog["name"], "minutes": worklog["minutes"]}
        return line(
            worklog["id"],
            worklog["module"],
            created_time=worklog["created"],
            technician_id=worklog["tech"],
            minutes=worklog["minutes"],
            source={**source, "module": worklog["module"], "as_line": worklog},
        )

    def deliver(batch):
        staged = stage_lines(ledger, batch, settle_reasons=SETTLE_REASONS)
        counts = staged.new + staged.updated + staged.unchanged + staged.changed_after_billing
        assert counts == len(batch)

    for kind, which, module, picks in steps:
        note(f"{kind} {which} {module} {picks}")
        picked = [desk.worklogs[pick] for pick in picks if pick < len(desk.worklogs)]
        if kind == "add":
            desk.add(str(which), Desk.MODULES[module])
        elif kind == "move":
            for worklog in picked:
                desk.move(worklog, Desk.MODULES[module])
        elif kind == "edit":
            for worklog in picked:
                worklog["minutes"] += 15
        elif kind == "give":
            for worklog in picked:
                worklog["tech"] = str(module)
        elif kind == "bill":
            with ledger.write() as session:
                session.execute(update(Worklog).where(Worklog.id % 3 == which).values(state="invoiced"))
        elif kind == "again":
            deliver([as_line(source["as_line"]) for source in ledger.unbilled_sources()])
        else:
            deliver([as_line(worklog) for worklog in picked])
            delivered |= {worklog["name"] for worklog in picked}
        with ledger.read() as session:
            names = [source["name"] for source in session.scalars(select(Worklog.source))]
        assert sorted(names) == sorted(delivered)


def test_the_counts_of_batches_add_up(ledger, deliver, line):
    total = Staged()
    for start in range(0, 40, 10):
        total.add(deliver(*(line(str(n)) for n in range(start, start + 20))))
    assert (total.new, total.unchanged) == (50, 30)
    with ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(Worklog)) == 50

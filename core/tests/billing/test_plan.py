"""Planning: every line is planned or held, never both, and every batch is one that Xero takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msp_xero.billing import plan as planning
from msp_xero.billing.document import marker_of, worklog_of
from msp_xero.billing.plan import invoice_number, is_own_number, plan, split_lines
from msp_xero.billing.reference import read_organisation, read_reference
from msp_xero.billing.settings import BillingSettings
from msp_xero.ledger.models import (
    AccountLink,
    Invoice,
    InvoiceLine,
    PushBatch,
    Worklog,
    WorklogTypeChoice,
    WorklogTypeLink,
)
from msp_xero.ledger.pushing import load_batch, planned_batches
from msp_xero.xero import wire
from sqlalchemy import case, delete, func, select, update


@pytest.fixture
def reference(sqlite_world):
    """Xero's reference data, read once for all examples of a test."""
    client = sqlite_world.client()
    ids = [contact["ContactID"] for contact in sqlite_world.contacts]
    items = [item["ItemID"] for item in sqlite_world.rows["items"]]
    return read_reference(client, BillingSettings(), read_organisation(client.organisation()), ids, items)


def run_plan(world, reference, **options):
    with world.ledger.write() as session:
        return plan(session, world.ledger, reference, BillingSettings(**options))


def start_over(world):
    with world.ledger.write() as session:
        for table in (InvoiceLine, Invoice, PushBatch, Worklog):
            session.execute(delete(table))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=400)
lines = st.fixed_dictionaries(
    {"reason_code": st.just("TYPE_MISSING")},
    optional={
        "account": st.integers(0, 4),
        "account_id": st.sampled_from([None, "0"]),
        "type_id": st.sampled_from(["unknown", None]),
        "type_name": st.sampled_from(["Unheard of", None]),
        "minutes": st.integers(0, 600),
        "quantity": st.none() | st.decimals(min_value=-2, max_value=99, places=4),
        "unit_price": st.decimals(min_value=-1, max_value=500, places=4),
        "amount": st.decimals(min_value=-1, max_value=5000, places=2),
        "description": st.none() | texts | st.just("x" * 4100),
        "work_date": st.none(),
        "decision": st.sampled_from(["bill", "bill", "hold", "exclude"]),
    },
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    given_lines=st.lists(lines, max_size=40),
    most=st.integers(1, 12),
    batch_size=st.integers(1, 6),
    linked=st.integers(0, 3),
)
def test_any_lines_are_planned_or_held_and_the_batches_fit(
    sqlite_world, reference, given_lines, most, batch_size, linked
):
    world = sqlite_world
    start_over(world)
    with world.ledger.write() as session:
        accounts = [str(number) for number in range(linked)]
        unlinked = AccountLink.account_id.not_in(accounts)
        session.execute(update(AccountLink).values(state=case((unlinked, "ignored"), else_="linked")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "MAX_BATCH_BYTES", 9_000)
        patch.setattr(planning, "MAX_BATCH_LINES", 15)
        world.deliver(*(world.line(number, **changes) for number, changes in enumerate(given_lines)))
        first = world.ledger_number()
        made = run_plan(world, reference, max_lines_per_invoice=most, batch_size=batch_size)

    with world.ledger.read() as session:
        states = dict(session.execute(select(Worklog.state, func.count()).group_by(Worklog.state)).all())
        reasons = session.execute(select(Worklog.state, Worklog.reason_code, Worklog.reason)).all()
        live = session.scalar(select(func.count()).where(InvoiceLine.live))
        invoices = session.scalars(select(Invoice).order_by(Invoice.id)).all()
        rows = {i.id: session.scalars(select(InvoiceLine).filter_by(invoice_id=i.id)).all() for i in invoices}
    assert sum(states.values()) == len(given_lines)
    assert "open" not in states, "a billable line is planned or says why not"
    assert states.get("planned", 0) == live == sum(made_invoice.lines for made_invoice in made.invoices)
    assert all(
        code and reason for state, code, reason in reasons if state == "held" and code != "TYPE_MISSING"
    )

    assert [i.number for i in invoices] == [invoice_number("SDP-", first + n) for n in range(len(invoices))]
    assert [(i.number, i.total) for i in invoices] == [(i.number, i.total) for i in made.invoices]
    for invoice in invoices:
        assert 1 <= invoice.line_count == len(rows[invoice.id]) <= most
        assert [line.position for line in rows[invoice.id]] == list(range(1, len(rows[invoice.id]) + 1))
        assert invoice.subtotal == sum(line.amount for line in rows[invoice.id])
        assert invoice.total_tax == sum(line.tax for line in rows[invoice.id])
        assert invoice.total == invoice.subtotal + invoice.total_tax

    batches = [load_batch(world.ledger, batch_id) for batch_id in planned_batches(world.ledger)]
    assert len(batches) == made.batches
    assert len({batch.idempotency_key for batch in batches}) == len(batches)
    sent = []
    for batch in batches:
        elements = wire.decode(batch.body)["Invoices"]
        sent += elements
        assert 1 <= len(elements) <= batch_size
        assert set(batch.invoice_ids) == {element["InvoiceNumber"] for element in elements}
        assert len(elements) == 1 or sum(len(element["LineItems"]) for element in elements) <= 15
        longest_line = max(len(wire.canonical(line)) for each in elements for line in each["LineItems"])
        assert len(batch.body) <= 9_000 + 1_000 + longest_line
    assert [element["InvoiceNumber"] for element in sent] == [i.number for i in invoices]
    for element, invoice in zip(sent, invoices, strict=True):
        assert marker_of(element["Reference"]) == invoice.marker
        assert all(worklog_of(line["Description"]) for line in element["LineItems"])


def test_a_second_planning_plans_nothing_again(sqlite_world, reference):
    sqlite_world.deliver(*(sqlite_world.line(n) for n in range(6)), sqlite_world.line(7, account=9))
    first = run_plan(sqlite_world, reference)
    again = run_plan(sqlite_world, reference)
    assert (len(first.invoices), len(again.invoices)) == (3, 0)
    assert first.held == again.held


def test_long_texts_share_out_an_account_to_invoices_that_fit_into_a_call(sqlite_world, reference):
    # 500 lines of 4,000 Thai letters are 6 MB, more than Xero takes in one call.
    many = [sqlite_world.line(n, account=0, description="ก" * 3900) for n in range(500)]
    sqlite_world.deliver(*many)
    made = run_plan(sqlite_world, reference)
    bodies = [load_batch(sqlite_world.ledger, batch).body for batch in planned_batches(sqlite_world.ledger)]
    assert sum(invoice.lines for invoice in made.invoices) == 500
    assert len(bodies) == 3
    assert max(map(len, bodies)) < 3_100_000


def test_lines_are_shared_out_in_order_and_none_is_left():
    class Line:
        description = "x"

    many = [Line() for _ in range(10)]
    assert [len(part) for part in split_lines(many, 4)] == [4, 4, 2]
    assert [line for part in split_lines(many, 4) for line in part] == many
    assert list(split_lines([], 4)) == []


def test_a_rolled_back_plan_takes_no_number(sqlite_world, reference):
    sqlite_world.deliver(sqlite_world.line(0))
    with sqlite_world.ledger.write() as session:
        plan(session, sqlite_world.ledger, reference, BillingSettings())
        session.rollback()
    assert run_plan(sqlite_world, reference).invoices[0].number == "SDP-00001"


def test_an_empty_quantity_is_one(sqlite_world, reference):
    sqlite_world.deliver(sqlite_world.line(0, quantity=None, amount=Decimal("12.34")))
    assert run_plan(sqlite_world, reference).invoices[0].subtotal == Decimal("12.34")


@pytest.mark.parametrize(
    ("number", "own"),
    [
        ("SDP-00001", True),
        ("sdp-00001", True),
        ("SDP-1234567", True),
        ("SDP-0001", False),
        ("SDP-", False),
        ("XSDP-00001", False),
        ("SDP-00001a", False),
        ("SDPx00001", False),
    ],
)
def test_whether_a_number_looks_like_ours(number, own):
    assert is_own_number("SDP-", number) is own


@pytest.mark.parametrize("has_type", [False, True])
def test_an_item_without_a_type_bills_no_type_that_is_ignored_and_called_like_it(
    sqlite_world, reference, has_type
):
    """The worklog knows its type by name only, as one does that took the default worklog type."""
    world = sqlite_world
    with world.ledger.write() as session:
        ignored = {"type_id": "9", "type_name": world.item["Name"], "ignored": True}
        decided = {"connection_id": world.ledger.connection_id, "decided_at": world.time.now()}
        session.add(WorklogTypeChoice(**ignored, **decided))
        if not has_type:
            mine = WorklogTypeLink.item_id == world.item["ItemID"]
            session.execute(
                update(WorklogTypeLink).where(mine).values(type_id=None, type_name=None, state="unmapped")
            )
    world.deliver(world.line(1, account=0, type_id=None))
    made = run_plan(world, reference)
    with world.ledger.read() as session:
        state, reason = session.execute(select(Worklog.state, Worklog.reason_code)).one()
    expected = (1, "planned", None) if has_type else (0, "held", "TYPE_IGNORED")
    assert (len(made.invoices), state, reason) == expected

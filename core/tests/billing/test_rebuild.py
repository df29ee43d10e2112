"""The ledger is lost: an empty one is filled from Xero, and then nothing is billed twice and nothing lost."""

from __future__ import annotations

import contextlib
import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msp_xero.billing import rebuild as rebuilding
from msp_xero.billing.rebuild import rebuild
from msp_xero.errors import DayLimitReached, LedgerError, RemoteError
from msp_xero.ledger import pushing
from msp_xero.ledger.decisions import Refusal, exclude_worklog, release_invoice
from msp_xero.ledger.models import Base, Event, Invoice, InvoiceLine, Worklog
from sqlalchemy import func, select

GONE = ("VOIDED", "DELETED")


class Killed(BaseException):
    """The process is gone: nothing in the program may catch this."""


def rebuilt(world, **options):
    return rebuild(world.ledger, world.client(), number_prefix="SDP-", **options)


def go_on(world):
    """Bring the links back, as the accounts and worklog-types jobs do."""
    world.link_accounts()
    world.link_types()


def rows(world):
    with world.ledger.read() as session:
        return {
            (row.module, row.worklog_id): row for row in session.scalars(select(Worklog).order_by(Worklog.id))
        }


def everything(ledger):
    with ledger.read() as session:
        return {
            name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))]
            for name, table in Base.metadata.tables.items()
            if name not in ("alembic_version", "connection")
        }


def with_marks(world):
    """Every sales invoice in Xero with a mark of ours, gone ones included."""
    return [row for row in world.xero.dump(["invoices"])["invoices"] if "[" in row.get("Reference", "")]


def edit(world, invoice, **values):
    return world.person("invoice", "edit", invoice["InvoiceID"], **values)


def copy_of(invoice, number):
    """What Xero's "copy to" makes."""
    names = ("Type", "Contact", "Reference", "LineAmountTypes", "LineItems")
    return {name: invoice[name] for name in names} | {
        "InvoiceNumber": number,
        "Status": "DRAFT",
        "Date": "2026-11-20",
        "DueDate": "2026-12-20",
    }


# The whole story


def test_a_lost_ledger_is_rebuilt_and_nothing_is_billed_twice_or_lost(world, lose):
    first = [world.line(n) for n in range(9)]
    world.deliver(*first)
    world.settle()
    lose(world)
    go_on(world)
    with pytest.raises(LedgerError, match=r"3 invoice\(s\) made by msp-xero.*`msp-xero rebuild`"):
        world.settle()

    found = rebuilt(world)
    assert (found.invoices, found.worklogs, found.recognised, found.outcome) == (3, 9, 0, "done")
    assert found.next_number == world.ledger_number() == 4
    world.assert_exactly_once(9)

    world.deliver(*first, *(world.line(n) for n in range(9, 12)))
    assert world.settle().worklogs == 3
    world.assert_exactly_once(12)
    assert sorted(row["InvoiceNumber"] for row in world.ours()) == [f"SDP-0000{n}" for n in range(1, 7)]


def test_worklogs_that_wait_in_the_empty_ledger_become_billed_or_stay(world, lose):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    lose(world)
    go_on(world)
    world.deliver(*(world.line(n) for n in range(9)), world.line(9, account=99))
    with pytest.raises(LedgerError, match="rebuild"):
        world.settle()
    [excluded] = [row.id for key, row in rows(world).items() if key[1] == "1001"]
    exclude_worklog(world.ledger, excluded, "not this one")
    found = rebuilt(world)
    assert (found.worklogs, found.recognised) == (6, 6)
    assert world.states() == {"invoiced": 6, "open": 4}
    assert [i.minutes for i in world.ledger_invoices()] == [90, 90, 90]
    assert rows(world)["request", "1001"].excluded_by is None
    world.settle()
    assert world.states() == {"invoiced": 9, "held": 1}
    assert world.reasons()["1009"] == "ACCOUNT_UNMAPPED"


def test_the_rebuilt_ledger_holds_what_xero_has(world, lose):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle(invoice_status="AUTHORISED")
    paid, voided, _ = world.invoices()
    world.person("invoice", "pay", paid["InvoiceID"])
    world.person("invoice", "void", voided["InvoiceID"])
    before = {
        i.number: (
            i.xero_id,
            i.marker,
            i.reference,
            i.currency,
            i.contact_id,
            i.total,
            i.subtotal,
            i.total_tax,
        )
        for i in world.ledger_invoices()
    }
    days = {(i.number, i.invoice_date, i.due_date) for i in world.ledger_invoices()}
    with world.ledger.read() as session:
        terms = [InvoiceLine.position, InvoiceLine.description, InvoiceLine.quantity, InvoiceLine.unit_price]
        terms += [InvoiceLine.amount, InvoiceLine.tax, InvoiceLine.item_code, InvoiceLine.account_code]
        terms += [InvoiceLine.tax_type, InvoiceLine.live, Invoice.number]
        lines = select(*terms).join(Invoice).order_by(Invoice.number, InvoiceLine.position)
        lines_before = session.execute(lines).all()
    lose(world)
    found = rebuilt(world)
    assert {
        i.number: (
            i.xero_id,
            i.marker,
            i.reference,
            i.currency,
            i.contact_id,
            i.total,
            i.subtotal,
            i.total_tax,
        )
        for i in world.ledger_invoices()
    } == before
    assert {(i.number, i.invoice_date, i.due_date) for i in world.ledger_invoices()} == days
    assert {i.number: i.state for i in world.ledger_invoices()} == {
        paid["InvoiceNumber"]: "paid",
        voided["InvoiceNumber"]: "voided",
        "SDP-00003": "created",
    }
    with world.ledger.read() as session:
        assert session.execute(lines).all() == lines_before
        row = world.ledger.connection(session)
        assert row.organisation_id == world.rows["organisation"][0]["OrganisationID"]
        assert row.invoices_refreshed_at is not None
        actions = dict(
            session.execute(
                select(Event.entity, func.count()).where(Event.action == "rebuilt").group_by(Event.entity)
            ).all()
        )
    assert actions == {"invoice": 3, "worklog": 6}
    assert (found.gone.first, found.on_gone, found.outcome) == ([voided["InvoiceNumber"]], 2, "needs_person")
    # The refresh of the next settle goes on from there, and knows them all.
    assert world.settle().refreshed == 0


# A worklog meets its rebuilt row


def test_a_delivered_worklog_takes_over_what_xero_did_not_know_and_is_not_changed_by_it(world, lose):
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.settle()
    lose(world)
    rebuilt(world)
    row = rows(world)["request", "1000"]
    assert (row.rebuilt, row.created_time, row.description, row.source) == (True, None, "Worklog 0", {})
    [invoice] = world.ledger_invoices()
    assert (invoice.account_id, invoice.minutes) == ("", 0)

    # What differs from the lost copy cannot be known.
    again = world.line(0, account=0, minutes=60, parent_id="45", description="Other words")
    staged = world.deliver(again, world.line(1, account=0))
    assert (staged.updated, staged.changed_after_billing, staged.new) == (2, 0, 0)
    row = rows(world)["request", "1000"]
    assert (row.rebuilt, row.state, row.changed) == (False, "invoiced", None)
    assert (row.created_time, row.technician_id, row.parent_id) == (again.created_time, "9", "45")
    assert (row.account_id, row.source, row.decision, row.minutes) == ("0", again.source, "bill", 60)
    [invoice] = world.ledger_invoices()
    assert (invoice.account_id, invoice.account_name, invoice.minutes) == ("0", "Account 0", 105)

    assert world.deliver(again).unchanged == 1
    # From now on a change is seen again.
    changed = replace(again, minutes=75, source={**again.source, "minutes": 75})
    assert world.deliver(changed).changed_after_billing == 1
    assert rows(world)["request", "1000"].changed == {"minutes": [60, 75]}


@pytest.mark.parametrize("decision", ["hold", "exclude"])
def test_a_billed_worklog_that_would_not_be_billed_today_stays_billed(world, lose, decision):
    world.deliver(world.line(0))
    world.settle(invoice_status="AUTHORISED")
    lose(world)
    rebuilt(world)
    go_on(world)
    line = world.line(0, decision=decision, reason_code="EXCLUDED_BY_RULE", reason="Today's rule.")
    world.deliver(line)
    world.deliver(line)
    world.assert_exactly_once(1)
    world.person("invoice", "void", world.invoices()[0]["InvoiceID"])
    world.clock.advance(3600)
    world.settle()
    release_invoice(world.ledger, "SDP-00001")
    assert world.states() == {"held": 1}
    world.deliver(line)
    assert world.states() == {"held" if decision == "hold" else "excluded": 1}
    assert world.reasons() == {"1000": "EXCLUDED_BY_RULE"}


def test_a_released_worklog_waits_until_its_terms_are_delivered_again(world, lose):
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.settle()
    world.person("invoice", "delete", world.invoices()[0]["InvoiceID"])
    lose(world)
    go_on(world)
    assert rebuilt(world).gone.first == ["SDP-00001"]
    assert release_invoice(world.ledger, "SDP-00001").free == 2
    assert world.states() == {"held": 2}
    world.settle()
    assert world.ours() == []
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.settle()
    assert [row["InvoiceNumber"] for row in world.ours()] == ["SDP-00002"]
    assert world.states() == {"invoiced": 2}
    assert not any(row.rebuilt for row in rows(world).values())


# What people did in Xero


@pytest.mark.parametrize("reference", ["kept", "rewritten", "none"])
@pytest.mark.parametrize("number", ["INV-7001", "SDP-00077", "sdp-00077"])
def test_an_invoice_that_a_person_renumbered_counts_as_billed(world, lose, number, reference):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    last = world.invoices()[-1]
    edit(world, last, InvoiceNumber=number)
    if reference != "kept":
        edit(world, last, Reference="PO 4711" if reference == "rewritten" else "")
    lose(world)
    go_on(world)
    found = rebuilt(world)
    assert found.worklogs == 6
    assert found.other_numbers.first == ([number] if number == "INV-7001" else [])
    world.deliver(*(world.line(n) for n in range(7)))
    world.settle()
    # SDP-00003 is given out no second time.
    assert max(row["InvoiceNumber"] for row in world.ours()) == (
        "SDP-00004" if number == "INV-7001" else "sdp-00077" if number.islower() else "SDP-00078"
    )
    if number.islower():
        assert "SDP-00078" in {row["InvoiceNumber"] for row in world.ours()}
    world.assert_exactly_once(7)


def test_a_copy_that_a_person_made_does_not_count_and_is_named(world, lose):
    world.deliver(*(world.line(n, account=0) for n in range(2)))
    world.settle()
    [original] = world.ours()
    world.person("invoice", "add", **copy_of(original, "INV-0500"))
    # The copy is the older change: not the order in Xero decides, but whose the number is.
    world.clock.advance(60)
    edit(world, original, DueDate="2026-12-24")
    lose(world)
    found = rebuilt(world)
    assert (found.worklogs, found.twice.count, found.outcome) == (2, 2, "needs_person")
    assert sorted(found.twice.first) == ["request 1000 (INV-0500)", "request 1001 (INV-0500)"]
    with world.ledger.read() as session:
        live = session.execute(select(Invoice.number, InvoiceLine.live).join(InvoiceLine)).all()
    assert sorted(map(tuple, live)) == [("INV-0500", False)] * 2 + [("SDP-00001", True)] * 2
    world.clock.advance(3600)
    go_on(world)
    world.settle()


def test_a_worklog_that_was_billed_again_after_a_void_is_on_the_live_invoice(world, lose):
    world.deliver(world.line(0))
    world.settle(invoice_status="AUTHORISED")
    for _ in range(2):
        world.person("invoice", "void", world.ours()[0]["InvoiceID"])
        world.clock.advance(3600)
        world.settle()
        release_invoice(world.ledger, world.ledger_invoices()[-1].number)
        world.settle(invoice_status="AUTHORISED")
    lose(world)
    found = rebuilt(world)
    assert (found.invoices, found.worklogs, found.twice.count, found.gone.count) == (3, 1, 0, 0)
    world.assert_exactly_once(1)

    # Of those that are gone the last one counts.
    world.person("invoice", "void", world.ours()[0]["InvoiceID"])
    lose(world)
    assert rebuilt(world).gone.first == ["SDP-00003"]


def test_a_number_that_was_used_again_after_a_draft_was_deleted(world, lose):
    world.deliver(world.line(0))
    world.settle()
    [first] = world.ours()
    world.person("invoice", "delete", first["InvoiceID"])
    world.person("invoice", "add", **copy_of(first, "sdp-00001"))
    lose(world)
    found = rebuilt(world)
    assert (found.worklogs, found.invoices) == (1, 2)
    assert {i.number: i.state for i in world.ledger_invoices()} == {
        "sdp-00001": "created",
        "SDP-00001 (2)": "deleted",
    }


def test_lines_that_lost_their_mark_are_named(world, lose):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    first, second, third = world.ours()
    bare = {**first["LineItems"][0], "Description": "Something else"}
    edit(world, first, LineItems=[bare, first["LineItems"][1]])
    comment = {"Description": "Thank you for your business"}
    edit(world, second, LineItems=[*second["LineItems"], comment])
    edit(world, third, LineItems=[{**line, "Description": "x"} for line in third["LineItems"]], Reference="x")
    lose(world)
    found = rebuilt(world)
    named = sorted([first["InvoiceNumber"], third["InvoiceNumber"]])
    assert (sorted(found.unmarked.first), found.worklogs, found.invoices) == (named, 3, 2)
    assert found.needs_person


def test_invoices_of_another_installation_can_be_left_out(world, lose):
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    go_on(world)
    world.deliver(world.line(1))
    world.settle(number_prefix="B-")
    lose(world)
    found = rebuilt(world, only_prefix=True)
    assert (found.invoices, found.worklogs, found.next_number) == (1, 1, 2)
    assert world.live_keys() == [("request", "1000")]


def test_a_number_far_beyond_ours_does_not_break_the_count(world, lose):
    world.deliver(world.line(0))
    world.settle()
    line = {"Description": "x", "Quantity": 1, "UnitAmount": 5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    by_hand = {**copy_of(world.ours()[0], "SDP-20261122001"), "Reference": "by hand", "LineItems": [line]}
    world.person("invoice", "add", **by_hand)
    lose(world)
    found = rebuilt(world)
    assert (found.next_number, found.unmarked.first) == (2, ["SDP-20261122001"])


# Only on an empty ledger, and all or nothing


def test_a_ledger_that_has_billed_is_refused_and_left_alone(world):
    world.deliver(world.line(0))
    world.settle()
    before = everything(world.ledger)
    calls = len(world.faulty.log.since())
    with pytest.raises(LedgerError, match=r"not empty: it has 1 invoice\(s\) and 1 billed worklog"):
        rebuilt(world)
    assert everything(world.ledger) == before
    assert len(world.faulty.log.since()) == calls


def test_a_second_rebuild_is_refused(world, lose):
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    rebuilt(world)
    before = everything(world.ledger)
    with pytest.raises(LedgerError, match="not empty"):
        rebuilt(world)
    assert everything(world.ledger) == before


def test_there_is_nothing_to_rebuild_where_nothing_was_billed(world):
    found = rebuilt(world)
    assert (found.invoices, found.worklogs, found.next_number, found.outcome) == (0, 0, 1, "done")
    world.deliver(world.line(0))
    world.settle()
    world.assert_exactly_once(1)


def test_another_organisation_is_refused(world, lose):
    lose(world)
    with world.ledger.write() as session:
        row = world.ledger.connection(session)
        row.organisation_id, row.organisation_name = "another", "Other"
    with pytest.raises(LedgerError, match="bills Other"):
        rebuilt(world)


@pytest.fixture
def small_pages(monkeypatch):
    """Several invoices, several calls."""
    monkeypatch.setattr(rebuilding, "_PAGE", 1)
    monkeypatch.setattr(rebuilding, "_LINES_AT_ONCE", 1)


FAULTS = [
    {"kind": "rate_day", "retry_after": 1800},
    {"kind": "status", "status": 503, "times": 50},
    {"kind": "revoked"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["kind"])
def test_a_fault_at_any_call_leaves_nothing_half(world, lose, small_pages, fault):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    lose(world)
    before = everything(world.ledger)
    mark = len(world.faulty.log.since())
    rebuilt(world)
    calls = len(world.faulty.log.since()) - mark
    assert calls > 4
    for position in range(1, calls + 1):
        lose(world)
        world.fail({**fault, "match": {"path": "/api.xro"}, "nth": position})
        with contextlib.suppress(RemoteError, DayLimitReached):
            rebuilt(world)
            assert position == calls, "the token needs a call too"
        world.recover()
        if everything(world.ledger) == before:
            rebuilt(world)
        world.assert_exactly_once(6)


def test_death_after_any_commit_and_in_the_middle_of_the_writing(world, lose, small_pages, monkeypatch):
    world.deliver(*(world.line(n) for n in range(6)))
    world.settle()
    number, died = 0, True
    while died:
        number, died = number + 1, False
        lose(world)
        write, seen = world.ledger.write, iter(range(1, 1000))

        @contextlib.contextmanager
        def mortal(fence=None, write=write, seen=seen, number=number):
            with write(fence) as session:
                yield session
            if next(seen) == number:
                raise Killed

        world.ledger.write = mortal
        try:
            rebuilt(world)
        except Killed:
            died = True
        world.ledger.close()
        world.ledger = world.open_ledger()
        with contextlib.suppress(LedgerError):
            rebuilt(world)
        world.assert_exactly_once(6)
    assert number >= 4

    lose(world)
    before = everything(world.ledger)
    take_over, times = rebuilding.Rebuilding.take_over, iter(range(1, 1000))

    def dies(self, invoices):
        if next(times) == 3:
            raise Killed
        return take_over(self, invoices)

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding.Rebuilding, "take_over", dies)
        with pytest.raises(Killed):
            rebuilt(world)
    assert everything(world.ledger) == before
    rebuilt(world)
    world.assert_exactly_once(6)


def test_a_rebuild_that_stalled_writes_nothing_any_more(world, lose):
    world.deliver(world.line(0))
    world.settle()
    lose(world)
    before = everything(world.ledger)

    def taken_over(_sentence):
        with world.ledger.write() as session:
            world.ledger.connection(session).settle_epoch += 1

    with pytest.raises(LedgerError, match="took over"):
        rebuilt(world, progress=taken_over)
    assert everything(world.ledger) == before


def test_what_is_billed_while_xero_is_read_is_found_by_the_next_refresh(world, lose):
    world.deliver(world.line(0))
    world.settle()
    [made] = world.ours()
    lose(world)
    go_on(world)

    def late(_sentence):
        world.person("invoice", "add", **copy_of(made, "SDP-00009"))
        world.clock.advance(3600)

    rebuilt(world, progress=late)
    world.clock.advance(3600)
    with pytest.raises(LedgerError, match="SDP-00009"):
        world.settle()


def test_memory_does_not_grow_with_the_number_of_invoices(sqlite_world, sqlite_databases, tmp_path):
    world = sqlite_world

    class Books:
        """A Xero with so many invoices that they do not fit into memory at once."""

        calls: dict[str, int] = {}  # noqa: RUF012 - a stand-in
        clock_error = None

        def __init__(self, count):
            self.count = count

        def organisation(self):
            return world.client().organisation()

        def invoices(self, **_):
            for number in range(1, self.count + 1):
                lines = [
                    {
                        "Description": f"{'x' * 2000}\n(SDP request worklog {number * 100 + n})",
                        "Quantity": 1,
                        "UnitAmount": 1,
                        "LineAmount": 1,
                    }
                    for n in range(20)
                ]
                yield {
                    "Type": "ACCREC",
                    "InvoiceID": f"id-{number}",
                    "InvoiceNumber": f"SDP-{number:05d}",
                    "Status": "DRAFT",
                    "Date": "2026-11-01",
                    "CurrencyCode": "NZD",
                    "LineItems": lines,
                }

    def peak(count):
        folder = tmp_path / str(count)
        folder.mkdir()
        world.ledger.close()
        world.url = sqlite_databases.fresh(folder)
        world.ledger = world.open_ledger()
        tracemalloc.start()
        try:
            assert rebuild(world.ledger, Books(count), number_prefix="SDP-").worklogs == count * 20
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)
    assert peak(500) < 1.5 * peak(100)


# Any history


ACTS = ("void", "delete", "pay", "renumber", "reference", "copy", "release")


# Without shrinking: one history takes a second or two.
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    data=st.data(),
    rounds=st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=6), min_size=1, max_size=4),
)
def test_whatever_happened_the_ledger_has_the_live_lines_of_xero(make_world, sqlite_databases, data, rounds):
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(sqlite_databases.fresh(Path(folder)))
        try:
            _any_history(world, data, rounds)
            (new := Path(folder) / "new").mkdir()
            world.ledger.close()
            world.url = sqlite_databases.fresh(new)
            world.ledger = world.open_ledger()
            _agrees_with_xero(world)
        finally:
            world.ledger.close()


def _any_history(world, data, rounds):
    for count, numbers in enumerate(rounds):
        world.deliver(*(world.line(n) for n in numbers))
        world.settle(invoice_status=data.draw(st.sampled_from(["DRAFT", "AUTHORISED"])))
        for invoice in world.ours():
            act = data.draw(st.sampled_from(("", *ACTS)))
            if act in ("void", "delete") or (act == "pay" and invoice["Status"] == "AUTHORISED"):
                world.person("invoice", act, invoice["InvoiceID"])
            elif act == "renumber":
                edit(world, invoice, InvoiceNumber=f"INV-{count}-{invoice['InvoiceNumber']}")
            elif act == "reference":
                edit(world, invoice, Reference="PO 4711")
            elif act == "copy":
                world.person("invoice", "add", **copy_of(invoice, f"COPY-{count}-{invoice['InvoiceNumber']}"))
                # A copy that our refresh would take for ours is none that it knows.
        world.clock.advance(3600)
        world.settle()
        for invoice in world.ledger_invoices():
            if invoice.state in ("voided", "deleted") and data.draw(st.booleans()):
                if _stands_as_a_copy(world, invoice):
                    continue  # what would be released is billed by the copy, and the next settle would stop
                with contextlib.suppress(Refusal):
                    release_invoice(world.ledger, invoice.number)


def _stands_as_a_copy(world, invoice) -> bool:
    keys = pushing.worklog_keys(world.ledger, invoice.id)
    return any(not keys.isdisjoint(rebuilding.worklogs_on(row)) for row in world.ours())


def _agrees_with_xero(world):
    go_on(world)
    found = rebuilt(world)
    marked = [row for row in world.xero.dump(["invoices"])["invoices"] if rebuilding.worklogs_on(row)]
    live = {key for row in marked if row["Status"] not in GONE for key in rebuilding.worklogs_on(row)}
    ever = {key for row in marked for key in rebuilding.worklogs_on(row)}
    with world.ledger.read() as session:
        lines = session.execute(
            select(Worklog.module, Worklog.worklog_id, Invoice.xero_id, Invoice.state)
            .select_from(InvoiceLine)
            .join(Worklog, Worklog.id == InvoiceLine.worklog_row)
            .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
            .where(InvoiceLine.live)
        ).all()
    held = [(row.module, row.worklog_id) for row in lines]
    assert len(held) == len(set(held))
    assert set(held) == ever
    assert {(row.module, row.worklog_id) for row in lines if row.state not in ("voided", "deleted")} == live
    by_id = {row["InvoiceID"]: rebuilding.worklogs_on(row) for row in marked}
    assert all((row.module, row.worklog_id) in by_id[row.xero_id] for row in lines)
    assert found.worklogs == len(ever)
    # Everything comes again, and nothing of it is billed again.
    world.deliver(*(world.line(n) for n in range(12)))
    world.settle()
    on_new = [row for row in world.ours() if row["InvoiceID"] not in by_id]
    again = [key for row in on_new for key in rebuilding.worklogs_on(row)]
    assert sorted(again) == sorted({("request", str(1000 + n)) for n in range(12)} - ever)

"""A connection starts over with another organisation: billed stays billed, the rest goes there."""

from __future__ import annotations

import copy
from datetime import date, timedelta

import pytest
from msp_xero.billing.plan import plan
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.recover import reconcile
from msp_xero.billing.reference import meet_organisation, read_reference
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview
from msp_xero.errors import BilledElsewhere, LedgerError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.audit import replay
from msp_xero.ledger.decisions import Refusal, exclude_worklog, release_invoice
from msp_xero.ledger.generations import eras, start_over
from msp_xero.ledger.links import ignore_type
from msp_xero.ledger.models import BillingConnection, Event, Invoice, InvoiceLine, PushBatch, Worklog
from msp_xero.ledger.survey import Organisation, survey
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.story import build
from msp_xero_sandbox.xero.app import XeroApp
from sqlalchemy import event, select, update

from core.tests.billing.conftest import worklogs_of

NEW_ID = "0b000000-0000-4000-a000-000000000002"


def open_another_organisation(world, name="Rata Holdings", organisation_id=NEW_ID) -> None:
    """Let the credentials lead to another organisation, with contacts and items of its own."""
    rows = build(7, "small", world.clock.now()).xero
    rows["invoices"] = []
    for row in rows["contacts"] + rows["items"]:
        key = "ContactID" if "ContactID" in row else "ItemID"
        row[key] = "e" + row[key][1:]
    move_to(world, rows, name, organisation_id)


def move_to(world, rows, name="Rata Holdings", organisation_id=NEW_ID) -> None:
    rows["organisation"][0] |= {"OrganisationID": organisation_id, "Name": name, "ShortCode": "!new"}
    world.old_xero = world.xero
    world.rows = rows
    world.xero = XeroApp(rows, world.clock, Settings())
    world.faulty = Faulty(world.xero, world.clock, CallLog())
    world.adapter = InProcessAdapter(world.faulty, world.clock)
    world.contacts = [c for c in rows["contacts"] if c.get("ContactStatus") == "ACTIVE"]
    (world.folder / "token.json").unlink(missing_ok=True)


def met(world) -> Organisation:
    read = meet_organisation(world.client())
    return Organisation(
        organisation_id=read.organisation_id,
        name=read.name,
        short_code=read.short_code,
        base_currency=read.base_currency,
    )


def reinitialise(world, rebill_from=None, **words) -> int:
    found = survey(world.ledger, rebill_from=rebill_from)
    with world.ledger.settling() as fence:
        return start_over(world.ledger, fence, met(world), expected=found, **words)


def check_history(world) -> None:
    with world.ledger.read() as session:
        events = session.execute(
            select(Event.entity, Event.entity_id, Event.action, Event.data).order_by(Event.id)
        ).all()
        states = {("worklog", row.id): row.state for row in session.scalars(select(Worklog))}
        states |= {("invoice", row.id): row.state for row in session.scalars(select(Invoice))}
    replayed = replay(tuple(one) for one in events)
    assert {key: replayed[key] for key in states} == states


@pytest.fixture
def moved(world):
    """Six worklogs are billed, two came after; the credentials lead to another organisation now."""
    world.deliver(*(world.line(number) for number in range(6)))
    world.settle()
    world.old_name = eras(world.ledger)[0].organisation.name
    world.deliver(world.line(6), world.line(7))
    exclude_worklog(world.ledger, views.find_worklogs(world.ledger, "1007")[0].row, "a favour")
    open_another_organisation(world)
    return world


def test_nothing_runs_against_another_organisation_and_the_error_names_both(moved) -> None:
    before = moved.states()
    settings = BillingSettings.from_config({})
    for run in (
        moved.settle,
        lambda: preview(moved.ledger, moved.client(), settings),
        lambda: reconcile(moved.ledger, moved.client(), number_prefix="SDP-"),
    ):
        with pytest.raises(LedgerError) as refused:
            run()
        assert str(refused.value) == (
            f"these credentials lead to the Xero organisation Rata Holdings, but connection default bills "
            f"{moved.old_name}. Correct the credentials or the tenant_id; to bill Rata Holdings from now on, "
            "run `msp-xero reinitialise`"
        )
    assert moved.states() == before
    assert moved.ours() == []


def test_billed_stays_billed_and_what_waits_goes_to_the_new_organisation(moved) -> None:
    found = survey(moved.ledger)
    assert (found.billed.count, found.invoices, found.again.count) == (6, 3, 0)
    assert (found.waiting.count, found.excluded.count, found.earlier.count) == (1, 1, 0)
    assert found.billed.minutes == 6 * 45
    assert (found.accounts.linked, found.under_way) == (3, ())
    assert reinitialise(moved) == 2
    assert moved.settle().made.created == []  # the accounts are not linked yet
    assert moved.reasons()["1006"] == "ACCOUNT_UNMAPPED"

    moved.link_accounts()
    moved.link_types()
    moved.settle()
    [made] = moved.ours()
    assert made["InvoiceNumber"] == "SDP-00004", "each number is in the ledger once"
    assert [one["Description"].split("\n")[0] for one in made["LineItems"]] == ["Worklog 6"]
    assert moved.states() == {"invoiced": 7, "excluded": 1}
    check_history(moved)

    names = {row.number: row.organisation for row in views.list_invoices(moved.ledger)}
    assert set(names.values()) == {moved.old_name, "Rata Holdings"}
    assert names["SDP-00001"] == moved.old_name
    old = views.invoice_detail(moved.ledger, "SDP-00001")
    new = views.invoice_detail(moved.ledger, "SDP-00004")
    assert "!new" in new.link
    assert "!new" not in old.link
    assert [line.organisation for line in old.lines] == [moved.old_name] * 2
    assert [one.generation for one in eras(moved.ledger)] == [1, 2]


def test_only_work_from_the_given_day_on_is_billed_again(moved) -> None:
    moved.deliver(*(moved.line(number) for number in range(6)))
    day = date(2026, 11, 4)  # worklogs 3, 4 and 5
    found = survey(moved.ledger, rebill_from=day)
    assert (found.billed.count, found.again.count, found.again.minutes) == (6, 3, 3 * 45)
    reinitialise(moved, day)
    moved.link_accounts()
    moved.link_types()
    moved.settle()
    assert sorted(one["Description"].split("\n")[0] for i in moved.ours() for one in i["LineItems"]) == [
        f"Worklog {number}" for number in (3, 4, 5, 6)
    ]
    assert moved.states() == {"invoiced": 7, "excluded": 1}
    keys = moved.live_keys()
    assert len(keys) == len(set(keys)) == 7
    check_history(moved)
    moved.settle()
    assert len(moved.invoices()) == 3


def test_going_back_bills_again_only_what_the_organisation_between_had(moved) -> None:
    reinitialise(moved)
    moved.link_accounts()
    moved.link_types()
    moved.settle()
    moved.xero = moved.old_xero
    moved.faulty = Faulty(moved.xero, moved.clock, CallLog())
    moved.adapter = InProcessAdapter(moved.faulty, moved.clock)
    (moved.folder / "token.json").unlink()
    found = survey(moved.ledger, rebill_from=date(2026, 1, 1))
    assert (found.billed.count, found.earlier.count, found.again.count) == (1, 6, 1)
    assert reinitialise(moved, date(2026, 1, 1)) == 3
    assert moved.settle().refreshed == 0
    assert moved.states() == {"invoiced": 6, "held": 1, "excluded": 1}


def test_going_back_bills_nothing_twice_that_was_taken_off_its_invoices(moved) -> None:
    """The first organisation's invoices stand: what was to be billed anew elsewhere is on them already."""
    reinitialise(moved, date(2026, 1, 1))
    assert moved.states()["open"] == 7
    moved.xero = moved.old_xero
    moved.faulty = Faulty(moved.xero, moved.clock, CallLog())
    moved.adapter = InProcessAdapter(moved.faulty, moved.clock)
    (moved.folder / "token.json").unlink()
    assert reinitialise(moved) == 3
    moved.settle()
    keys = moved.live_keys()
    assert len(keys) == len(set(keys)) == 6
    assert moved.states() == {"invoiced": 6, "held": 1, "excluded": 1}


def test_what_was_voided_and_not_released_is_not_billed_again(moved) -> None:
    with moved.ledger.write() as session:
        session.execute(update(Invoice).where(Invoice.number == "SDP-00001").values(state="voided"))
        voided = session.scalars(
            select(InvoiceLine.worklog_row).join(Invoice).where(Invoice.number == "SDP-00001")
        ).all()
    found = survey(moved.ledger, rebill_from=date(2026, 1, 1))
    assert (found.billed.count, found.again.count) == (6, 6 - len(voided))
    reinitialise(moved, date(2026, 1, 1))
    with moved.ledger.read() as session:
        states = session.scalars(select(Worklog.state).where(Worklog.id.in_(voided))).all()
    assert set(states) == {"invoiced"}


def test_nothing_starts_over_while_an_outcome_is_unknown(world) -> None:
    world.deliver(world.line(0))
    world.settle()
    with world.ledger.write() as session:  # as a run leaves it whose answer was lost
        session.execute(update(Invoice).values(state="unknown", xero_id=None))
        session.execute(update(Worklog).values(state="planned"))
    open_another_organisation(world)
    found = survey(world.ledger)
    assert found.under_way == ("SDP-00001",)
    with pytest.raises(LedgerError, match="SDP-00001 is under way: it is not certain yet whether"):
        reinitialise(world)
    assert world.ledger.generation == 1


def test_what_was_planned_and_never_sent_goes_to_the_new_organisation(moved) -> None:
    open_again = moved.xero
    moved.xero = moved.old_xero
    settings = BillingSettings.from_config({})
    adapter = moved.adapter
    moved.adapter = InProcessAdapter(Faulty(moved.old_xero, moved.clock, CallLog()), moved.clock)
    client = moved.client()
    reference = read_reference(client, settings, meet_organisation(client), [], [])
    contacts = [c["ContactID"] for c in moved.old_xero.dump(["contacts"])["contacts"]]
    reference = read_reference(client, settings, reference.organisation, contacts, [])
    with moved.ledger.write() as session:
        assert plan(session, moved.ledger, reference, settings).batches == 1
    moved.xero, moved.adapter = open_again, adapter
    (moved.folder / "token.json").unlink()
    found = survey(moved.ledger)
    assert (found.under_way, found.withdrawn.count, found.waiting.count) == ((), 1, 1)
    reinitialise(moved)
    assert moved.states() == {"invoiced": 6, "open": 1, "excluded": 1}
    moved.link_accounts()
    moved.link_types()
    moved.settle()
    assert {row.number: row.state for row in moved.ledger_invoices()}["SDP-00004"] == "rejected"
    assert [one["InvoiceNumber"] for one in moved.ours()] == ["SDP-00005"]
    check_history(moved)


def test_credentials_that_still_lead_to_the_old_organisation_change_nothing(world) -> None:
    world.deliver(world.line(0))
    world.settle()
    with pytest.raises(LedgerError, match="already: there is nothing to start over"):
        reinitialise(world)
    assert world.ledger.generation == 1


def test_what_changed_since_it_was_shown_is_shown_again_first(moved) -> None:
    found = survey(moved.ledger)
    moved.deliver(moved.line(9))
    with moved.ledger.settling() as fence, pytest.raises(LedgerError, match="has changed since"):
        start_over(moved.ledger, fence, met(moved), expected=found)
    assert survey(moved.ledger).generation == 1


def test_a_crash_at_any_statement_leaves_the_old_generation_whole(moved) -> None:
    organisation, found = met(moved), survey(moved.ledger, rebill_from=date(2026, 1, 1))
    reached, until = 0, 0

    def strike(*_arguments) -> None:
        nonlocal reached
        reached += 1
        if reached == until:
            raise KeyboardInterrupt

    def everything() -> list[object]:
        with moved.ledger.read() as session:
            rows = [
                session.execute(select(m.__table__)).all() for m in (Worklog, Invoice, InvoiceLine, Event)
            ]
            of_connection = select(BillingConnection.generation, BillingConnection.organisation_id)
            return [*rows, session.execute(of_connection).all()]

    before = everything()
    with moved.ledger.settling() as fence:
        event.listen(moved.ledger.engine, "before_cursor_execute", strike)
        while True:
            reached, until = 0, until + 1
            try:
                start_over(moved.ledger, fence, organisation, expected=found)
            except KeyboardInterrupt:
                crashed = reached
                reached = 10**6
                assert everything() == before
                assert crashed == until
            else:
                break
        event.remove(moved.ledger.engine, "before_cursor_execute", strike)
    assert until > 20
    assert survey(moved.ledger).generation == 2
    assert moved.states() == {"open": 7, "excluded": 1}


def test_a_run_that_began_before_writes_nothing_any_more(moved) -> None:
    with Ledger.open(moved.url, clock=moved.time, actor="an older run") as older:
        reinitialise(moved)
        with pytest.raises(LedgerError, match="started over with another organisation meanwhile"):
            older.write().__enter__()
    moved.deliver(moved.line(8))


def test_books_that_were_moved_with_their_invoices_stop_nothing_and_are_not_billed_twice(world) -> None:
    """The new organisation holds copies of the old one's invoices: same numbers, same references."""
    world.deliver(*(world.line(number) for number in range(3)))
    world.settle()
    rows = copy.deepcopy(world.xero.dump(None))
    for row in rows["invoices"]:
        row["InvoiceID"] = "00000000" + row["InvoiceID"][8:]
    move_to(world, rows)
    world.deliver(world.line(3))
    reinitialise(world)
    world.link_accounts()
    world.link_types()
    world.settle()
    assert len(world.ours()) == 4
    assert world.states() == {"invoiced": 4}


def test_what_the_moved_books_hold_already_is_not_billed_again_even_if_asked_for(world) -> None:
    world.deliver(*(world.line(number) for number in range(3)))
    world.settle()
    rows = copy.deepcopy(world.xero.dump(None))
    for row in rows["invoices"]:
        row["InvoiceID"] = "00000000" + row["InvoiceID"][8:]
    move_to(world, rows)
    reinitialise(world, date(2026, 1, 1))
    world.link_accounts()
    world.link_types()
    with pytest.raises(LedgerError, match=r"Xero has 3 invoice\(s\) made by msp-xero"):
        world.settle()
    assert len(world.ours()) == 3


def test_after_a_loss_each_generation_is_rebuilt_from_its_own_organisation(
    moved, databases, tmp_path
) -> None:
    reinitialise(moved)
    moved.link_accounts()
    moved.link_types()
    moved.settle()
    new = (moved.xero, moved.adapter)
    (tmp_path / "new").mkdir()
    moved.ledger.close()
    with Ledger.open(databases.empty(tmp_path / "new"), clock=moved.time, actor="test") as ledger:
        moved.ledger = ledger
        moved.adapter = InProcessAdapter(Faulty(moved.old_xero, moved.clock, CallLog()), moved.clock)
        (moved.folder / "token.json").unlink()
        assert rebuild(ledger, moved.client(), number_prefix="SDP-").worklogs == 6
        moved.xero, moved.adapter = new
        (moved.folder / "token.json").unlink()
        reinitialise(moved)
        rebuilt = rebuild(ledger, moved.client(), number_prefix="SDP-")
        assert (rebuilt.worklogs, rebuilt.next_number, rebuilt.missing.count) == (1, 5, 0)
        with pytest.raises(LedgerError, match="not empty"):
            rebuild(ledger, moved.client(), number_prefix="SDP-")
        assert moved.states() == {"invoiced": 7}


def go_back(world) -> None:
    """Let the credentials lead to the first organisation again."""
    world.xero = world.old_xero
    world.faulty = Faulty(world.xero, world.clock, CallLog())
    world.adapter = InProcessAdapter(world.faulty, world.clock)
    (world.folder / "token.json").unlink(missing_ok=True)


def link_again(world, rows) -> None:
    world.rows = rows
    world.contacts = [c for c in rows["contacts"] if c.get("ContactStatus") == "ACTIVE"]
    world.link_accounts()
    world.link_types()


def start_over_with(world, going_to, rebill_from=None, **words) -> None:
    found = survey(world.ledger, rebill_from=rebill_from, going_to=going_to.organisation_id)
    with world.ledger.settling() as fence:
        start_over(world.ledger, fence, going_to, expected=found, **words)


def billed_keys(world):
    return [key for invoice in world.ours() for key in worklogs_of(invoice)]


def test_a_call_that_arrives_late_while_another_organisation_is_billed_is_told_on_the_way_back(world) -> None:
    rows = world.rows
    world.deliver(world.line(0))
    world.fail({"kind": "slow", "seconds": 1200, "commit": "after", "nth": 1, "match": {"method": "PUT"}})
    world.settle()
    [sent] = world.invoices()
    world.person("invoice", "edit", sent["InvoiceID"], Status="DELETED")
    world.clock.advance(600)
    world.settle()
    slow = world.adapter
    open_another_organisation(world)
    reinitialise(world)
    world.clock.advance(600)
    slow.commit_late_calls()
    go_back(world)
    start_over_with(world, met(world))
    link_again(world, rows)
    assert [one["InvoiceNumber"] for one in world.ours()] == [sent["InvoiceNumber"]]
    with pytest.raises(BilledElsewhere, match=sent["InvoiceNumber"]):
        world.settle()


@pytest.mark.parametrize("is_billed_between", [False, True])
def test_there_and_back_nothing_is_billed_twice_in_the_first_organisation(world, is_billed_between) -> None:
    rows = world.rows
    world.deliver(*(world.line(number) for number in range(6)))
    world.settle()
    open_another_organisation(world)
    reinitialise(world, date(2026, 1, 1))
    assert world.states() == {"open": 6}
    if is_billed_between:
        world.link_accounts()
        world.link_types()
        world.settle()
    world.deliver(world.line(0, minutes=90), world.line(6))
    exclude_worklog(world.ledger, views.find_worklogs(world.ledger, "1006")[0].row, "a favour")
    go_back(world)
    home = met(world)
    found = survey(world.ledger, rebill_from=date(2026, 1, 1), going_to=home.organisation_id)
    assert (found.back.count, found.again.count, found.waiting.count, found.excluded.count) == (6, 0, 0, 1)
    assert found.back_changed == (() if is_billed_between else ("1000",))
    start_over_with(world, home, date(2026, 1, 1))
    assert world.states() == {"invoiced": 6, "excluded": 1}
    link_again(world, rows)
    world.settle()
    assert sorted(billed_keys(world)) == world.live_keys()
    assert len(billed_keys(world)) == 6
    check_history(world)

    # What is voided there is noticed, because those invoices are the present organisation's again.
    world.clock.advance(3600)
    first = world.invoices()[0]
    world.person("invoice", "void", first["InvoiceID"])
    world.settle()
    assert release_invoice(world.ledger, first["InvoiceNumber"]).free == len(first["LineItems"])


def test_invoices_from_before_whose_worklogs_wait_stop_the_run_with_a_true_sentence(world) -> None:
    """A ledger that went there and back before worklogs were put back on the invoices that they were on."""
    rows = world.rows
    world.deliver(*(world.line(number) for number in range(3)))
    world.settle()
    open_another_organisation(world)
    reinitialise(world, date(2026, 1, 1))
    go_back(world)
    reinitialise(world)
    with world.ledger.write() as session:
        session.execute(update(InvoiceLine).values(live=False))
        session.execute(update(Worklog).values(state="open"))
    link_again(world, rows)
    world.deliver(*(world.line(number, description="Told otherwise") for number in range(3)))
    with pytest.raises(LedgerError) as refused:
        world.settle()
    assert "3 invoice(s) made by msp-xero before this connection started over (SDP-" in str(refused.value)
    assert "exclude its worklogs" in str(refused.value)
    assert len(billed_keys(world)) == 3
    for made in world.invoices():
        world.person("invoice", "void", made["InvoiceID"])
    world.settle()
    assert len(billed_keys(world)) == 3


def test_what_was_voided_in_the_old_organisation_is_not_billed_again_unasked(world) -> None:
    world.deliver(*(world.line(number) for number in range(3)))
    world.settle()
    first = world.invoices()[0]
    world.person("invoice", "void", first["InvoiceID"])
    world.clock.advance(3600)
    world.settle()
    open_another_organisation(world)
    found = survey(world.ledger, rebill_from=date(2026, 1, 1))
    assert (found.billed.count, found.again.count, found.voided.count) == (3, 2, 1)
    reinitialise(world, date(2026, 1, 1))
    assert world.states() == {"invoiced": 1, "open": 2}
    assert release_invoice(world.ledger, first["InvoiceNumber"]).free == 1


def test_an_invoice_voided_after_the_move_is_released_on_a_persons_word(moved) -> None:
    first = moved.old_xero.dump(["invoices"])["invoices"][-1]
    assert first["InvoiceNumber"].startswith("SDP-")
    with pytest.raises(Refusal, match="let a run or a push notice that"):
        release_invoice(moved.ledger, "SDP-00001", voided_there=True)
    reinitialise(moved)
    moved.link_accounts()
    moved.link_types()
    with pytest.raises(Refusal, match=r"bills no more, so no run .* --voided-there"):
        release_invoice(moved.ledger, first["InvoiceNumber"])
    assert release_invoice(moved.ledger, first["InvoiceNumber"], voided_there=True).free == 2
    moved.settle()
    assert len(billed_keys(moved)) == 3
    check_history(moved)
    detail = views.invoice_detail(moved.ledger, first["InvoiceNumber"])
    assert any(one.data == {"on_word_of_person": True} for one in detail.history)


def test_a_word_that_was_not_true_bills_nothing_twice_on_the_way_back(moved) -> None:
    reinitialise(moved)
    release_invoice(moved.ledger, "SDP-00001", voided_there=True)
    go_back(moved)
    reinitialise(moved)
    link_again(moved, moved.old_xero.dump(None))
    with pytest.raises(LedgerError, match="before this connection started over"):
        moved.settle()
    assert len(billed_keys(moved)) == 6
    assert moved.ledger_invoices()[0].state == "created", "what Xero says counts more than the word"


def test_on_the_way_back_an_invoice_is_known_by_its_lines_though_its_reference_was_rewritten(moved) -> None:
    reinitialise(moved)
    release_invoice(moved.ledger, "SDP-00001", voided_there=True)
    go_back(moved)
    for row in moved.invoices():
        moved.person("invoice", "edit", row["InvoiceID"], Reference="As agreed")
    reinitialise(moved)
    link_again(moved, moved.old_xero.dump(None))
    with pytest.raises(LedgerError, match=r"before this connection started over \(SDP-00001"):
        moved.settle()
    assert len(billed_keys(moved)) == 6


def test_an_invoice_of_which_only_some_lines_are_billed_again_is_named(world) -> None:
    world.deliver(world.line(0, account=1), world.line(3, account=1), world.line(4, account=2))
    world.settle()
    open_another_organisation(world)
    whole, part = sorted(world.ledger_invoices(), key=lambda one: one.line_count)
    assert survey(world.ledger).split == ()
    assert survey(world.ledger, rebill_from=date(2026, 11, 1)).split == ()
    assert survey(world.ledger, rebill_from=date(2026, 11, 4)).split == (part.number,)
    assert whole.number != part.number


@pytest.mark.parametrize("hours", [-1, 25])
def test_a_ledger_that_was_not_compared_within_a_day_starts_over_only_if_a_person_insists(
    moved, hours
) -> None:
    looked_at = moved.time.now() - timedelta(hours=hours)
    with moved.ledger.write() as session:
        session.execute(update(BillingConnection).values(invoices_refreshed_at=looked_at))
    with pytest.raises(LedgerError) as refused:
        reinitialise(moved)
    assert f"has not been compared with {moved.old_name} since {looked_at:%Y-%m-%d}" in str(refused.value)
    assert moved.ledger.generation == 1
    start_over_with(moved, met(moved), not_compared=True)
    assert moved.ledger.generation == 2


def test_a_generation_that_billed_nothing_is_known_from_its_beginning(moved) -> None:
    reinitialise(moved)
    go_back(moved)
    moved.clock.advance(23 * 3600)
    reinitialise(moved)
    open_another_organisation(moved)
    reinitialise(moved, None, not_compared=True)
    go_back(moved)
    moved.clock.advance(25 * 3600)
    with pytest.raises(LedgerError, match="has not been compared with Rata Holdings: if it is"):
        reinitialise(moved)


def test_what_nobody_can_ask_any_more_counts_as_billed_if_a_person_says_so(world) -> None:
    rows = world.rows
    world.deliver(*(world.line(number) for number in range(3)))
    world.settle()
    with world.ledger.write() as session:  # as a run leaves it whose answer was lost
        session.execute(update(Invoice).values(state="unknown", xero_id=None))
        session.execute(update(PushBatch).values(state="unknown", settled_at=None))
        session.execute(update(Worklog).values(state="planned"))
    open_another_organisation(world)
    found = survey(world.ledger)
    assert (len(found.under_way), found.at_stake.count) == (3, 3)
    with pytest.raises(LedgerError, match=r"SDP-00003 is under way.*--count-as-billed SDP-00003"):
        start_over_with(world, met(world), count_as_billed=["sdp-00001", "SDP-00002"])
    with pytest.raises(LedgerError, match="SDP-00009 is not under way"):
        start_over_with(world, met(world), count_as_billed=["SDP-00009"])
    start_over_with(world, met(world), date(2026, 1, 1), count_as_billed=list(found.under_way))
    assert world.states() == {"invoiced": 3}
    check_history(world)
    world.link_accounts()
    world.link_types()
    world.settle()
    assert world.ours() == []
    # They are in Xero after all: going back bills them no second time.
    go_back(world)
    reinitialise(world)
    link_again(world, rows)
    world.settle()
    assert len(billed_keys(world)) == 3
    # A run has found them there, so a person's word alone does not count any more.
    with pytest.raises(Refusal, match="void or delete it in Xero first"):
        release_invoice(world.ledger, "SDP-00001", voided_there=True)


def test_ignored_worklog_types_stay_ignored_and_are_named(moved) -> None:
    moved.deliver(moved.line(8, type_id="type-x", type_name="Warranty"))
    ignore_type(moved.ledger, "type-x")
    assert survey(moved.ledger).ignored_types == ("Warranty",)
    reinitialise(moved)
    assert survey(moved.ledger).ignored_types == ("Warranty",)


def test_a_rebuild_after_a_move_names_the_numbers_of_the_organisation_before(
    moved, databases, tmp_path
) -> None:
    reinitialise(moved)
    moved.link_accounts()
    moved.link_types()
    moved.settle()
    (tmp_path / "new").mkdir()
    moved.ledger.close()
    with Ledger.open(databases.empty(tmp_path / "new"), clock=moved.time, actor="test") as ledger:
        moved.ledger = ledger
        found = rebuild(ledger, moved.client(), number_prefix="sdp-")
    assert (found.missing.count, found.missing.first) == (3, ["sdp-00001 to sdp-00003"])

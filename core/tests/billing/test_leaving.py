"""Leaving an organisation where invoices that this ledger does not know may bill what waits."""

from __future__ import annotations

import contextlib
from datetime import date

import pytest
from msp_xero.billing.memory import refuse_to_leave, stop_if_billed_elsewhere, tell_apart
from msp_xero.billing.rebuild import rebuild
from msp_xero.billing.recover import reconcile
from msp_xero.billing.reference import meet_organisation
from msp_xero.billing.refresh import refresh_invoices
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import pin_organisation, settle
from msp_xero.errors import BilledElsewhere, DayLimitReached, LedgerError, RemoteError, Unavailable
from msp_xero.ledger.decisions import Released, exclude_worklog, include_worklog, release_invoice
from msp_xero.ledger.models import AccountLink
from msp_xero.ledger.survey import refuse_under_way, survey
from sqlalchemy import select

from core.tests.billing.conftest import worklogs_of
from core.tests.billing.test_another_organisation import (
    go_back,
    link_again,
    met,
    open_another_organisation,
    reinitialise,
)
from core.tests.billing.test_copies import delete_and_release, planned_and_copied, rebuilt_with_a_copy, row_of
from core.tests.billing.test_strangers import PUT, copy_of, sent_without_an_answer, settle_later
from core.tests.billing.test_telling_apart import quite_another, somebody_elses, waiting_rows


def leave(world) -> None:
    """Start over with another organisation, and link everything there."""
    open_another_organisation(world)
    reinitialise(world)
    world.link_accounts()
    world.link_types()


def standing_in(*organisations) -> list[str]:
    """Return the worklogs on invoices that stand there."""
    return [
        worklog_id
        for organisation in organisations
        for invoice in organisation.dump(["invoices"])["invoices"]
        if invoice["Status"] not in ("VOIDED", "DELETED")
        for _, worklog_id in worklogs_of(invoice)
    ]


# Before it leaves


def test_what_another_ledger_billed_keeps_a_connection_from_leaving(world, lose_the_ledger) -> None:
    world.deliver(world.line(0))
    world.settle()
    lose_the_ledger(world)
    world.deliver(world.line(0))
    with pytest.raises(LedgerError, match="does not know"):
        world.settle()
    with pytest.raises(LedgerError, match=r"\(SDP-00001\) and that may bill .* here \(1000\)"):
        refuse_to_leave(world.ledger)
    exclude_worklog(world.ledger, row_of(world), "billed by another")
    refuse_to_leave(world.ledger)


def test_a_first_organisation_that_was_never_looked_at_is_not_left_unseen(world) -> None:
    """A new ledger does not know what a lost one billed there."""
    pin_organisation(world.ledger, meet_organisation(world.client()))
    open_another_organisation(world)
    with pytest.raises(LedgerError, match="has not been compared with Kōwhai Managed IT: if it is"):
        reinitialise(world)
    reinitialise(world, None, not_compared=True)


def test_an_invoice_that_may_bill_what_waits_is_named_though_only_an_id_tells(sqlite_world) -> None:
    world = sqlite_world
    settle_later(world)
    somebody_elses(world, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1000)", contact=5)
    settle_later(world)
    world.deliver(world.line(0, account=0))
    with pytest.raises(
        LedgerError, match=r"\(ABC-00001\) and that may bill worklogs that wait here \(1000\)"
    ):
        refuse_to_leave(world.ledger)
    tell_apart(world.ledger, row_of(world))
    refuse_to_leave(world.ledger)


def test_what_is_under_way_is_not_refused_a_second_time(sqlite_world) -> None:
    """Its worklogs are settled or counted as billed first, and nobody can decide about them till then."""
    world = sqlite_world
    sent = sent_without_an_answer(world)
    lines = [*sent["LineItems"], {**sent["LineItems"][0], "Description": "More\n(SDP request worklog 999)"}]
    copy_of(world, {**sent, "LineItems": lines}, "INV-0100", Reference="by hand")
    with world.ledger.settling() as fence, pytest.raises(BilledElsewhere):
        refresh_invoices(world.ledger, world.client(), fence, number_prefix="SDP-")
    open_another_organisation(world)
    found = survey(world.ledger, going_to=met(world).organisation_id)
    with pytest.raises(LedgerError, match="under way"):
        refuse_under_way(found)
    refuse_under_way(found, list(found.under_way))
    refuse_to_leave(world.ledger)


def test_a_second_organisation_is_not_left_unseen_after_a_rebuild_that_left_invoices_out(world) -> None:
    """A generation that has not looked may leave within a day of its beginning; this one looked in part."""
    world.settle()
    leave(world)
    somebody_elses(world, "INV-9001", "Work [0badcafe]", "Worklog 0\n(SDP request worklog 1000)")
    rebuild(world.ledger, world.client(), number_prefix="SDP-", only_prefix=True)
    world.deliver(world.line(0, account=0))
    there = world.xero, world.faulty, world.adapter
    go_back(world)
    with pytest.raises(LedgerError, match=r"the last look at Rata Holdings, .* stopped, so what waits"):
        reinitialise(world)
    world.xero, world.faulty, world.adapter = there
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        reconcile(world.ledger, world.client(), number_prefix="SDP-")
    exclude_worklog(world.ledger, row_of(world), "it is on INV-9001")
    reconcile(world.ledger, world.client(), number_prefix="SDP-")
    go_back(world)
    reinitialise(world)


@pytest.fixture
def planned_beside_a_copy(sqlite_world):
    """An invoice that was planned and never sent, and then a copy that bills its worklog."""
    planned_and_copied(sqlite_world)
    return sqlite_world


def test_a_reconcile_that_stops_lets_a_person_decide(planned_beside_a_copy) -> None:
    world = planned_beside_a_copy
    with pytest.raises(LedgerError, match="INV-0100"):
        reconcile(world.ledger, world.client(), number_prefix="SDP-")
    assert world.states() == {"open": 1}
    exclude_worklog(world.ledger, row_of(world), "it is on INV-0100")
    reconcile(world.ledger, world.client(), number_prefix="SDP-")
    leave(world)


def test_starting_over_takes_back_what_a_person_has_to_decide_about(planned_beside_a_copy) -> None:
    world = planned_beside_a_copy
    with world.ledger.settling() as fence:
        with pytest.raises(BilledElsewhere):
            refresh_invoices(world.ledger, world.client(), fence, number_prefix="SDP-")
        refuse_to_leave(world.ledger)
        with pytest.raises(LedgerError, match=r"\(INV-0100\)"):
            refuse_to_leave(world.ledger, fence)
    exclude_worklog(world.ledger, row_of(world), "it is on INV-0100")


def test_after_a_look_that_stopped_nothing_starts_over_unless_a_person_insists(sqlite_world) -> None:
    """A call that counted as withdrawn arrives late: it bills what waits, and nothing else tells of it."""
    world = sqlite_world
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    delete_and_release(world)
    world.fail({"kind": "slow", "seconds": 1200, "commit": "after", "match": PUT})
    world.settle_without_look_up()
    world.faulty.clear_faults()
    copied = copy_of(world, sent, "INV-0100")
    with pytest.raises(BilledElsewhere):
        world.settle()
    world.person("invoice", "edit", copied["InvoiceID"], Status="DELETED")
    world.settle(push=False)
    assert survey(world.ledger).stopped_at is None
    world.clock.advance(1200)
    world.adapter.commit_late_calls()
    with pytest.raises(LedgerError, match="Xero holds SDP-00002 although"):
        reconcile(world.ledger, world.client(), number_prefix="SDP-")
    open_another_organisation(world)
    with pytest.raises(LedgerError, match=r"the last look at .* stopped, so what waits may be billed there"):
        reinitialise(world)
    reinitialise(world, None, not_compared=True)
    assert survey(world.ledger).stopped_at is None


def test_a_look_that_is_cut_off_counts_as_stopped_until_one_ends_well(world) -> None:
    world.settle()
    for fault in ({"kind": "html"}, {"kind": "rate_day", "retry_after": 1800}):
        world.fail({**fault, "match": {"method": "GET", "path": "/api.xro/2.0/Invoices"}})
        with contextlib.suppress(RemoteError):
            settle_later(world)
        assert survey(world.ledger).stopped_at is not None
        world.recover()
        world.clock.advance(24 * 3600)
        world.settle()
        assert survey(world.ledger).stopped_at is None


@pytest.fixture
def unanswered(sqlite_world):
    """A world where one invoice was sent without an answer, and one is planned."""
    world = sqlite_world
    world.settle()
    world.clock.advance(3600)
    world.deliver(world.line(0, account=0), world.line(1, account=1))
    world.fail({"kind": "reset_before", "match": PUT})
    world.settle_without_look_up()
    world.recover()
    assert sorted(invoice.state for invoice in world.ledger_invoices()) == ["planned", "unknown"]
    return world


def test_a_reconcile_that_stops_has_looked_up_what_was_sent(unanswered) -> None:
    """Else a person is told to exclude what is on its way, and cannot."""
    world = unanswered
    somebody_elses(
        world, "ABC-00001", "by hand", "Theirs\n(SDP request worklog 1000)", "B\n(SDP task worklog 7)"
    )
    assert world.states() == {"planned": 2}
    with pytest.raises(BilledElsewhere, match="ABC-00001"):
        reconcile(world.ledger, world.client(), number_prefix="SDP-")
    exclude_worklog(world.ledger, row_of(world), "it is on ABC-00001")


@pytest.mark.parametrize(
    "job",
    [
        lambda ledger, client: settle(ledger, client, BillingSettings()),
        lambda ledger, client: reconcile(ledger, client, number_prefix="SDP-"),
    ],
    ids=["settle", "reconcile"],
)
@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("503", system="Xero", address="GET /Invoices"),
        DayLimitReached(system="Xero", address="GET /Invoices", resume_at=None),
    ],
    ids=["unavailable", "day limit"],
)
def test_a_look_up_that_fails_hides_no_stop_and_leaves_a_person_able_to_decide(
    unanswered, job, failure
) -> None:
    """An invoice in Xero bills the worklog of the one that was never sent."""
    world = unanswered
    theirs = "Theirs\n(SDP request worklog 1001)", "B\n(SDP task worklog 7)"
    somebody_elses(world, "ABC-00001", "by hand", *theirs, contact=1)
    client = world.client()
    invoices = client.invoices

    def without_look_up(*, numbers=None, **asked):
        if numbers is not None:
            raise failure
        return invoices(**asked)

    client.invoices = without_look_up
    with pytest.raises(BilledElsewhere, match="ABC-00001"):
        job(world.ledger, client)
    exclude_worklog(world.ledger, row_of(world, "1001"), "it is on ABC-00001")


def test_a_reconcile_finds_out_what_keeps_a_connection_from_leaving(sqlite_world) -> None:
    """It reads again what changed within ten minutes before the last look, and tries its marker again."""
    world = sqlite_world
    settle_later(world)
    world.clock.advance(3600)
    somebody_elses(world, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1000)", contact=5)
    world.deliver(world.line(0, account=1, decision="hold", reason_code="X", reason="x"))
    for _ in range(2):
        world.clock.advance(240)
        reconcile(world.ledger, world.client(), number_prefix="SDP-")
        refuse_to_leave(world.ledger)


def test_one_of_ours_that_only_its_marker_tells_stops_a_reconcile_and_a_leaving_after_it_has_stopped_a_run(
    sqlite_world, bill_and_lose
) -> None:
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-9001")
    settle_later(world, hours=24)
    world.deliver(world.line(0, account=1, module="task", description="Told in other words"))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(world, hours=24)
    with pytest.raises(LedgerError, match=r"\(INV-9001\)"):
        refuse_to_leave(world.ledger)
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        reconcile(world.ledger, world.client(), number_prefix="SDP-")


# What is known where it left


@pytest.fixture
def left_behind(world, lose_the_ledger):
    """A rebuild left a renumbered invoice out, and the connection moved before its worklog came again."""
    world.deliver(world.line(0, account=0))
    world.settle()
    world.person("invoice", "edit", world.invoices()[0]["InvoiceID"], InvoiceNumber="INV-9001")
    world.clock.advance(3600)
    lose_the_ledger(world)
    rebuild(world.ledger, world.client(), number_prefix="SDP-", only_prefix=True)
    world.settle()
    world.old_rows = world.rows
    open_another_organisation(world)
    reinitialise(world)
    world.link_accounts()
    world.link_types()
    world.deliver(world.line(0, account=0))
    return world


def test_what_an_unknown_invoice_billed_in_the_organisation_that_was_left_is_not_billed_again(
    left_behind,
) -> None:
    for _ in range(2):
        with pytest.raises(BilledElsewhere, match=r"has left, 1 .* \(INV-9001\) bill.* here \(1000\)"):
            left_behind.settle()
    assert left_behind.ours() == []
    row = row_of(left_behind)
    exclude_worklog(left_behind.ledger, row, "INV-9001 stands")
    left_behind.settle()
    assert left_behind.ours() == []


def test_it_is_told_by_the_contact_of_then_when_its_text_has_changed(left_behind) -> None:
    left_behind.deliver(left_behind.line(0, account=0, description="Corrected"))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        left_behind.settle()


def test_what_came_while_the_run_was_on_its_way_is_compared_with_it_too(left_behind) -> None:
    exclude_worklog(left_behind.ledger, row_of(left_behind), "for now")
    left_behind.settle()
    include_worklog(left_behind.ledger, row_of(left_behind))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        stop_if_billed_elsewhere(left_behind.ledger)


def test_a_person_can_say_that_it_was_voided_there(left_behind) -> None:
    tell_apart(left_behind.ledger, row_of(left_behind))
    left_behind.settle()
    assert left_behind.states() == {"invoiced": 1}


def test_back_home_only_what_stands_there_now_counts(left_behind) -> None:
    unknown = next(one for one in left_behind.old_xero.rows.invoices.values() if one.number == "INV-9001")
    left_behind.old_xero.change_row(
        {"kind": "invoice", "action": "delete", "id": unknown.invoice_id, "values": {}}
    )
    go_back(left_behind)
    reinitialise(left_behind)
    link_again(left_behind, left_behind.old_rows)
    left_behind.settle()
    assert left_behind.states() == {"invoiced": 1}


@pytest.mark.parametrize("change", [{"module": "task"}, {"account": 1}])
def test_where_only_an_id_tells_it_is_asked_too_because_nobody_can_look_again(left_behind, change) -> None:
    left_behind.deliver(left_behind.line(0, **{"account": 0, "description": "Other words", **change}))
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        settle_later(left_behind)


def test_what_was_excluded_before_the_move_and_is_included_after_it_is_asked_about(
    sqlite_world, bill_and_lose
) -> None:
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1")
    world.settle()

    def line():
        return world.line(0, account=1, description="Told in other words")

    world.deliver(line())
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)
    exclude_worklog(world.ledger, row_of(world), "on INV-1?")
    settle_later(world)
    leave(world)
    include_worklog(world.ledger, row_of(world))
    world.deliver(line())
    with pytest.raises(BilledElsewhere, match="INV-1"):
        settle_later(world)
    assert standing_in(world.old_xero, world.xero) == ["1000"]


def test_a_persons_word_on_an_invoice_here_says_nothing_of_one_there(left_behind) -> None:
    somebody_elses(left_behind, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1000)")
    with pytest.raises(BilledElsewhere, match=r"\(ABC-00001\)"):
        settle_later(left_behind)
    tell_apart(left_behind.ledger, row_of(left_behind))
    with pytest.raises(BilledElsewhere, match=r"\(INV-9001\)"):
        settle_later(left_behind)
    tell_apart(left_behind.ledger, row_of(left_behind))
    settle_later(left_behind)
    assert standing_in(left_behind.xero).count("1000") == 2


def test_a_persons_word_is_kept_for_the_invoice_there_that_they_were_shown(left_behind) -> None:
    """The one here was tried and is none of ours: no run has named it."""
    exclude_worklog(left_behind.ledger, row_of(left_behind), "it is on INV-9001")
    somebody_elses(
        left_behind, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1000)", contact=5
    )
    left_behind.deliver(quite_another(left_behind))
    with pytest.raises(BilledElsewhere, match=r"1 invoice\(s\) that this ledger does not know \(INV-9001\)"):
        settle_later(left_behind)
    [row] = waiting_rows(left_behind)
    tell_apart(left_behind.ledger, row)
    assert settle_later(left_behind).invoices == 1


def test_a_persons_word_on_one_worklog_says_nothing_of_another_one_of_its_id_there(left_behind) -> None:
    billed = row_of(left_behind)
    exclude_worklog(left_behind.ledger, billed, "for now")
    left_behind.deliver(quite_another(left_behind))
    with pytest.raises(BilledElsewhere, match=r"\(INV-9001\)"):
        settle_later(left_behind)
    [row] = waiting_rows(left_behind)
    tell_apart(left_behind.ledger, row)
    assert settle_later(left_behind).invoices == 1
    include_worklog(left_behind.ledger, billed)
    with pytest.raises(BilledElsewhere, match=r"\(INV-9001\)"):
        settle_later(left_behind)
    assert standing_in(left_behind.xero) == ["1000"], "the other one"


def test_only_what_waits_under_an_id_here_is_named_before_leaving(left_behind) -> None:
    somebody_elses(left_behind, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1001)")
    left_behind.deliver(left_behind.line(1, account=0))
    with pytest.raises(BilledElsewhere):
        settle_later(left_behind)
    with pytest.raises(LedgerError, match=r"wait here \(1001\)"):
        refuse_to_leave(left_behind.ledger)


@pytest.fixture
def tried(world):
    """Another installation's invoice was tried, because a worklog of its id waited, and is none of ours.

    The contact of account 0 was merged since into the one that the invoice has.
    """
    world.settle()
    with world.ledger.write() as session:
        session.scalars(
            select(AccountLink).where(AccountLink.contact_id == world.contacts[0]["ContactID"])
        ).one().merged_to_contact_id = world.contacts[5]["ContactID"]
    somebody_elses(world, "ABC-00001", "Work [0badcafe]", "Theirs\n(SDP request worklog 1000)", contact=5)
    world.deliver(world.line(0, account=1, decision="hold", reason_code="X", reason="x"))
    settle_later(world)
    return world


def test_what_was_tried_before_the_move_is_not_asked_about_after_it(tried) -> None:
    refuse_to_leave(tried.ledger)
    leave(tried)
    tried.deliver(tried.line(0, account=1))
    settle_later(tried)
    assert tried.states() == {"invoiced": 1}


def test_what_waits_under_an_id_that_was_tried_is_not_named_beside_what_another_invoice_may_bill(
    tried,
) -> None:
    somebody_elses(tried, "XYZ-00009", "Work [0badcafe]", "Theirs\n(SDP request worklog 1001)", contact=1)
    tried.deliver(tried.line(1, account=1))
    with pytest.raises(BilledElsewhere, match="XYZ-00009"):
        settle_later(tried)
    with pytest.raises(LedgerError, match=r"\(XYZ-00009\).*wait here \(1001\)"):
        refuse_to_leave(tried.ledger)


def test_it_is_asked_about_once_it_is_work_of_the_contact_that_the_invoice_had(tried) -> None:
    leave(tried)
    tried.deliver(tried.line(0, account=0))
    with pytest.raises(BilledElsewhere, match=r"\(ABC-00001\)"):
        settle_later(tried)


def test_only_what_keeps_a_connection_from_leaving_is_taken_back(tried) -> None:
    """Else the survey that a person was shown would not be true any more."""
    tried.deliver(tried.line(0, account=1))
    tried.fail({"kind": "rate_day", "retry_after": 1800, "match": PUT})
    settle_later(tried)
    assert tried.states() == {"planned": 1}
    with tried.ledger.settling() as fence:
        refuse_to_leave(tried.ledger, fence)
    assert tried.states() == {"planned": 1}


def test_a_stop_for_what_was_left_behind_keeps_nobody_from_going_home(left_behind) -> None:
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        left_behind.settle()
    assert survey(left_behind.ledger).stopped_at is None
    refuse_to_leave(left_behind.ledger)
    go_back(left_behind)
    reinitialise(left_behind)
    with pytest.raises(BilledElsewhere, match="INV-9001"):
        left_behind.settle()


def test_what_is_on_record_is_no_unknown_invoice(sqlite_world, bill_and_lose) -> None:
    """It was told when a look stopped, and then a rebuild found it."""
    world = sqlite_world
    bill_and_lose(world, InvoiceNumber="INV-1")
    world.deliver(world.line(0, account=0))
    with pytest.raises(BilledElsewhere, match="INV-1"):
        world.settle()
    rebuild(world.ledger, world.client(), number_prefix="SDP-")
    assert survey(world.ledger).stopped_at is None, "a rebuild has looked at everything"
    world.deliver(world.line(0, account=0))
    open_another_organisation(world)
    reinitialise(world, date(2026, 1, 1))
    world.link_accounts()
    world.link_types()
    settle_later(world)
    assert standing_in(world.old_xero, world.xero) == ["1000", "1000"], "a person asked for it with the date"


@pytest.mark.parametrize("detour", [False, True])
def test_a_copy_that_was_left_is_not_forgotten_on_the_way_there_and_back(world, detour) -> None:
    rows = world.rows
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    copy_of(world, sent, "INV-0100")
    settle_later(world)
    if detour:
        leave(world)
        go_back(world)
        reinitialise(world)
        link_again(world, rows)
        settle_later(world)
    world.person("invoice", "delete", sent["InvoiceID"])
    settle_later(world)
    refuse_to_leave(world.ledger)
    leave(world)
    release_invoice(world.ledger, "SDP-00001")
    with pytest.raises(BilledElsewhere, match="INV-0100"):
        settle_later(world)


def test_what_a_rebuild_found_on_two_invoices_stays_billed_by_the_other_one_after_a_move(
    world, lose_the_ledger
) -> None:
    sent = rebuilt_with_a_copy(world, lose_the_ledger)
    leave(world)
    world.old_xero.change_row({"kind": "invoice", "action": "delete", "id": sent["InvoiceID"], "values": {}})
    assert release_invoice(world.ledger, "SDP-00001", voided_there=True) == Released(0, 1)
    settle_later(world)
    assert standing_in(world.old_xero, world.xero) == ["1000"]


def test_a_copy_of_before_is_named_too_when_what_it_bills_waits_at_home(world) -> None:
    rows = world.rows
    world.deliver(world.line(0, account=0))
    world.settle()
    [sent] = world.invoices()
    copy_of(world, sent, "INV-0100")
    leave(world)
    go_back(world)
    reinitialise(world)
    link_again(world, rows)
    settle_later(world)
    world.person("invoice", "delete", sent["InvoiceID"])
    settle_later(world)
    release_invoice(world.ledger, "SDP-00001")
    with pytest.raises(LedgerError, match=r"\(INV-0100\)"):
        refuse_to_leave(world.ledger)

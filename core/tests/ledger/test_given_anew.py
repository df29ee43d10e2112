"""Ids of accounts and worklog types that SDP gave to something else, and worklogs that still name them."""

from __future__ import annotations

import pytest
from msp_xero.ledger.audit import record
from msp_xero.ledger.given_anew import doubt, lost_names, note_given_anew, remember_lost, take_over
from msp_xero.ledger.link_staging import ACCOUNT, KINDS, WORKLOG_TYPE, Entry, store_listing
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.staging import stage_lines
from sqlalchemy import select

from core.tests.ledger.test_newest_copies import EARLIER, LATER, release
from core.tests.ledger.test_staging import change, only

MARKED = {ACCOUNT: {"account_id": "301"}, WORKLOG_TYPE: {"type_id": "301"}}


@pytest.fixture
def give_anew(ledger):
    def give_anew(kind, *ids):
        with ledger.write() as session:
            changes = note_given_anew(session, ledger, kind, ids)
            record(session, ledger, changes)
        return len(changes)

    return give_anew


@pytest.fixture
def list_(ledger):
    """SDP lists these; return what counts as lost before and after."""

    def list_(kind, *, linked=None, **names):
        with ledger.write() as session:
            before = lost_names(session, ledger, kind)
            ids = {one.removeprefix("id"): name for one, name in names.items()}
            remember_lost(session, ledger, kind, ids, linked or {})
            store_listing(session, ledger, kind, [Entry(one, name) for one, name in ids.items()])
            session.flush()
            return before, lost_names(session, ledger, kind)

    return list_


@pytest.mark.parametrize("kind", KINDS)
def test_a_worklog_is_marked_until_a_tap_delivers_it_again(ledger, deliver, give_anew, line, kind):
    one = line(**MARKED[kind])
    deliver(one, line("2", account_id="302", type_id="302"))
    assert give_anew(kind, "301") == 1
    assert give_anew(kind, "301") == 0
    for changed in ({}, {"description": "by another rule"}):
        again = line(**MARKED[kind], **changed)
        stage_lines(ledger, [again], settle_reasons=frozenset(), from_ledger=True)
        with ledger.read() as session:
            assert session.scalars(select(Worklog.given_anew).order_by(Worklog.id)).all() == [kind, None]
    deliver(again)
    with ledger.read() as session:
        assert session.scalars(select(Worklog.given_anew)).all() == [None, None]


def test_an_older_copy_takes_no_mark_away(ledger, deliver, give_anew, line):
    copy = {"worklog_id": "1", "module": "request", "parent_id": "45"}
    deliver(line(account_id="301", source=copy | {"parent_changed_time": LATER}))
    give_anew(ACCOUNT, "301")
    deliver(line(account_id="301", minutes=60, source=copy | {"parent_changed_time": EARLIER}))
    assert (only(ledger).given_anew, only(ledger).minutes) == (ACCOUNT, 30)


def test_a_worklog_on_an_invoice_is_marked_for_the_day_on_which_it_is_released(
    ledger, deliver, give_anew, line
):
    deliver(line(account_id="301"))
    change(ledger, state="invoiced")
    assert give_anew(ACCOUNT, "301") == 1
    release(ledger)
    assert (only(ledger).state, only(ledger).given_anew) == ("open", ACCOUNT)


def test_a_worklog_that_was_moved_to_the_account_after_it_was_billed_is_marked(
    ledger, deliver, give_anew, line
):
    record_ = {"worklog_id": "1", "module": "request", "minutes": 30}
    deliver(line(account_id="302", source=record_ | {"account_id": "302"}))
    change(ledger, state="invoiced")
    deliver(line(account_id="301", source=record_ | {"account_id": "301"}))
    assert give_anew(ACCOUNT, "301") == 1
    assert only(ledger).given_anew == ACCOUNT


def test_a_line_of_another_tap_goes_by_its_terms_whatever_its_record_says(ledger, deliver, give_anew, line):
    record_ = {"ticket": "45"}  # only its own mapper knows what that means
    deliver(line(account_id="302", source=record_ | {"account_id": "302"}))
    change(ledger, state="invoiced")
    deliver(line(account_id="301", source=record_ | {"account_id": "301"}))
    assert only(ledger).newest == record_ | {"account_id": "301"}
    assert give_anew(ACCOUNT, "301") == 0
    assert give_anew(ACCOUNT, "302") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_listed_no_more_is_remembered_under_its_last_name_until_it_is_listed_again(list_, kind):
    assert list_(kind, id1="Acme", id2="Beta") == ({}, {})
    assert list_(kind, id2="Beta") == ({}, {"1": "Acme"})
    assert list_(kind) == ({"1": "Acme"}, {"1": "Acme", "2": "Beta"})
    assert list_(kind, id1="Gamma") == ({"1": "Acme", "2": "Beta"}, {"2": "Beta"})
    other = ACCOUNT if kind == WORKLOG_TYPE else WORKLOG_TYPE
    assert list_(other) == ({}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_links_know_to_be_lost_is_remembered_too(list_, kind):
    assert list_(kind, id2="Beta", linked={"1": "Acme", "2": "Beta"}) == ({}, {"1": "Acme"})
    assert list_(kind, linked={"1": "Another", "2": "Another"}) == ({"1": "Acme"}, {"1": "Acme", "2": "Beta"})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_doubted_counts_as_lost_under_the_name_that_was_listed(ledger, list_, kind):
    list_(kind, id1="Acme", id2="Beta")
    list_(kind, id1="Acme")
    with ledger.write() as session:
        doubt(session, ledger, kind, "1", "Acme")
        doubt(session, ledger, kind, "2", "Another")
    assert list_(kind, id1="Gamma") == ({"1": "Acme", "2": "Beta"}, {"2": "Beta"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lost", "is_new", "is_for_another", "marked"),
    [
        (None, True, False, True),
        (None, False, True, False),
        ("Acme", True, False, False),
        ("Acme", True, True, True),
        ("Acme", False, True, False),
        ("Gamma", True, False, True),
        ("Gamma", False, False, True),
    ],
)
def test_what_is_made_under_an_id_is_the_same_only_for_the_same_one_and_under_its_name(
    ledger, deliver, list_, line, kind, lost, is_new, is_for_another, marked
):
    deliver(line(**MARKED[kind]))
    if lost is not None:
        list_(kind, id301=lost)
        list_(kind)
    with ledger.write() as session:
        changes = take_over(
            session, ledger, kind, Entry("301", "Acme"), is_new=is_new, is_for_another=is_for_another
        )
        assert len(changes) == marked
    assert only(ledger).given_anew == (kind if marked else None)

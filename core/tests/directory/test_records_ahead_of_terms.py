"""Worklogs whose record is ahead of their terms, when an id is given out anew: the record counts."""

from __future__ import annotations

from dataclasses import replace

from msp_xero.ledger.decisions import wait_again
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.outcomes import free_worklogs
from sqlalchemy import select

from core.tests.directory.test_hours_of_strangers import books, story, work

__all__ = ["books", "story"]


def release(books, number):
    """Take a worklog off its invoice, as `invoices release` does once that is void."""
    with books.ledger.write() as session:
        row = session.scalar(select(Worklog.id).where(Worklog.worklog_id == number))
        free_worklogs(session, [row])
        wait_again(session, [row])


def billed_to_beta(story):
    """W7 is on an invoice of Beta (302); then it is moved to Acme (301) in SDP."""
    books, here = story.books, story.books.here
    beta = books.contacts()[2]
    here.sdp.account("302", beta[1])
    here.deliver(here.contact(*beta))
    here.settle()
    assert here.links()[beta[0]] == "302"
    story.sync_the_type()
    seven = work("7", "302", beta[1], "5", story.item[1])
    books.deliver(seven)
    books.bill()
    assert books.bill()["7"] == f"{beta[1]} for {story.item[2]}"
    moved = work("7", "301", story.acme[1], "5", story.item[1])
    return beta, seven, moved


def test_one_that_was_moved_to_the_lost_account_and_released_since_is_held(story):
    books = story.books
    _, _, moved = billed_to_beta(story)
    books.deliver(moved)
    story.lose_the_account()
    release(books, "7")
    story.give_it_anew()  # accounts runs first, as the docs advise
    books.deliver(moved, from_ledger=True)  # the mapper makes it anew of what waits
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_one_whose_type_was_changed_to_the_lost_one_and_released_since_is_held(story):
    books, here = story.books, story.books.here
    story.sync_the_type()
    item_id, name, code = books.items()[1]
    here.sdp.worklog_type("6", name)
    here.deliver_items(here.item(item_id, name, code=code))
    here.settle_types()
    first = work("7", "301", story.acme[1], "6", name)
    first = replace(first, source=first.source | {"type_id": "6", "type_name": name})
    books.deliver(first)
    books.bill()
    moved = work("7", "301", story.acme[1], "5", story.item[1])
    moved = replace(moved, source=moved.source | {"type_id": "5", "type_name": story.item[1]})
    books.deliver(moved)
    del here.sdp.types["5"]
    here.settle_types()
    release(books, "7")
    item3, name3, code3 = books.items()[2]
    here.sdp.worklog_type("5", name3)
    here.deliver_items(here.item(item3, name3, code=code3))
    here.settle_types()
    assert here.type_links()[item3] == "5"
    books.deliver(moved, from_ledger=True)
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_one_that_was_moved_away_before_is_not_held_when_it_is_released(story):
    """Billed to Acme (301), moved to Beta (302) since; 301 is given anew; its invoice is released."""
    books, here = story.books, story.books.here
    beta = books.contacts()[2]
    here.sdp.account("302", beta[1])
    here.deliver(here.contact(*beta))
    here.settle()
    story.sync_the_type()
    assert books.bill() == {"9": f"{story.acme[1]} for {story.item[2]}"}
    moved = work("9", "302", beta[1], "5", story.item[1])
    books.deliver(moved)
    story.lose_the_account()
    story.give_it_anew()
    release(books, "9")
    books.deliver(moved, from_ledger=True)
    assert books.bill() == {"9": f"{beta[1]} for {story.item[2]}"}

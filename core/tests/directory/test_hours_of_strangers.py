"""Hours that wait under an id which ServiceDesk Plus has given to something else since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.links import (
    ignore_type,
    link_account,
    request_create,
    request_create_type,
    unlink_account,
    unlink_type,
)
from msp_xero.ledger.models import Invoice, InvoiceLine, LostEntry, Worklog
from msp_xero.ledger.staging import stage_lines
from msp_xero.xero.client import XeroClient
from msp_xero.xero.settings import XeroSettings
from msp_xero_sandbox.calls import CallLog
from msp_xero_sandbox.clock import Clock
from msp_xero_sandbox.faults import Faulty
from msp_xero_sandbox.inprocess import InProcessAdapter, MovingClock
from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.story import build
from msp_xero_sandbox.xero.app import XeroApp
from sqlalchemy import delete, select

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import World


@dataclass
class Books:
    """A Xero with contacts and items, whose ledger the directory shares."""

    ledger: Ledger
    time: Any
    client: XeroClient
    rows: Any
    here: World

    def contacts(self) -> list[tuple[str, str]]:
        found = [one for one in self.rows["contacts"] if one.get("ContactStatus") == "ACTIVE"]
        return [(one["ContactID"], one["Name"]) for one in found]

    def items(self) -> list[tuple[str, str, str]]:
        sold = {"UnitPrice", "AccountCode", "TaxType"}
        found = [
            one for one in self.rows["items"] if one.get("IsSold") and sold <= one["SalesDetails"].keys()
        ]
        return [(one["ItemID"], one["Name"], one["Code"]) for one in found]

    def bill(self, *, stopped: bool = False) -> dict[str, str]:
        """Run the job of worklogs; return who is billed for each worklog, or why it is held.

        ``stopped``: a signal comes before anything is sent.
        """
        settle(self.ledger, self.client, BillingSettings(), stop_requested=lambda: stopped)
        with self.ledger.read() as session:
            found = session.execute(
                select(Worklog.worklog_id, Worklog.reason_code, Invoice.contact_name, InvoiceLine.item_code)
                .outerjoin(InvoiceLine, (InvoiceLine.worklog_row == Worklog.id) & InvoiceLine.live)
                .outerjoin(Invoice, Invoice.id == InvoiceLine.invoice_id)
            )
            return {one: code or f"{contact} for {item}" for one, code, contact, item in found}

    def deliver(self, *lines: Line, from_ledger: bool = False) -> None:
        stage_lines(self.ledger, lines, settle_reasons=SETTLE_REASONS, from_ledger=from_ledger)

    def forget_losses(self) -> None:
        """As the version before, which knew of a loss by the link alone."""
        with self.ledger.write() as session:
            session.execute(delete(LostEntry))

    def remake(self, line: Line) -> None:
        """As the mapper does on each run: lines of what waits, made anew by the rules of now."""
        self.deliver(replace(line, description=f"{line.description}, by another rule"), from_ledger=True)


@pytest.fixture
def books(tmp_path: Path, world: World) -> Iterator[Books]:
    start = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    clock = Clock(start, running=False)
    rows = build(1, "small", start).xero
    adapter = InProcessAdapter(Faulty(XeroApp(rows, clock, Settings()), clock, CallLog()), clock)
    time = MovingClock(clock)
    session = requests.Session()
    session.mount("http://", adapter)
    config = {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "api_url": "http://xero.test/api.xro/2.0",
        "identity_url": "http://xero.test",
        "token_store": f"{tmp_path}/token.json",
    }
    with Ledger.open(f"sqlite:///{tmp_path}/books.db", clock=time, actor="test") as ledger:
        client = XeroClient(XeroSettings.from_config(config), session=session, clock=time)
        yield Books(ledger, time, client, rows, type(world)(ledger, time))


def work(number: str, account: str, name: str, type_id: str, type_name: str) -> Line:
    return Line(
        worklog_id=number,
        module="request",
        decision="bill",
        minutes=60,
        quantity=Decimal("1.0000"),
        account_id=account,
        account_name=name,
        technician_id="9",
        created_time="2026-11-02T01:00:00.000Z",
        type_id=type_id,
        type_name=type_name,
        work_date=date(2026, 11, 2),
        description=f"work for {name}",
        source={"worklog_id": number, "module": "request", "minutes": 60, "account_id": account},
    )


@dataclass
class Story:
    """Acme's hour waits when SDP is put back from a backup, and Gamma gets the ids of Acme's account."""

    books: Books
    acme: tuple[str, str]
    gamma: tuple[str, str]
    item: tuple[str, str, str]
    line: Line

    def lose_the_account(self) -> None:
        del self.books.here.sdp.rows["301"]
        self.books.here.settle()

    def give_it_anew(self) -> None:
        self.books.here.sdp.account("301", self.gamma[1])
        self.books.here.settle()
        assert self.books.here.links()[self.gamma[0]] == "301"

    def sync_the_type(self) -> None:
        item_id, name, code = self.item
        self.books.here.sdp.worklog_type("5", name)
        self.books.here.deliver_items(self.books.here.item(item_id, name, code=code))
        self.books.here.settle_types()

    def create_the_account(self) -> None:
        """SDP has no account yet; Acme's, which is made now, gets the id 1000, and an hour waits under it."""
        here = self.books.here
        here.sdp.rows.clear()
        here.settle()
        unlink_account(self.books.ledger, self.acme[0])
        request_create(self.books.ledger, self.acme[0])
        here.settle()
        assert here.links()[self.acme[0]] == "1000"
        self.books.deliver(work("7", "1000", self.acme[1], "5", self.item[1]))

    def create_the_type(self) -> None:
        """The same for the type: it gets the id 1000."""
        item_id, name, code = self.item
        here = self.books.here
        here.deliver_items(here.item(item_id, name, code=code))
        here.settle_types()
        assert here.type_links() == {item_id: "1000"}
        self.books.deliver(work("7", "301", self.acme[1], "1000", name))


@pytest.fixture
def story(books: Books) -> Story:
    here, (acme, gamma, *_), (item, *_) = books.here, books.contacts(), books.items()
    here.sdp.account("301", acme[1])
    here.deliver(here.contact(*acme), here.contact(*gamma))
    here.settle()
    line = work("9", "301", acme[1], "5", item[1])
    books.deliver(line)
    return Story(books, acme, gamma, item, line)


def test_hours_of_a_lost_account_are_not_billed_to_the_customer_that_has_its_id_now(story: Story) -> None:
    books = story.books
    assert books.bill() == {"9": "TYPE_NOT_SYNCED"}
    story.lose_the_account()
    story.give_it_anew()
    assert books.here.links()[story.acme[0]] is None
    story.sync_the_type()
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}
    books.remake(story.line)
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_what_a_tap_delivers_again_after_that_is_billed_by_what_it_tells(story: Story) -> None:
    books = story.books
    story.lose_the_account()
    story.give_it_anew()
    story.sync_the_type()
    books.deliver(replace(story.line, worklog_id="8", source=story.line.source | {"worklog_id": "8"}))
    assert books.bill() == {"8": f"{story.gamma[1]} for {story.item[2]}", "9": "ID_GIVEN_ANEW"}
    books.deliver(story.line)
    assert books.bill()["9"] == f"{story.gamma[1]} for {story.item[2]}"


def test_hours_of_an_account_that_a_person_unlinked_while_it_was_lost_are_not_billed_to_another(
    story: Story,
) -> None:
    story.lose_the_account()
    unlink_account(story.books.ledger, story.acme[0])
    story.give_it_anew()
    story.sync_the_type()
    assert story.books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_hours_of_an_account_that_was_never_linked_are_not_billed_to_whoever_is_linked_to_it_by_hand(
    story: Story,
) -> None:
    books, here = story.books, story.books.here
    here.sdp.account("302", "Nobody in Xero")
    books.deliver(work("7", "302", "Nobody in Xero", "5", story.item[1]))
    here.settle()
    story.sync_the_type()
    del here.sdp.rows["302"]
    here.settle()
    here.sdp.account("302", "Gamma Wellington")
    here.settle()
    assert books.bill()["7"] == "ID_GIVEN_ANEW"
    link_account(books.ledger, story.gamma[0], "302")
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_an_account_that_comes_back_under_its_name_is_billed(story: Story) -> None:
    books = story.books
    story.lose_the_account()
    unlink_account(books.ledger, story.acme[0])
    books.here.sdp.account("301", story.acme[1])
    books.here.settle()
    link_account(books.ledger, story.acme[0], "301")
    books.here.sdp.rows["301"]["name"] = "renamed while it was listed"
    books.here.settle()
    story.sync_the_type()
    assert books.bill() == {"9": f"{story.acme[1]} for {story.item[2]}"}


def test_what_is_planned_and_never_left_is_taken_back_and_held(story: Story) -> None:
    books = story.books
    story.sync_the_type()
    assert books.bill(stopped=True) == {"9": f"{story.acme[1]} for {story.item[2]}"}
    story.lose_the_account()
    story.give_it_anew()
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_hours_of_a_lost_type_are_not_billed_as_the_item_that_has_its_id_now(story: Story) -> None:
    books, here = story.books, story.books.here
    story.sync_the_type()
    unlink_account(books.ledger, story.acme[0])
    del here.sdp.types["5"]
    here.settle_types()
    item_id, name, code = books.items()[1]
    here.sdp.worklog_type("5", name)
    here.deliver_items(here.item(item_id, name, code=code))
    here.settle_types()
    assert here.type_links() == {story.item[0]: None, item_id: "5"}
    link_account(books.ledger, story.acme[0], "301")
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}
    books.remake(story.line)
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}
    books.deliver(story.line)
    assert books.bill() == {"9": f"{story.acme[1]} for {code}"}


def test_hours_of_a_lost_account_are_not_billed_to_the_customer_that_is_created_under_its_id(
    story: Story,
) -> None:
    books, here = story.books, story.books.here
    books.deliver(work("7", "1000", "Lost", "5", story.item[1]))
    here.sdp.account("1000", "Lost")
    here.settle()
    here.sdp.rows.clear()
    request_create(books.ledger, story.gamma[0])
    here.settle()
    assert here.links()[story.gamma[0]] == "1000"
    story.sync_the_type()
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_hours_of_a_lost_type_are_not_billed_as_the_item_that_its_id_is_created_for(story: Story) -> None:
    books, here = story.books, story.books.here
    here.sdp.worklog_type("1000", "Lost")
    here.settle_types()
    del here.sdp.types["1000"]
    books.deliver(work("7", "301", story.acme[1], "1000", "Lost"))
    item_id, name, code = story.item
    here.deliver_items(here.item(item_id, name, code=code))
    here.settle_types()
    assert here.type_links() == {item_id: "1000"}
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_hours_of_a_lost_account_are_not_billed_to_the_customer_whose_account_appears_during_the_run(
    story: Story,
) -> None:
    books, here = story.books, story.books.here
    story.lose_the_account()
    unlink_account(books.ledger, story.acme[0])
    request_create(books.ledger, story.gamma[0])

    def technician(_kind: str, _values: Any) -> None:
        here.sdp.before_write = lambda _kind, _values: None
        here.sdp.account("301", story.gamma[1])

    here.sdp.before_write = technician
    here.settle()
    assert here.links()[story.gamma[0]] == "301"
    story.sync_the_type()
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_hours_of_an_account_that_only_its_link_knows_to_be_lost_are_not_billed_to_another(
    story: Story,
) -> None:
    """It was lost before there was a memory of its own; the person does then what the run says."""
    story.lose_the_account()
    story.books.forget_losses()
    story.books.here.settle()
    assert "unlink it" in (story.books.here.link(story.acme[0]).problem or "")
    unlink_account(story.books.ledger, story.acme[0])
    story.books.here.settle()
    story.give_it_anew()
    story.sync_the_type()
    assert story.books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_hours_of_a_type_that_only_its_link_knows_to_be_lost_are_not_billed_as_another(story: Story) -> None:
    books, here = story.books, story.books.here
    story.sync_the_type()
    del here.sdp.types["5"]
    here.settle_types()
    books.forget_losses()
    here.settle_types()
    assert "unlink it" in (here.type_link(story.item[0]).problem or "")
    unlink_type(books.ledger, story.item[0])
    item_id, name, code = books.items()[1]
    here.sdp.worklog_type("5", name)
    here.deliver_items(here.item(item_id, name, code=code))
    here.settle_types()
    assert here.type_links() == {story.item[0]: None, item_id: "5"}
    assert books.bill() == {"9": "ID_GIVEN_ANEW"}


def test_hours_are_not_billed_to_an_account_made_under_their_id_whose_holder_a_person_unlinked_at_once(
    story: Story,
) -> None:
    """SDP is put back between the list and the create, and no list ever missed the id."""
    books, here = story.books, story.books.here
    story.create_the_account()
    request_create(books.ledger, story.gamma[0])

    def put_back(_kind: str, _values: Any) -> None:
        here.sdp.before_write = lambda _kind, _values: None
        here.sdp.rows.clear()

    here.sdp.before_write = put_back
    here.settle()
    assert here.links() == {story.acme[0]: "1000", story.gamma[0]: None}
    unlink_account(books.ledger, story.acme[0])
    here.settle()
    assert here.links() == {story.acme[0]: None, story.gamma[0]: "1000"}
    story.sync_the_type()
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_hours_are_not_billed_as_a_type_made_under_their_id_whose_holder_a_person_unlinked_at_once(
    story: Story,
) -> None:
    books, here = story.books, story.books.here
    story.create_the_type()
    item_id, name, code = books.items()[1]
    here.deliver_items(here.item(item_id, name, code=code))

    def put_back(_kind: str, _values: Any) -> None:
        here.sdp.before_write = lambda _kind, _values: None
        here.sdp.types.clear()

    here.sdp.before_write = put_back
    here.settle_types()
    assert here.type_links() == {story.item[0]: "1000", item_id: None}
    unlink_type(books.ledger, story.item[0])
    here.settle_types()
    assert here.type_links() == {story.item[0]: None, item_id: "1000"}
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_an_account_that_is_made_again_for_its_contact_under_its_name_is_billed(story: Story) -> None:
    """SDP is put back, a person does what the run says, and the next id is the same one."""
    books, here = story.books, story.books.here
    story.create_the_account()
    here.sdp.rows.clear()
    here.settle()
    unlink_account(books.ledger, story.acme[0])
    request_create(books.ledger, story.acme[0])
    here.settle()
    assert here.links()[story.acme[0]] == "1000"
    story.sync_the_type()
    assert books.bill()["7"] == f"{story.acme[1]} for {story.item[2]}"


def test_an_account_that_is_made_for_another_contact_of_the_same_name_takes_no_hours_over(
    story: Story,
) -> None:
    books, here = story.books, story.books.here
    story.create_the_account()
    here.sdp.rows.clear()
    here.deliver(here.contact(story.gamma[0], story.acme[1]))
    request_create(books.ledger, story.gamma[0])
    here.settle()
    assert here.links() == {story.acme[0]: None, story.gamma[0]: "1000"}
    story.sync_the_type()
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_a_type_that_is_made_again_for_its_item_under_its_name_is_billed(story: Story) -> None:
    books, here = story.books, story.books.here
    story.create_the_type()
    here.sdp.types.clear()
    here.settle_types()
    unlink_type(books.ledger, story.item[0])
    request_create_type(books.ledger, story.item[0])
    here.settle_types()
    assert here.type_links() == {story.item[0]: "1000"}
    assert books.bill()["7"] == f"{story.acme[1]} for {story.item[2]}"


def test_a_type_that_is_made_again_for_the_item_that_was_made_anew_is_billed(story: Story) -> None:
    books, here = story.books, story.books.here
    story.create_the_type()
    here.sdp.types.clear()
    here.settle_types()
    item_id, _, code = books.items()[1]
    here.deliver_items(here.item(item_id, story.item[1], code=code))
    summary = here.settle_types(present={item_id})
    assert here.type_links() == {story.item[0]: None, item_id: "1000"}
    assert (summary.gone, summary.gone_linked, summary.outcome) == (1, 0, "done")
    assert books.bill()["7"] == f"{story.acme[1]} for {code}"


def test_a_type_that_is_made_for_another_item_of_the_same_name_takes_no_hours_over(story: Story) -> None:
    """Names of items are not unique in Xero, and each has its own price."""
    books, here = story.books, story.books.here
    story.create_the_type()
    here.sdp.types.clear()
    item_id, _, code = books.items()[1]
    here.deliver_items(here.item(item_id, story.item[1], code=code))
    here.settle_types()
    assert here.type_links() == {story.item[0]: None, item_id: "1000"}
    assert books.bill()["7"] == "ID_GIVEN_ANEW"


def test_hours_of_an_ignored_type_are_not_billed_as_the_item_that_it_is_made_again_for(story: Story) -> None:
    books, here = story.books, story.books.here
    item_id, name, code = story.item
    here.sdp.worklog_type("1000", name)
    here.settle_types()
    ignore_type(books.ledger, "1000")
    books.deliver(work("7", "301", story.acme[1], "1000", name))
    here.sdp.types.clear()
    here.deliver_items(here.item(item_id, name, code=code))
    here.settle_types()
    assert here.type_links() == {item_id: "1000"}
    assert books.bill()["7"] == "ID_GIVEN_ANEW"

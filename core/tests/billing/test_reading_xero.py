"""What a settle and a preview read of the organisation before they plan."""

from __future__ import annotations

import pytest
from msp_xero.billing import reference as reference_data
from msp_xero.billing.reference import read_organisation, read_reference
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview, settle
from msp_xero.errors import LedgerError
from msp_xero.ledger.models import AccountLink, BillingConnection, WorklogTypeLink
from sqlalchemy import update


def test_a_chain_of_merged_contacts_is_read_to_its_end(world):
    first, second, third = (contact["ContactID"] for contact in world.contacts[:3])
    for losing, into in ((first, second), (second, third)):
        world.xero.change_row({"kind": "contact", "action": "merge", "id": losing, "values": {"into": into}})
    client = world.client()
    organisation = read_organisation(client.organisation())
    reference = read_reference(client, BillingSettings(), organisation, [first], [])
    assert set(reference.contacts) == {first, second, third}


def test_a_contact_that_a_long_list_left_out_is_asked_for_by_its_id(world, monkeypatch):
    """The list kept changing while it was read, until the client gave up."""
    monkeypatch.setattr(reference_data, "_BY_IDS_UP_TO", 1)
    wanted = [contact["ContactID"] for contact in world.contacts[:3]]
    client = world.client()
    contacts = client.contacts

    def left_out(*, ids=None):
        rows = contacts(ids=ids)
        return rows if ids is not None else (row for row in rows if row["ContactID"] != wanted[1])

    client.contacts = left_out
    organisation = read_organisation(client.organisation())
    reference = read_reference(client, BillingSettings(), organisation, [*wanted, "gone"], [])
    assert set(reference.contacts) == set(wanted)
    assert reference.asked_for == {*wanted, "gone"}


def settle_while(world, deed):
    """Settle, and let somebody do something once contacts and items are read."""
    client = world.client()
    accounts = client.accounts

    def accounts_of_then():
        deed()
        return accounts()

    client.accounts = accounts_of_then
    return settle(world.ledger, client, BillingSettings())


def link_an_account(world):
    world.link_accounts_from(3, 5)


def make_and_link_an_item(world):
    details = {name: world.item[name] for name in ("IsSold", "SalesDetails")}
    made = world.person("item", "add", Code="NEW", Name="New", **details)
    now = world.time.now()
    with world.ledger.write() as session:
        link = {"connection_id": world.ledger.connection_id, "generation": world.ledger.generation}
        link |= {"item_id": made["ItemID"], "item_code": "NEW", "name": "New", "is_sold": True}
        link |= {"type_id": "type-NEW", "type_name": "New", "state": "linked"}
        session.add(WorklogTypeLink(**link, first_seen_at=now, last_seen_at=now))


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("deed", "terms", "code"),
    [
        (link_an_account, {"account": 4}, "ACCOUNT_UNMAPPED"),
        (make_and_link_an_item, {"account": 1, "type_id": "type-NEW"}, "TYPE_NOT_SYNCED"),
    ],
)
def test_what_is_linked_while_a_settle_reads_is_left_to_the_next_run(world, deed, terms, code, waits):
    world.deliver(world.line(0), world.line(1, **terms))
    if waits:
        world.settle()
    before = (world.reasons()["1001"], len(world.ours()))
    assert before == ((code, 1) if waits else (None, 0))
    settled = settle_while(world, lambda: deed(world))
    assert world.reasons()["1001"] == before[0]
    left = "1 worklog still to judge and plan: the next run does"
    assert (left in settled.sentence(), world.states()["invoiced"]) == (not waits, 1)
    assert world.settle().worklogs == 1
    world.assert_exactly_once(2)


def test_what_is_stored_for_a_linked_account_while_a_settle_reads_is_left_to_the_next_run(world):
    world.link_accounts_from(3, 5)
    world.deliver(world.line(0))
    settled = settle_while(world, lambda: world.deliver(world.line(1, account=4)))
    assert (settled.worklogs, settled.unplanned, world.reasons()["1001"]) == (1, 1, None)
    assert world.settle().worklogs == 1
    world.assert_exactly_once(2)


def test_what_was_planned_goes_to_no_contact_from_whom_a_person_takes_the_account_meanwhile(stopped):
    world = stopped()
    right = world.contacts[7]["ContactID"]

    def link_to_another():
        with world.ledger.write() as session:
            link = update(AccountLink).where(AccountLink.account_id == "2")
            session.execute(link.values(contact_id=right))

    settle_while(world, link_to_another)
    assert world.states() == {"invoiced": 6, "open": 3}
    assert world.settle().worklogs == 3
    assert [i["InvoiceNumber"] for i in world.ours() if i["Contact"]["ContactID"] == right] == ["SDP-00004"]
    world.assert_exactly_once(9)


def test_a_preview_refuses_the_credentials_of_another_organisation(world):
    with world.ledger.write() as session:
        session.execute(
            update(BillingConnection).values(organisation_id="another", organisation_name="Other Ltd")
        )
    with pytest.raises(LedgerError, match="bills Other Ltd"):
        preview(world.ledger, world.client(), BillingSettings())


def test_an_unknown_time_zone_is_said_and_not_silently_utc(world):
    world.xero.change_row(
        {"kind": "organisation", "action": "edit", "values": {"Timezone": "MIDDLEEARTHSTANDARDTIME"}}
    )
    said = []
    settle(world.ledger, world.client(), BillingSettings(), progress=said.append)
    assert any("time zone" in line and "UTC" in line for line in said)

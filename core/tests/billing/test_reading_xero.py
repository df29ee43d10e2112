"""What a settle and a preview read of the organisation before they plan."""

from __future__ import annotations

import pytest
from msp_xero.billing.reference import read_organisation, read_reference
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import preview, settle
from msp_xero.errors import LedgerError
from msp_xero.ledger.models import BillingConnection
from sqlalchemy import update


def test_a_chain_of_merged_contacts_is_read_to_its_end(world):
    first, second, third = (contact["ContactID"] for contact in world.contacts[:3])
    for losing, into in ((first, second), (second, third)):
        world.xero.change_row({"kind": "contact", "action": "merge", "id": losing, "values": {"into": into}})
    client = world.client()
    organisation = read_organisation(client.organisation())
    reference = read_reference(client, BillingSettings(), organisation, [first])
    assert set(reference.contacts) == {first, second, third}


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

"""Contacts that were merged away and restored in Xero: they stand for themselves again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msp_xero.ledger.links import link_account

if TYPE_CHECKING:
    from conftest import World


@pytest.mark.parametrize("field", [None, "udf_fields.udf_sline_101"])
def test_a_restored_contact_is_linked_to_the_account_of_its_name_and_not_the_one_it_was_merged_into(
    world: World, field: str | None
) -> None:
    """As in a first sync, or after the ledger was lost."""
    world.sdp.account("301", "Acme", udf_fields={"udf_sline_101": "c2" if field else None})
    world.deliver(world.contact("c1", "Beta"), world.contact("c2", "Acme", merged_to_contact_id="c1"))
    world.settle(**({"write_link_to": field} if field else {}))
    assert world.links() == {"c1": None, "c2": "301"}


def test_an_account_that_a_person_linked_to_a_restored_contact_stays_with_it(world: World) -> None:
    """Billing says so too: a contact that is active stands for itself, whatever was merged once."""
    world.settle()
    world.deliver(world.contact("c1", "Beta"), world.contact("c2", "Acme"))
    world.settle(unmatched_contacts="list")
    world.deliver(world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1"))
    world.settle(unmatched_contacts="list")
    world.deliver(world.contact("c2", "Acme", merged_to_contact_id="c1"))  # restored in Xero
    world.sdp.account("301", "Acme Ltd")
    world.settle(unmatched_contacts="list")
    link_account(world.ledger, "c2", "301")
    world.settle(unmatched_contacts="list")
    assert world.links() == {"c1": None, "c2": "301"}


def test_an_account_of_exactly_the_name_of_a_restored_contact_is_not_offered_to_another(
    world: World,
) -> None:
    world.deliver(world.contact("c1", "Beta"), world.contact("c2", "Acme"))
    world.settle()
    world.deliver(world.contact("c2", "Acme", "ARCHIVED", merged_to_contact_id="c1"))
    world.settle()
    world.deliver(world.contact("c2", "Acme", merged_to_contact_id="c1"))
    world.sdp.account("301", "Acme")
    world.settle()
    assert world.links() == {"c1": None, "c2": "301"}
    assert world.link("c1").candidates is None


def test_a_chain_of_merges_ends_at_a_contact_that_was_restored(world: World) -> None:
    world.sdp.account("301", "Acme")
    world.deliver(world.contact("c1", "Beta"), world.contact("c2", "Gamma"), world.contact("c3", "Acme"))
    world.settle()
    world.deliver(
        world.contact("c2", "Gamma", merged_to_contact_id="c1"),
        world.contact("c3", "Acme", "ARCHIVED", merged_to_contact_id="c2"),
    )
    world.settle()
    assert world.links() == {"c1": None, "c2": "301", "c3": None}

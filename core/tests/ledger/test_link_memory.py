"""What links remember since version 0010, what they know of the time before, and tell version 0011."""

from __future__ import annotations

import pytest
from msp_xero.ledger import Ledger
from msp_xero.ledger.given_anew import lost_names
from msp_xero.ledger.link_staging import ACCOUNT as OF_ACCOUNTS
from msp_xero.ledger.link_staging import WORKLOG_TYPE
from msp_xero.ledger.links import unlink_account, unlink_type
from msp_xero.ledger.models import AccountLink, LostEntry, WorklogTypeLink
from sqlalchemy import select

from core.tests.ledger.test_store import OLD_ROWS, THEN, make_old

LINK = {"id": 1, "connection_id": 1, "generation": 1, "state": "linked", "first_seen_at": THEN}
LINK |= {"last_seen_at": THEN}
ACCOUNT = LINK | {"contact_id": "c1", "contact_name": "Acme", "contact_status": "ACTIVE", "wanted": "{}"}
TYPE = LINK | {"item_id": "i1", "item_code": "R", "name": "Remote", "is_sold": True}


@pytest.mark.parametrize(("noun", "lost"), [("account", True), ("worklog type", True), ("key", False)])
def test_links_of_an_older_ledger_know_their_address_and_that_they_were_lost(databases, tmp_path, noun, lost):
    url = databases.empty(tmp_path)
    told = "ServiceDesk Plus MSP does not list the linked " if lost else "ServiceDesk Plus MSP: refused the "
    rows = {
        "connection": OLD_ROWS["connection"] | {"sdp_base_url": "https://sdp.test"},
        "account_link": ACCOUNT | {"problem": f"{told}{noun} any more"},
        "worklog_type_link": TYPE | {"problem": f"{told}{noun} any more"},
    }
    make_old(url, "0009", rows)
    with Ledger.open(url) as ledger, ledger.read() as session:
        connection = ledger.connection(session)
        assert connection.sdp_types_url == connection.sdp_base_url == "https://sdp.test"
        for model in (AccountLink, WorklogTypeLink):
            row = session.scalars(select(model)).one()
            assert (row.lost_at is not None) == lost
            assert (row.unlinked, row.creating_name, row.unanswered_at) == (None, None, None)


def test_what_links_know_to_be_lost_is_remembered_from_the_upgrade_on(databases, tmp_path):
    """Whoever unlinks them before the first run takes no trace away."""
    url = databases.empty(tmp_path)
    lost = {"lost_at": THEN}
    rows = {
        "connection": OLD_ROWS["connection"] | {"generation": 2},
        "account_link": [
            ACCOUNT | lost | {"account_id": "301", "account_name": "Of an organisation before"},
            ACCOUNT | lost | {"id": 2, "generation": 2, "account_id": "301", "account_name": "Acme"},
            ACCOUNT | {"id": 3, "contact_id": "c2", "account_id": "302", "account_name": "Listed"},
            ACCOUNT | lost | {"id": 4, "contact_id": "c3", "account_id": "303"},
            ACCOUNT | lost | {"id": 5, "contact_id": "c4", "account_name": "Linked to nothing"},
            ACCOUNT | lost | {"id": 6, "contact_id": "c5", "account_id": "304", "account_name": "Beta"},
        ],
        "worklog_type_link": TYPE | lost | {"generation": 2, "type_id": "301", "type_name": "Remote"},
    }
    make_old(url, "0010", rows)
    with Ledger.open(url) as ledger:
        unlink_account(ledger, "c1")
        unlink_type(ledger, "i1")
        with ledger.read() as session:
            assert lost_names(session, ledger, OF_ACCOUNTS) == {"301": "Acme", "304": "Beta"}
            assert lost_names(session, ledger, WORKLOG_TYPE) == {"301": "Remote"}
            times = {row.lost_at.strftime("%Y-%m-%d %H:%M:%S") for row in session.scalars(select(LostEntry))}
            assert times == {THEN}

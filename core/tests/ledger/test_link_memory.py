"""What links remember since version 0010, and what they know of the time before."""

from __future__ import annotations

import pytest
from msp_xero.ledger import Ledger
from msp_xero.ledger.models import AccountLink, WorklogTypeLink
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

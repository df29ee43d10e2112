"""Contacts of which organisation, and from which bookmark on: the ledger lets in what fits it."""

from __future__ import annotations

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger.origin import Origin, refuse_foreign, refuse_gap, remember_contacts


def state(at=None, organisation="org-1", name="Kōwhai"):
    bookmarks = {"contacts": {"replication_key": "UpdatedDateUTC", "replication_key_value": at}} if at else {}
    told = {"organisation": {"OrganisationID": organisation, "Name": name}} if organisation else {}
    return {"bookmarks": bookmarks, **told}


def origin(*arguments, **named):
    return Origin.of(state(*arguments, **named))


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"organisation": "x"},
        {"organisation": {"OrganisationID": 5}},
        {"bookmarks": {"contacts": "x"}},
        {"bookmarks": []},
    ],
)
def test_what_another_tap_tells_is_not_judged(told, ledger) -> None:
    found = Origin.of(told)
    assert (found.organisation_id, found.contacts_since) == (None, None)
    refuse_foreign(ledger, found)
    refuse_gap(ledger, found)


def test_the_first_run_ties_the_connection_and_another_organisation_is_refused(ledger) -> None:
    refuse_foreign(ledger, origin())
    refuse_foreign(ledger, origin(name="Kōwhai renamed"))
    with pytest.raises(LedgerError, match="organisation Rata, but connection default bills Kōwhai renamed"):
        refuse_foreign(ledger, origin(organisation="org-2", name="Rata"))


def test_a_ledger_without_contacts_wants_all_of_them(ledger) -> None:
    with pytest.raises(LedgerError, match=r"never got all of them.*--full-refresh accounts"):
        refuse_gap(ledger, origin("2026-11-20T00:00:00Z"))
    remember_contacts(ledger, origin("2026-11-20T00:00:00Z"), state("2026-11-21T00:00:00Z"))
    with pytest.raises(LedgerError, match="never got all of them"):
        refuse_gap(ledger, origin("2026-11-21T00:00:00Z"))
    refuse_gap(ledger, origin())
    remember_contacts(ledger, origin(), state())  # interrupted before its end
    with pytest.raises(LedgerError, match="never got all of them"):
        refuse_gap(ledger, origin("2026-11-21T00:00:00Z"))
    remember_contacts(ledger, origin(), state("2026-11-21T00:00:00Z"))
    refuse_gap(ledger, origin("2026-11-21T00:00:00Z"))


def test_an_older_copy_notices_that_the_bookmark_is_ahead(ledger) -> None:
    remember_contacts(ledger, origin(), state("2026-11-21T00:00:00Z"))
    refuse_gap(ledger, origin("2026-11-20T00:00:00Z"))
    remember_contacts(ledger, origin("2026-11-20T00:00:00Z"), state("2026-11-20T12:00:00Z"))
    refuse_gap(ledger, origin("2026-11-21T00:00:00Z"))
    with pytest.raises(LedgerError, match="has them only up to 2026-11-21 00:00:00 UTC"):
        refuse_gap(ledger, origin("2026-11-22T00:00:00Z"))


def test_a_run_that_tells_no_beginning_moves_nothing_that_is_known(ledger) -> None:
    remember_contacts(ledger, origin(), state("2026-11-21T00:00:00Z"))
    remember_contacts(ledger, Origin(), state("2026-11-25T00:00:00Z"))
    with pytest.raises(LedgerError, match="has them only up to 2026-11-21 00:00:00 UTC"):
        refuse_gap(ledger, origin("2026-11-25T00:00:00Z"))

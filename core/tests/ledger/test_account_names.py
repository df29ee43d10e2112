"""An account is called what the worklog says that was delivered last, on either database."""

from __future__ import annotations

import pytest
from msp_xero.ledger.planning import billable_accounts
from msp_xero.ledger.staging import stage_lines
from msp_xero.ledger.views import accounts_with_worklogs


@pytest.fixture
def names(ledger):
    """A function that returns what the accounts are called on an invoice."""

    def names():
        with ledger.read() as session:
            return billable_accounts(session, ledger)

    return names


@pytest.mark.parametrize(
    ("before", "now"), [("Zeta Ltd", "Alpha Ltd"), ("Alpha Ltd", "Zeta Ltd"), ("alpha", "Beta"), ("Ö", "P")]
)
def test_the_newest_name_counts_and_each_finds_the_account(ledger, deliver, line, clock, names, before, now):
    deliver(line("1", account_name=before), line("2", account_name=before))
    clock.sleep(60)
    deliver(line("1", account_name=now))
    assert names() == [("7", now)]
    assert set(accounts_with_worklogs(ledger)) == {("7", before), ("7", now)}


def test_of_names_that_came_together_the_one_of_the_newest_worklog_counts(deliver, line, names):
    deliver(line("2", account_name="Zeta Ltd"), line("1", account_name="Alpha Ltd"))
    assert names() == [("7", "Alpha Ltd")]


def test_what_is_made_anew_of_what_waits_tells_no_news_of_the_name(ledger, deliver, line, clock, names):
    deliver(line("1", account_name="Zeta Ltd"), line("2", account_name="Zeta Ltd"))
    clock.sleep(60)
    deliver(line("1", account_name="Alpha Ltd"))
    clock.sleep(60)
    by_another_rule = line("2", account_name="Zeta Ltd", description="By another rule")
    assert stage_lines(ledger, [by_another_rule], settle_reasons=frozenset(), from_ledger=True).updated == 1
    assert names() == [("7", "Alpha Ltd")]


def test_a_worklog_that_does_not_name_its_account_takes_no_name_away(deliver, line, clock, names):
    deliver(line("1", account_name=None))
    assert names() == [("7", "")]
    deliver(line("2"), line("3", account_id="8", account_name="Äpfel"))
    clock.sleep(60)
    deliver(line("4", account_name=None))
    assert names() == [("7", "Acme"), ("8", "Äpfel")]

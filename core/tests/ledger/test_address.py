"""A ledger's URL is shown without what is secret, and what is wrong with it is said without quoting it."""

from __future__ import annotations

import traceback

import pytest
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger import Ledger
from msp_xero.ledger.address import ledger_address, shown, without_parameters
from msp_xero.ledger.looking import look_at
from sqlalchemy import make_url

NOWHERE = "127.0.0.1:1"  # nobody listens there


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("sqlite:////srv/ledger.db", "sqlite:////srv/ledger.db"),
        ("postgresql://u:PLANTED-1@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql+psycopg://u@h/db?password=PLANTED-1", "postgresql+psycopg://u@h/db"),
        (
            "postgresql+psycopg://u:PLANTED-1@h/db?sslpassword=PLANTED-2&x=PLANTED-3",
            "postgresql+psycopg://u:***@h/db",
        ),
        ("postgresql://u:PLANTED@1@h/db", "a URL that cannot be read"),
        ("postgresql://u:PLANTED-1/db", "a URL that cannot be read"),
        ("postgresql:////u:PLANTED-1@h/db", "a URL that cannot be read"),
        ("u:PLANTED-1@h/db", "a URL that cannot be read"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url, seen):
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        "u:PLANTED-1@h/db",
        "postgresql://u:PLANTED@1@h/db",
        "postgresql://u:PLANTED-1/db",
        "postgresql://u:PLANTED-1@h:54x/db",
        "postgresql:////u:PLANTED-1@h/db",
        "postgresql://u@h/db?plugin=PLANTED-1",
        "postgresql+psycopg2://u:PLANTED-1@h/db",
        "sqlite://u:PLANTED-1@h/db",
    ],
)
def test_a_malformed_url_is_one_sentence_that_does_not_quote_it(url):
    for opens in (Ledger.open, Ledger.open_existing, lambda url: look_at(url).__enter__()):
        with pytest.raises(SettingError, match="Setting ledger_url: ") as caught:
            opens(url)
        # All of it: with debugging on, the causes are printed too.
        assert "PLANTED" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("password=PLANTED-1", "Connection refused"),
        ("sslmode=PLANTED-1", "invalid sslmode value"),
        ("connect_timeout=PLANTED-1", "bad value for connect_timeout"),
        ("password=PLANTED-1&bogus=PLANTED-2", 'invalid connection option "bogus"'),
        ("conninfo=PLANTED-1", 'missing "=" after'),
    ],
)
def test_what_the_driver_says_comes_without_the_parameters(query, words):
    with pytest.raises(LedgerError, match=words) as caught:
        Ledger.open(f"postgresql://u:PLANTED-0@{NOWHERE}/db?{query}")
    said = str(caught.value)
    assert said.startswith(f"the ledger postgresql+psycopg://u:***@{NOWHERE}/db cannot be used: ")
    assert "PLANTED" not in said


def test_where_the_database_is_stays_in_what_the_driver_says():
    url = make_url("postgresql://u@/db?host=/run/database&password=PLANTED-1")
    text = 'connection to server on socket "/run/database/.s.PGSQL.5432" failed: PLANTED-1'
    assert without_parameters(text, url) == text.replace("PLANTED-1", "[secret]")


def test_a_wrong_password_is_not_in_what_the_server_says(postgres_databases, tmp_path):
    url = make_url(postgres_databases.fresh(tmp_path)).set(username="nobody_here")
    with pytest.raises(LedgerError, match="nobody_here") as caught:
        Ledger.open(url.update_query_dict({"password": "PLANTED-1"}).render_as_string(hide_password=False))
    assert "PLANTED" not in str(caught.value)
    postgres_databases.drop()


def test_several_hosts_and_escaped_passwords_are_fine():
    assert ledger_address("postgresql://u:%40%2F%3A@/db?host=a:1&host=b:2").password == "@/:"
    assert ledger_address("postgresql://u@[::1]:5432/db").host == "::1"

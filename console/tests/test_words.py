"""How values are written, and the table of reasons."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.ledger.models import INVOICE_STATES
from msp_xero.reasons import INVOICE_NEXT, REASONS, explain, markdown
from msp_xero_console import show, words
from msp_xero_console.show import Column


@pytest.mark.parametrize(
    ("minutes", "expected"), [(0, "0:00"), (5, "0:05"), (90, "1:30"), (6015, "100:15"), (-90, "-1:30")]
)
def test_hours(minutes, expected) -> None:
    assert words.hours(minutes) == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("1234.5000", "NZD 1,234.50"),
        ("0", "NZD 0.00"),
        ("128.1950", "NZD 128.195"),
        ("-0.5", "NZD -0.50"),
        ("1000000", "NZD 1,000,000.00"),
    ],
)
def test_money(amount, expected) -> None:
    assert words.money(Decimal(amount), "NZD") == expected


@pytest.mark.parametrize(
    ("count", "unpriced", "expected"),
    [(3, 0, "NZD 12.50"), (3, 1, "NZD 12.50 and 1 without a price"), (3, 3, "no price yet")],
)
def test_what_worklogs_are_worth_says_how_many_have_no_price(count, unpriced, expected) -> None:
    assert words.worth(Decimal("12.5"), "NZD", count=count, unpriced=unpriced) == expected


def test_what_is_not_known_is_a_dash() -> None:
    assert (
        words.money(None, "NZD") == words.moment(None) == words.day(None) == words.text("") == words.NOTHING
    )


def test_counts_as_words() -> None:
    counts = {"created": 1, "worklogs": 2, "total": Decimal(5), "currency": "NZD", "minutes": 30, "zero": 0}
    assert words.counted(counts) == "1 created, 2 worklogs, 0:30 hours, NZD 5.00"
    assert words.counted({"held": {"A": 1, "B": 2}, "delivered": {"worklogs": 9}}) == "3 held"
    assert words.counted(None) == ""


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "a\u202eb", "\x9b"])
def test_controls_are_made_visible(text) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in words.printable(text)


def test_texts_on_one_line() -> None:
    assert words.text("a\r\n b\tc") == "a b c"


@pytest.mark.parametrize("width", [20, 50, 80, 120])
def test_no_id_is_ever_cut_in_a_window(width, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    columns = [
        Column("Id"),
        Column("Account", wraps=True),
        Column("Money", right=True),
        Column("Why", wraps=True),
    ]
    identity = "123456789012345678"
    show.table(columns, [(identity, "Kōwhai Dental and Partners", "NZD 1,234.50", "a long sentence " * 5)])
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert identity in text
    assert "NZD 1,234.50" in text
    assert "sentence" in text
    if width >= 80:
        assert max(map(len, text.splitlines())) <= width


def test_every_code_of_billing_has_a_reason() -> None:
    assert set(REASONS) >= SETTLE_REASONS
    assert all(reason.sentence.endswith(".") and reason.how.endswith(".") for reason in REASONS.values())


def test_an_unknown_code_still_explains_itself() -> None:
    assert explain("BRAND_NEW").code == "BRAND_NEW"
    assert explain(None).code == "UNKNOWN"


def test_every_state_of_an_invoice_says_what_comes_next() -> None:
    assert set(INVOICE_NEXT) == set(INVOICE_STATES)


def test_the_page_of_reasons_has_them_all() -> None:
    page = markdown()
    assert all(f"| `{code}` |" in page for code in REASONS)
    assert page.endswith("|\n")


def test_reasons_is_a_module_that_prints_the_page() -> None:
    assert Path(markdown.__code__.co_filename).name == "reasons.py"

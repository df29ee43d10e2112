"""A ledger that cannot be used ends in one sentence that names it, not in a fault of the program."""

from __future__ import annotations

import pytest
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger import Ledger


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingError, match=r"ledger_url: the folder .* cannot be made"):
        Ledger.open(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "ledger.db").write_text("garbage, and long enough to be read as a page" * 20)
    with pytest.raises(LedgerError, match=r"ledger\.db cannot be used: file is not a database"):
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db")

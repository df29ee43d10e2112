"""Where the ledger is and what its connection is called when nobody says; asking imports nothing."""

from __future__ import annotations

DEFAULT_LEDGER_URL = "sqlite:///.msp-xero/ledger.db"
DEFAULT_CONNECTION = "default"

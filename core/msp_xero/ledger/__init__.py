"""The durable record: which worklog is where, which invoice holds it, and who changed what."""

from __future__ import annotations

from msp_xero.ledger.store import Fence, Ledger

__all__ = ["Fence", "Ledger"]

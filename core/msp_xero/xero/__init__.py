"""The Xero API: connection settings, OAuth 2.0, call budget, errors, reads, and the invoice write."""

from __future__ import annotations

from msp_xero.xero.budget import CallBudget
from msp_xero.xero.client import XeroClient
from msp_xero.xero.errors import KeyConflict, classify, messages_in
from msp_xero.xero.settings import XERO_BUDGET, XERO_CONNECTION, XeroSettings

__all__ = [
    "XERO_BUDGET",
    "XERO_CONNECTION",
    "CallBudget",
    "KeyConflict",
    "XeroClient",
    "XeroSettings",
    "classify",
    "messages_in",
]

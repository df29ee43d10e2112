"""``python -m target_xero_invoices`` is the command ``target-xero-invoices``."""

from __future__ import annotations

from target_xero_invoices.target import TargetXeroInvoices

TargetXeroInvoices.cli()

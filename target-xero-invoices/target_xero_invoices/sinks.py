"""Storing what arrives: lines in the ledger, the control total in memory."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.ledger.staging import stage_lines
from msp_xero.singer.target import StagingSink
from typing_extensions import override

from target_xero_invoices.lines import line_from_record

if TYPE_CHECKING:
    from target_xero_invoices.target import TargetXeroInvoices


class InvoiceLinesSink(StagingSink):
    """Stores worklog lines in the ledger, a batch in one transaction."""

    required_keys = ("module", "worklog_id")

    @override
    def stage(self, records: list[dict[str, Any]]) -> None:
        target: TargetXeroInvoices = self._checkpointing  # type: ignore[assignment]
        _ = target.bookmarks  # an empty ledger has to say so before its first line
        for from_ledger, group in groupby(records, key=lambda record: record.get("origin") == "ledger"):
            lines = [line_from_record(record) for record in group]
            staged = stage_lines(
                target.ledger,
                lines,
                settle_reasons=SETTLE_REASONS,
                from_ledger=from_ledger,
                run_id=target.run_id,
            )
            target.control_total.add(lines, staged, from_ledger=from_ledger)


class ExtractionSink(StagingSink):
    """Keeps the control total that ends a complete extraction."""

    @override
    def stage(self, records: list[dict[str, Any]]) -> None:
        target: TargetXeroInvoices = self._checkpointing  # type: ignore[assignment]
        target.control_total.extraction = records[-1]

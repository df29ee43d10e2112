"""The target: settings and wiring. Storing lines is in ``sinks``, billing in ``msp_xero.billing``."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msp_xero.billing.settings import BILLING, BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.edges.clock import SystemClock
from msp_xero.errors import InputError, LedgerError, MspXeroError
from msp_xero.ledger import Ledger
from msp_xero.ledger.bookmarks import PassedBookmarks
from msp_xero.ledger.runs import finish_run, start_run
from msp_xero.ledger.settings import LEDGER
from msp_xero.ledger.types import encode_exact
from msp_xero.singer import plain_errors
from msp_xero.singer.cli import describe_unexpected
from msp_xero.singer.target import CheckpointingTarget
from msp_xero.xero.client import XeroClient
from msp_xero.xero.settings import XERO_BUDGET, XERO_CONNECTION, XeroSettings
from singer_sdk import typing as th
from typing_extensions import override

from target_xero_invoices.sinks import ExtractionSink, InvoiceLinesSink
from target_xero_invoices.totals import ControlTotal, RecordsLost

if TYPE_CHECKING:
    from singer_sdk.sinks import Sink

JOB = "worklogs"
_SINKS: dict[str, type[Sink]] = {"invoice_lines": InvoiceLinesSink, "extraction": ExtractionSink}


@plain_errors
class TargetXeroInvoices(CheckpointingTarget):
    """Turns worklog lines into Xero invoices, each worklog exactly once."""

    name = "target-xero-invoices"
    config_jsonschema = th.PropertiesList(*XERO_CONNECTION, *XERO_BUDGET, *LEDGER, *BILLING).to_dict()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.xero_settings = XeroSettings.from_config(self.config)
        self.billing_settings = BillingSettings.from_config(self.config)
        self.control_total = ControlTotal()

    @property
    @override
    def enabled(self) -> bool:
        return bool(self.config["worklogs_enabled"])

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened when the first line arrives."""
        return Ledger.open(self.config["ledger_url"], connection=self.config["connection"], actor=self.name)

    @cached_property
    def bookmarks(self) -> PassedBookmarks:
        """The bookmarks that the ledger has let pass."""
        return PassedBookmarks(self.ledger)

    @cached_property
    def run_id(self) -> int:
        """This run in the ledger's record of runs."""
        rules = {name: value for name, value in self.config.items() if name not in _secrets()}
        digest = hashlib.sha256(encode_exact(rules).encode()).hexdigest()
        return start_run(self.ledger, JOB, settings_digest=digest)

    @override
    def get_sink_class(self, stream_name: str) -> type[Sink]:
        if stream_name not in _SINKS:
            raise InputError(
                f"input line {self.line_number}: stream {stream_name} is not for {self.name}, "
                "which takes invoice_lines: "
                "put the mapping worklogs-to-lines before it"
            )
        return _SINKS[stream_name]

    @override
    def state_arrived(self, state: dict[str, Any]) -> None:
        self.bookmarks.arrived(state)

    @override
    def before_state_passes(self, state: dict[str, Any]) -> None:
        self.bookmarks.let_pass(state, self.control_total.since)

    @override
    def failed(self, error: Exception) -> None:
        """Keep in the record of runs that this one failed, if there is a ledger to keep it in."""
        if isinstance(error, LedgerError) and error.__cause__ is not None:
            return  # the database failed, and was waited for already
        told = str(error) if isinstance(error, MspXeroError) else describe_unexpected(error)
        with contextlib.suppress(MspXeroError):  # a ledger that cannot be used is what the error is about
            if self.enabled and ("ledger" in self.__dict__ or self._has_ledger()):
                finish_run(self.ledger, self.run_id, "failed", counts=self.control_total.counts(), error=told)
                self.ledger.close()

    def _has_ledger(self) -> bool:
        found = Ledger.open_existing(self.config["ledger_url"], connection=self.config["connection"])
        if found:
            found.close()
        return found is not None

    @override
    def settle(self) -> None:
        if not self.enabled:
            self.logger.info("worklogs: disabled by worklogs_enabled; nothing was stored or billed")
            return
        try:
            self._bill()
        finally:
            self.ledger.close()

    def _bill(self) -> None:
        run_id = self.run_id
        self.logger.info("%s", self.control_total.sentence())
        if self.config["require_trailer"]:
            try:
                self.control_total.check()
            except RecordsLost:
                self.bookmarks.forget(self.control_total.since or {})
                raise
            self.bookmarks.check(self.control_total.since or {})
        client = XeroClient(self.xero_settings, clock=SystemClock())
        settled = settle(
            self.ledger,
            client,
            self.billing_settings,
            run_id=run_id,
            stop_requested=lambda: self.stop_requested,
            progress=self.logger.info,
        )
        finish_run(
            self.ledger,
            run_id,
            settled.outcome,
            counts=settled.counts() | {"delivered": self.control_total.counts()},
            calls=settled.calls,
            extraction=self.control_total.extraction,
        )
        self.logger.info("%s", settled.sentence())


def _secrets() -> set[str]:
    properties = TargetXeroInvoices.config_jsonschema["properties"]
    return {name for name, schema in properties.items() if schema.get("secret")} | {"ledger_url"}

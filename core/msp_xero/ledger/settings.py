"""Settings of the ledger, shared by both targets, the mapper and the console."""

from __future__ import annotations

from singer_sdk import typing as th

from msp_xero.ledger.defaults import DEFAULT_CONNECTION, DEFAULT_LEDGER_URL

CONNECTION_NAME = th.Property(
    "connection",
    th.StringType,
    default=DEFAULT_CONNECTION,
    title="Connection",
    description="Name of the pair of one ServiceDesk Plus MSP and one Xero organisation in the ledger, "
    "for example `default` or `prod`.",
)

LEDGER: tuple[th.Property[str], ...] = (
    th.Property(
        "ledger_url",
        th.StringType,
        default=DEFAULT_LEDGER_URL,
        secret=True,
        title="Ledger URL",
        description="Database that records which worklog is on which invoice: SQLite "
        "(`sqlite:///.msp-xero/ledger.db`) or PostgreSQL (`postgresql+psycopg://user@host/msp_xero`).",
    ),
    CONNECTION_NAME,
)

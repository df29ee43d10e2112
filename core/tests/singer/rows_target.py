"""A target as small as one can be, on a real ledger; a program of its own where signals matter.

A record with ``wait_for`` keeps its batch busy until that file is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msp_xero.ledger import Ledger
from msp_xero.ledger.lines import Line
from msp_xero.ledger.staging import stage_lines
from msp_xero.singer import plain_errors
from msp_xero.singer.target import CheckpointingTarget, StagingSink
from singer_sdk import typing as th

if TYPE_CHECKING:
    from singer_sdk.sinks import Sink


class RowsSink(StagingSink):
    MAX_SIZE_DEFAULT = 5

    def stage(self, records) -> None:
        for record in records:
            if record.get("wait_for"):
                wait_for(Path(record["wait_for"]))
        lines = [
            Line(worklog_id=str(record["id"]), module=self.stream_name[:20], decision="bill", source={})
            for record in records
        ]
        stage_lines(self.checkpointing_target.ledger, lines, settle_reasons=frozenset())


def wait_for(path) -> None:
    path.with_suffix(".busy").touch()
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@plain_errors
class RowsTarget(CheckpointingTarget):
    name = "target-rows"
    config_jsonschema = th.PropertiesList(
        th.Property("ledger_url", th.StringType, required=True),
        th.Property("enabled", th.BooleanType, default=True),
        th.Property("fails", th.StringType),
    ).to_dict()

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.ledger = Ledger.open(self.config["ledger_url"], actor=self.name)

    @property
    def enabled(self) -> bool:
        return self.config["enabled"]

    def get_sink_class(self, stream_name: str) -> type[Sink]:
        return RowsSink

    def settle(self) -> None:
        if self.config.get("fails"):
            raise RuntimeError(self.config["fails"])
        click.echo("settled", err=True)


if __name__ == "__main__":
    sys.exit(RowsTarget.cli())

"""The SDK's own tests of a target, on the small one, which takes any stream."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from msp_xero.singer import target as target_module
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.suites import SingerTestSuite
from singer_sdk.testing.target_tests import (
    TargetCliPrintsTest,
    TargetInvalidSchemaTest,
    TargetMultipleStateMessages,
)

_SPEC = importlib.util.spec_from_file_location("rows_target", Path(__file__).with_name("rows_target.py"))
_PROGRAM = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PROGRAM)

# All others send records of streams with other keys than ``id``; what they are about (duplicates, missing
# keys, records before their schema, changed schemas, strange characters) is tested beside this file with
# messages of our own, because their outcome here is one plain error line and not an exception of the SDK.
_SUITE = SingerTestSuite(
    kind="target",
    tests=[
        TargetCliPrintsTest,
        TargetInvalidSchemaTest,
        # The SDK leaves this one out of its own suite, because its default target fails it.
        TargetMultipleStateMessages,
    ],
)
_Standard = get_target_test_class(
    _PROGRAM.RowsTarget,
    config={"ledger_url": "sqlite://"},
    include_target_tests=False,
    custom_suites=[_SUITE],
)


@pytest.mark.usefixtures("every_row")
class TestStandard(_Standard):
    """Checkpoints after every STATE, as dense as those of the SDK's test."""

    @pytest.fixture
    def every_row(self, monkeypatch):
        monkeypatch.setattr(target_module, "CHECKPOINT_ROWS", 0)

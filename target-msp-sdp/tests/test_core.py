"""The SDK's standard target tests, as far as they can apply to a target of known streams."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.errors import InputError
from msp_xero.singer import target as checkpointing
from singer_sdk.testing import get_target_test_class, target_tests
from singer_sdk.testing.config import SuiteConfig
from singer_sdk.testing.runners import TargetTestRunner
from singer_sdk.testing.suites import SingerTestSuite
from target_msp_sdp.target import TargetMspSdp

if TYPE_CHECKING:
    from singer_sdk.testing.templates import TargetTestTemplate

    from conftest import Bench

AS_THEY_ARE = [target_tests.TargetCliPrintsTest, target_tests.TargetInvalidSchemaTest]
TestTargetMspSdp = get_target_test_class(
    TargetMspSdp,
    config={"base_url": "http://127.0.0.1:1", "auth_token": "none"},
    parse_env_config=False,
    include_target_tests=False,
    custom_suites=[SingerTestSuite(kind="target", tests=AS_THEY_ARE)],
)

# All others send streams of their own, which this target refuses: they run on accounts instead.
ON_OUR_STREAM = [
    target_tests.TargetArrayData,
    target_tests.TargetCamelcaseComplexSchema,
    target_tests.TargetCamelcaseTest,
    target_tests.TargetDuplicateRecords,
    target_tests.TargetEncodedStringData,
    target_tests.TargetNoPrimaryKeys,
    target_tests.TargetOptionalAttributes,
    target_tests.TargetPrimaryKeyUpdates,
    target_tests.TargetRecordMissingOptionalFields,
    target_tests.TargetSchemaNoProperties,
    target_tests.TargetSchemaUpdates,
    target_tests.TargetSpecialCharsInAttributes,
]
REFUSED_ON_OUR_STREAM = {
    # The SDK wants its own exceptions here; ours is one plain line with the number of the input line.
    target_tests.TargetRecordBeforeSchemaTest: "line 1: a record of stream accounts came before its SCHEMA",
    target_tests.TargetRecordMissingKeyProperty: "input line 2: a record of accounts has no xero_contact_id",
    # The SDK expects nothing here; xero_contact_id is what our stream requires.
    target_tests.TargetRecordMissingRequiredProperty: "line 2: a record of accounts has no xero_contact_id",
}
LEFT_OUT = {
    # It compares texts with objects, so it fails on every target (the SDK's suite leaves it out, too);
    # test_state_passes_once_its_records_are_stored runs its input.
    target_tests.TargetMultipleStateMessages,
}


def on_our_streams(
    bench: Bench, test: type[TargetTestTemplate], items_stream: str | None = None
) -> list[dict[str, Any]]:
    """Return the messages of a standard test as messages of accounts, and of worklog_types for one stream."""
    messages = [json.loads(line) for line in test().singer_filepath.read_text().splitlines()]
    for message in messages:
        if message["type"] == "STATE":
            continue
        items = message["stream"] == items_stream
        name, make = ("xero_item_id", bench.item) if items else ("xero_contact_id", bench.contact)
        message["stream"] = "worklog_types" if items else "accounts"
        if message["type"] == "SCHEMA" and message.get("key_properties"):
            message["key_properties"] = [name]
        if message["type"] == "RECORD":
            record = message["record"]
            told = record.get("object_store", {}) | record
            key = next((str(told[one]) for one in ("id", "Id", "_id") if one in told), None)
            message["record"] = record | make(key, record.get("info", f"Name {key}"))
            if key is None:
                del message["record"][name]
    return messages


def runner_of(bench: Bench, messages: list[dict[str, Any]]) -> TargetTestRunner:
    text = "".join(json.dumps(message) + "\n" for message in messages)
    return TargetTestRunner(TargetMspSdp, config=bench.config(), input_io=io.StringIO(text))


def test_every_standard_test_has_its_place() -> None:
    listed = [*AS_THEY_ARE, *ON_OUR_STREAM, *REFUSED_ON_OUR_STREAM, *LEFT_OUT]
    every = {
        member
        for member in vars(target_tests).values()
        if isinstance(member, type) and member.__module__ == target_tests.__name__
    }
    assert set(listed) == every
    assert len(listed) == len(every)


@pytest.mark.parametrize("test", ON_OUR_STREAM, ids=lambda test: test.name)
def test_standard_on_our_stream(bench: Bench, test: type[TargetTestTemplate]) -> None:
    messages = on_our_streams(bench, test)
    test().run(SuiteConfig(), None, runner_of(bench, messages))
    sent = {message["record"]["xero_contact_id"] for message in messages if message["type"] == "RECORD"}
    assert bench.links().keys() == sent


@pytest.mark.parametrize("test", REFUSED_ON_OUR_STREAM, ids=lambda test: test.name)
def test_standard_refused_on_our_stream(bench: Bench, test: type[TargetTestTemplate]) -> None:
    with pytest.raises(InputError, match=REFUSED_ON_OUR_STREAM[test]):
        test().run(SuiteConfig(), None, runner_of(bench, on_our_streams(bench, test)))


@pytest.mark.parametrize(
    ("checkpoint_rows", "expected"),
    [(0, [(1, 0), (2, 1), (3, 2), (5, 3), (5, 6)]), (1000, [(5, 6)])],
)
def test_state_passes_once_its_records_are_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, checkpoint_rows: int, expected: list[tuple[int, int]]
) -> None:
    """The input of TargetMultipleStateMessages: the last STATE is complete, and none is early."""
    monkeypatch.setattr(checkpointing, "CHECKPOINT_ROWS", checkpoint_rows)
    stored = []
    write = TargetMspSdp._write_state_message

    def watch(target: TargetMspSdp, state: dict[str, Any]) -> None:
        stored.append((tuple(state.values()), (len(bench.links()), len(bench.types()))))
        write(target, state)

    monkeypatch.setattr(TargetMspSdp, "_write_state_message", watch)
    test = target_tests.TargetMultipleStateMessages
    runner = runner_of(bench, on_our_streams(bench, test, "test_multiple_state_messages_b"))
    runner.sync_all()
    written = [tuple(state.values()) for state in runner.state_messages]
    assert list(dict.fromkeys(written)) == expected
    for (up_to_a, up_to_b), (accounts, types) in stored:
        assert accounts >= up_to_a
        assert types >= up_to_b
    assert (len(bench.links()), len(bench.types())) == (6, 6)

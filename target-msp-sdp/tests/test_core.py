"""The SDK's standard target tests that can apply to a target of known streams."""

from __future__ import annotations

from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.suites import SingerTestSuite
from singer_sdk.testing.target_tests import TargetCliPrintsTest, TargetInvalidSchemaTest
from target_msp_sdp.target import TargetMspSdp

# Left out, because they send streams called test_* and expect rows of any shape to be taken, while
# this target takes accounts, worklog_types and items_extent only (test_target.py has the behaviour
# of each for the known streams):
#   TargetArrayData, TargetCamelcase*, TargetEncodedStringData, TargetSpecialCharsInAttributes,
#   TargetOptionalAttributes, TargetRecordMissingOptionalFields  - columns of any name and type
#   TargetDuplicateRecords, TargetNoPrimaryKeys, TargetPrimaryKeyUpdates, TargetSchemaUpdates,
#   TargetSchemaNoProperties
#   TargetRecordBeforeSchemaTest, TargetRecordMissingKeyProperty - ours raise InputError, theirs expect
#   the SDK's exceptions
#   TargetMultipleStateMessages - the same promise is tested as test_state_leaves_only_after_the_commit
TestTargetMspSdp = get_target_test_class(
    TargetMspSdp,
    config={"base_url": "http://127.0.0.1:1", "auth_token": "none"},
    parse_env_config=False,
    include_target_tests=False,
    custom_suites=[SingerTestSuite(kind="target", tests=[TargetCliPrintsTest, TargetInvalidSchemaTest])],
)

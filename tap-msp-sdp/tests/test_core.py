from __future__ import annotations

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_msp_sdp.tap import TapMspSdp

from .conftest import SMALL, settings

# Some columns are empty in the sandbox's story.
pytestmark = pytest.mark.filterwarnings("ignore:No records were available:UserWarning")

# The control total stays away from a sync that was cut after some records, as these tests do.
TestTap = get_tap_test_class(
    TapMspSdp,
    config=settings(SMALL),
    suite_config=SuiteConfig(max_records_limit=20, ignore_no_records_for_streams=["extraction"]),
)

"""``python -m tap_msp_sdp`` is the command ``tap-msp-sdp``."""

from __future__ import annotations

from tap_msp_sdp.tap import TapMspSdp

TapMspSdp.cli()

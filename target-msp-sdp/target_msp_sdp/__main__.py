"""``python -m target_msp_sdp`` is the command ``target-msp-sdp``."""

from __future__ import annotations

from target_msp_sdp.target import TargetMspSdp

TargetMspSdp.cli()

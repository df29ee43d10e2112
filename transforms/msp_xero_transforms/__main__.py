"""``python -m msp_xero_transforms`` is the executable ``msp-xero-transforms``."""

from __future__ import annotations

from msp_xero_transforms.mapper import MspXeroTransforms

if __name__ == "__main__":
    MspXeroTransforms.cli()

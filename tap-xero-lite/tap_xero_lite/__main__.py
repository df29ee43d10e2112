"""``python -m tap_xero_lite``."""

from __future__ import annotations

from tap_xero_lite.tap import TapXeroLite

TapXeroLite.cli()

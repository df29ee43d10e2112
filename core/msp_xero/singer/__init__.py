"""What the Singer plugins share: plain errors, and targets that acknowledge only what is stored."""

from __future__ import annotations

from msp_xero.singer.cli import plain_errors

__all__ = ["plain_errors"]

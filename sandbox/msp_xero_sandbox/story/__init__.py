"""The data the sandbox starts with: a managed-service provider in New Zealand, its books and its tickets."""

from __future__ import annotations

from msp_xero_sandbox.story.build import Story, build

__all__ = ["Story", "build"]

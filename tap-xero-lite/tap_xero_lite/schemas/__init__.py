"""JSON schemas, one file per stream."""

from __future__ import annotations

"""Contacts and accounts, items and worklog types: match by name, link by id, write what changed."""

from __future__ import annotations

from msp_xero.directory.jobs import run_accounts, run_worklog_types
from msp_xero.directory.records import read_contact, read_item
from msp_xero.directory.settings import AccountPolicy, TypePolicy
from msp_xero.directory.summary import DirectorySummary

__all__ = [
    "AccountPolicy",
    "DirectorySummary",
    "TypePolicy",
    "read_contact",
    "read_item",
    "run_accounts",
    "run_worklog_types",
]

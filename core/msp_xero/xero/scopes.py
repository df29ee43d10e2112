"""Which scopes our calls need, and which of them a connection has (xero-api §1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OFFLINE = "offline_access"
"""Without it a login ends after half an hour, because no refresh token comes with it."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that msp-xero does in Xero, and the scopes of which one is enough for it.

    Attributes:
        what: in words, for example ``read contacts``.
        scope: the scope to ask for: granular, and no more than is needed.
        others: wider ones, and the broad ones that end on 13 September 2027.
    """

    what: str
    scope: str
    others: frozenset[str]

    def is_met_by(self, granted: Iterable[str]) -> bool:
        """Tell whether one of the granted scopes is enough."""
        return not {self.scope, *self.others}.isdisjoint(granted)


NEEDS = (
    Need("create and read invoices", "accounting.invoices", frozenset({"accounting.transactions"})),
    Need("read contacts", "accounting.contacts.read", frozenset({"accounting.contacts"})),
    Need(
        "read the organisation, items, accounts and tax rates",
        "accounting.settings.read",
        frozenset({"accounting.settings"}),
    ),
)

READING = NEEDS[1:]
"""What is needed to read contacts and items, without billing."""

WANTED = " ".join(need.scope for need in NEEDS)
"""The scopes of an app that does all that msp-xero does, and nothing else."""


def missing(granted: str, needs: Iterable[Need] = NEEDS) -> list[Need]:
    """Return what a connection with these scopes (separated by spaces) cannot do."""
    known = granted.split()
    return [need for need in needs if not need.is_met_by(known)]


def to_ask_for(setting: str | None) -> str:
    """Return the scopes that a login asks for: those of the setting or ours, and a lasting login."""
    wanted = (setting or WANTED).split()
    return " ".join(dict.fromkeys([OFFLINE, *wanted]))


def needed_by(method: str, path: str) -> str:
    """Return the scope for one call of the Accounting API.

    Args:
        method: the HTTP method.
        path: the address or a part of it that holds the name of the resource.
    """
    for resource, scope in (("Invoices", "accounting.invoices"), ("Contacts", "accounting.contacts")):
        if f"/{resource}" in path:
            return f"{scope}.read" if method == "GET" else scope
    return "accounting.settings.read" if method == "GET" else "accounting.settings"

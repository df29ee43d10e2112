"""How a value looks on the wire for one caller: dialect, permissions, references (sdp-msp-api §2, §3.2)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from decimal import Decimal

    from msp_xero_sandbox.sdp.store import Row, Store
    from msp_xero_sandbox.sdp.switches import Switches

NEW, LEGACY, CLOUD = "new", "legacy", "cloud"
CLOSED_STATUSES = frozenset({"Closed", "Resolved", "Cancelled", "Completed"})
STATUS_IDS = {
    name: str(number)
    for number, name in enumerate(
        ("Open", "On hold", "Closed", "Resolved", "In progress", "Cancelled", "Completed"), 1
    )
}
_PRIORITY_IDS = {"Low": "1", "Normal": "2", "High": "3"}
_ZONE = ZoneInfo("Pacific/Auckland")


class Reader:
    """Reads rows for one caller."""

    def __init__(self, store: Store, switches: Switches, dialect: str, *, limited: bool) -> None:
        self.store = store
        self.switches = switches
        self.dialect = dialect
        self.limited = limited
        self.costs = "off" if limited else switches["cost_visible"]

    def may_see(self, row: Row) -> bool:
        """Whether the caller's scope has the account of a row; a limited technician has every second."""
        if not self.limited:
            return True
        account_id = row["id"] if "default_site_id" in row else self.store.account_of(row)
        return account_id is not None and int(account_id) % 2 == 1

    def account(self, account_id: str | None) -> dict[str, Any] | None:
        """An account as a reference; a customer in the cloud."""
        row = self.store.get("accounts", account_id)
        if row is None:
            return None
        if self.dialect == CLOUD:
            return {"id": row["id"], "name": row["name"], "is_msp": bool(row.get("is_msp"))}
        return {"id": row["id"], "name": row["name"]}

    @property
    def account_key(self) -> str:
        """What the customer organisation is called."""
        return "customer" if self.dialect == CLOUD else "account"

    def site(self, site_id: str | None) -> dict[str, Any] | None:
        """A site as a reference, with its account when the installation shows it."""
        row = self.store.get("sites", site_id)
        if row is None:
            return None
        site = {"id": row["id"], "name": row["name"]}
        if self.switches.is_on("site_account"):
            site[self.account_key] = self.account(row["account_id"])
        return site

    def person(self, person_id: str | None) -> dict[str, Any] | None:
        """A technician or a requester as a reference."""
        technician = self.store.get("technicians", person_id)
        if technician is not None:
            person = {"id": technician["id"], "name": technician["name"], "email_id": technician["email_id"]}
            if self.costs == "on":
                person["cost_per_hour"] = money(technician["cost_per_hour"])
            return person
        row = self.store.get("requesters", person_id)
        if row is None:
            return None
        person = {"id": row["id"], "name": row["name"], "email_id": row["email_id"]}
        if self.switches.is_on("requester_account"):
            person[self.account_key] = self.account(row["account_id"])
        return person

    def named(self, kind: str, row_id: str | None, member: str = "name") -> dict[str, Any] | None:
        """A row as ``{id, name}``, or with its title in the place of the name."""
        row = self.store.get(kind, row_id)
        if row is None:
            return None
        label = "subject" if kind == "requests" else member
        return {"id": row["id"], label: row["title" if label == "subject" else member]}


def status(name: str) -> dict[str, Any]:
    """A status as the API shows it."""
    return {
        "id": STATUS_IDS.get(name, "99"),
        "name": name,
        "internal_name": name,
        "in_progress": name not in CLOSED_STATUSES,
        "stop_timer": name in CLOSED_STATUSES or name == "On hold",
        "color": "#0066ff",
    }


def priority(name: str) -> dict[str, Any]:
    """A priority as the API shows it."""
    return {"id": _PRIORITY_IDS.get(name, "9"), "name": name}


@lru_cache(maxsize=65_536)
def _displayed(epoch_ms: int) -> str:
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC).astimezone(_ZONE)
    return moment.strftime("%b %d, %Y %I:%M %p")


def moment(epoch_ms: int | None) -> dict[str, str] | None:
    """A time: the value is exact, the display value follows the user's personalisation."""
    if epoch_ms is None:
        return None
    return {"value": str(epoch_ms), "display_value": _displayed(epoch_ms)}


def money(amount: Decimal | None) -> str | None:
    """An amount with two decimals, as text like every scalar but booleans."""
    return None if amount is None else f"{amount:.2f}"


def short_money(amount: Decimal | None) -> str | None:
    """An amount as the cloud writes it: no decimals that say nothing."""
    if amount is None:
        return None
    return str(int(amount)) if amount == int(amount) else f"{amount:.2f}"

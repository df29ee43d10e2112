"""A ServiceDesk Plus MSP in memory, a clock that moves when told, and a ledger in a file."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msp_xero.directory import AccountPolicy, TypePolicy, run_accounts, run_worklog_types
from msp_xero.errors import AccessRefused, Missing, Rejected
from msp_xero.ledger import Ledger
from msp_xero.ledger.links import (
    DeliveredContact,
    DeliveredItem,
    account_links,
    stage_accounts,
    stage_worklog_types,
    type_links,
)
from msp_xero.ledger.models import Event
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from msp_xero.directory import DirectorySummary
    from msp_xero.ledger.models import AccountLink, WorklogTypeLink

WHERE = {"system": "ServiceDesk Plus MSP", "address": "POST https://sdp.test/api/v3/accounts"}
TEXTS = ("name", "emailid", "city", "street", "landline", "weburl", "login_url")


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Killed(BaseException):
    """The process dies at this very moment."""


@dataclass
class FakeSdp:
    """As much of SDP as the directory sees; every write can be looked at, refused or cut off."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    mandatory: tuple[str, ...] = ()
    before_write: Callable[[str, dict[str, Any]], None] = lambda _kind, _values: None
    after_write: Callable[[str, dict[str, Any]], None] = lambda _kind, _values: None
    stored_as: Callable[[str, Any], Any] = lambda _name, value: value
    metainfo: dict[str, Any] | None = None
    asked: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        fields = {name: {"type": "string", "constraints": {"max_length": 60}} for name in TEXTS}
        custom = {"udf_sline_101": {"type": "string"}, "udf_sline_106": {"type": "string", "read_only": True}}
        fields |= {"id": {"type": "string", "read_only": True}, "inactive": {"type": "boolean"}}
        self.metainfo = {"fields": {**fields, "udf_fields": {"type": "udf_fields", "fields": custom}}}

    def account(self, one: str, name: str, **members: Any) -> None:
        udf = {"udf_sline_101": None} | members.pop("udf_fields", {})
        self.rows[one] = dict.fromkeys(TEXTS) | {"id": one, "name": name, "udf_fields": udf} | members

    def worklog_type(self, one: str, name: str, **members: Any) -> None:
        self.types[one] = {"id": one, "name": name, "description": None, "inactive": False} | members

    def accounts(self, fields: Any = None) -> Iterator[dict[str, Any]]:
        self.calls["GET accounts"] += 1
        self.asked.append(fields)
        yield from [
            {name: value for name, value in row.items() if fields is None or name in (*fields, "is_msp")}
            for row in self.rows.values()
        ]

    def account_metainfo(self) -> dict[str, Any]:
        self.calls["GET accounts/_metainfo"] += 1
        if self.metainfo is None:
            raise Missing("there is no such row or path", **WHERE, status=404)
        return self.metainfo

    def create_account(self, values: Any) -> dict[str, Any]:
        return self._write("accounts", self.rows, None, values)

    def update_account(self, account_id: str, values: Any) -> dict[str, Any]:
        return self._write("accounts", self.rows, account_id, values)

    def worklog_types(self, *, include_inactive: bool = True) -> Iterator[dict[str, Any]]:
        self.calls["GET worklog_types"] += 1
        yield from [row for row in self.types.values() if include_inactive or not row["inactive"]]

    def create_worklog_type(self, values: Any) -> dict[str, Any]:
        return self._write("worklog_types", self.types, None, values)

    def update_worklog_type(self, type_id: str, values: Any) -> dict[str, Any]:
        return self._write("worklog_types", self.types, type_id, values)

    def _write(
        self, kind: str, table: dict[str, dict[str, Any]], one: str | None, values: dict[str, Any]
    ) -> dict[str, Any]:
        self.calls[f"{'POST' if one is None else 'PUT'} {kind}"] += 1
        self.before_write(kind, values)
        row = dict(table[one]) if one else {"id": str(1000 + len(table)), "udf_fields": {}}
        for name, value in values.items():
            row[name] = row["udf_fields"] | value if name == "udf_fields" else self.stored_as(name, value)
        if missing := [name for name in self.mandatory if not row.get(name)]:
            raise rejected(4012, "A mandatory field is missing.", missing)
        if any(
            other["name"].casefold() == row["name"].casefold()
            for other in table.values()
            if other["id"] != row["id"]
        ):
            raise rejected(4008, "The value is not unique.", ["name"])
        table[row["id"]] = row
        self.writes.append((kind, one, values))
        self.after_write(kind, row)
        return row


def rejected(code: int, text: str, fields: list[str]) -> Rejected:
    return Rejected(**WHERE, status=400, messages=[text], codes=[code], fields=fields)


def refused() -> AccessRefused:
    return AccessRefused("the key may not do this", **WHERE, status=403)


@dataclass
class World:
    """Both sides and the ledger between them."""

    ledger: Ledger
    clock: FakeClock
    sdp: FakeSdp = field(default_factory=FakeSdp)
    killed: type[BaseException] = Killed
    rejected = staticmethod(rejected)
    refused = staticmethod(refused)

    def contact(self, one: str, name: str, status: str = "ACTIVE", **members: Any) -> DeliveredContact:
        wanted = members.pop("wanted", {})
        return DeliveredContact(
            contact_id=one, contact_name=name, contact_status=status, wanted=wanted, **members
        )

    def deliver(self, *contacts: DeliveredContact) -> None:
        self.clock.sleep(60)
        stage_accounts(self.ledger, contacts)
        self.clock.sleep(60)

    def deliver_items(self, *items: DeliveredItem) -> None:
        self.clock.sleep(60)
        stage_worklog_types(self.ledger, items)
        self.clock.sleep(60)

    def item(self, one: str, name: str, **members: Any) -> DeliveredItem:
        return DeliveredItem(item_id=one, name=name, item_code=members.pop("code", one), **members)

    def settle(self, **settings: Any) -> DirectorySummary:
        stop = settings.pop("should_stop", lambda: False)
        policy = AccountPolicy.from_config(settings)
        return run_accounts(
            self.ledger, self.sdp, policy, should_stop=stop, logger=logging.getLogger("msp_xero.test")
        )

    def settle_types(self, **settings: Any) -> DirectorySummary:
        present = settings.pop("present", None)
        stop = settings.pop("should_stop", lambda: False)
        policy = TypePolicy.from_config(settings)
        return run_worklog_types(self.ledger, self.sdp, policy, present=present, should_stop=stop)

    def links(self) -> dict[str, str | None]:
        return {row.contact_id: row.account_id for row in account_links(self.ledger)}

    def link(self, contact_id: str) -> AccountLink:
        return next(row for row in account_links(self.ledger) if row.contact_id == contact_id)

    def type_links(self) -> dict[str, str | None]:
        return {row.item_id: row.type_id for row in type_links(self.ledger)}

    def type_link(self, item_id: str) -> WorklogTypeLink:
        return next(row for row in type_links(self.ledger) if row.item_id == item_id)

    def events(self, action: str) -> list[Event]:
        with self.ledger.read() as session:
            return list(session.scalars(select(Event).where(Event.action == action).order_by(Event.id)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = FakeClock()
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock, actor="test") as ledger:
        yield World(ledger, clock)

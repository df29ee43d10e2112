"""Members of rows on the wire: how each is read, ordered and named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.sdp import reading
from msp_xero_sandbox.sdp.reading import CLOUD, priority, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from msp_xero_sandbox.sdp.reading import Reader
    from msp_xero_sandbox.sdp.store import Row

# Read by a column whose member is not there at all, which is not the same as null.
ABSENT = object()
_ACCOUNT_PANEL = (
    "id",
    "name",
    "description",
    "account_manager",
    "industry",
    "country",
    "weburl",
    "emailid",
    "landline",
)


@dataclass(frozen=True, slots=True)
class Column:
    """One member: how its value is read, whether it is a time, and which row member sorts it."""

    name: str
    read: Callable[[Reader, Row], Any]
    is_time: bool = False
    sorts_by: str | None = None
    # The switch that lists the modules that have this member.
    switch: str | None = None
    # The switch whose value is the member's name.
    name_from: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of row in one dialect."""

    kind: str
    plural: str
    singular: str
    columns: tuple[Column, ...]
    default_names: tuple[str, ...] | None = None
    newest_first: bool = False

    def available(self, reader: Reader) -> dict[str, Column]:
        """The columns that this installation has for this caller, by their names there."""
        switches = reader.switches
        found = {}
        for column in self.columns:
            if column.switch is not None and self.kind not in switches.modules(column.switch):
                continue
            named = column if column.name_from is None else replace(column, name=switches[column.name_from])
            found[named.name] = named
        return found

    def default(self, reader: Reader) -> tuple[str, ...] | None:
        """The names a list row has when nothing is asked for; None = all."""
        if self.kind == "accounts" and reader.switches["account_columns"] == "panel":
            return _ACCOUNT_PANEL
        return self.default_names


def render(reader: Reader, row: Row, columns: list[Column]) -> dict[str, Any]:
    """Return the wanted members of a row."""
    shown = {}
    for column in columns:
        value = column.read(reader, row)
        if value is not ABSENT:
            shown[column.name] = reading.moment(value) if column.is_time else value
    return shown


def plain(name: str, member: str = "", *, sorts: bool = False) -> Column:
    """A member that goes out as it is stored."""
    member = member or name
    return Column(name, lambda _, row: row.get(member), sorts_by=member if sorts else None)


def time_of(name: str, member: str = "", *, sorts: bool = False, switch: str | None = None) -> Column:
    """A time."""
    member = member or name
    return Column(
        name, lambda _, row: row.get(member), is_time=True, sorts_by=member if sorts else None, switch=switch
    )


def flag(name: str, member: str = "", *, default: bool = False) -> Column:
    """A truth value, which may be null."""
    member = member or name
    return Column(name, lambda _, row: row.get(member, default))


def constant(name: str, value: Any) -> Column:
    """A member that is the same in every row."""
    return Column(name, lambda *_: value)


def status_of() -> Column:
    """The status as an object."""
    return Column("status", lambda _, row: status(row["status"]), sorts_by="status")


def priority_of() -> Column:
    """The priority as an object."""
    return Column("priority", lambda _, row: priority(row["priority"]), sorts_by="priority")


def person(name: str, member: str) -> Column:
    """A technician or requester."""
    return Column(name, lambda reader, row: reader.person(row.get(member)))


def account_of(dialect: str) -> Column:
    """The customer organisation, which not every installation shows for every module (§3.6)."""
    name = "customer" if dialect == CLOUD else "account"
    return Column(name, lambda reader, row: reader.account(row.get("account_id")), switch="account_on")


def site_of() -> Column:
    """The site."""
    return Column("site", lambda reader, row: reader.site(row.get("site_id")))


def changed() -> Column:
    """When it was last changed, which not every module has (§4)."""
    return time_of("last_updated_time", sorts=True, switch="last_updated_on")

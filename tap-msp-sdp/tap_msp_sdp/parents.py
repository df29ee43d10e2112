"""Parents as plain values: which account they belong to, when they moved, and how to list them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msp_xero.errors import Missing, NoAddress, NotLicensed, RemoteError
from msp_xero.sdp import CannotWalk
from msp_xero.sdp.dialects import NOTHING, Reference, boolean, epoch_ms, reference, text

from tap_msp_sdp.modules import CHANGED, CONTAINERS, CREATED, MODULES, PARENTS_OF_TASKS, Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msp_xero.sdp import SdpClient

    from tap_msp_sdp.lately_open import LatelyOpen

logger: Final = logging.getLogger("tap_msp_sdp")

Row = dict[str, Any]
_ACCOUNTS: Final = ("account", "customer")  # on-premises, cloud (sdp-msp-api §3.6)
_CREATED: Final = (CREATED, "reported_time", "created_date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """One request, problem, change, project or task.

    Attributes:
        path: below ``/api/v3/``, e.g. ``requests/45``.
        updated_ms: time of change, None where the installation tells none.
        moved_ms: the latest of change and closing, None where neither is known.
        latest_ms: the latest time that is known at all.
        created_ms: time of creation, None where none is told.
        ended_ms: when it ended as a person says, which need not be when it was closed.
        account: as the row tells it; where not, ``Accounts`` knows further ways.
        tells_account: False when this came of a list without the columns that could tell the account.
        belongs_to: for tasks, the ids of what contains it by kind; None when the row does not say.
    """

    module: Module
    id: str
    path: str
    display_id: str
    title: str | None
    status: str | None
    is_open: bool
    updated_ms: int | None
    moved_ms: int | None
    latest_ms: int | None
    created_ms: int | None
    ended_ms: int | None
    account: Reference
    is_msp: bool | None
    tells_account: bool
    site_id: str | None
    site_name: str | None
    belongs_to: Mapping[str, str] | None = field(default=None)

    @property
    def is_of_unknown_parents(self) -> bool:
        """Whether this is a task whose row does not say whether it belongs to something else."""
        return self.module.name == "tasks" and self.belongs_to is None


def read_parent(module: Module, row: Row) -> Parent:
    """Return a list row or single row as a parent."""
    identity = str(row.get("id"))
    updated = epoch_ms(row.get(CHANGED))
    closed, ended, created = (_times(row, names) for names in (module.closed, module.ended, _CREATED))
    moved = [*closed, *([updated] if updated is not None else [])]
    status = row.get("status")
    in_progress = boolean(status.get("in_progress")) if isinstance(status, dict) else None
    site = row.get("site")
    found = _account_in(module, row)
    account = reference(found)
    return Parent(
        module=module,
        id=identity,
        path=f"{module.name}/{quote(identity, safe='')}",
        display_id=text(row.get("display_id")) or identity,
        title=text(row.get(module.title)),
        status=reference(status).name,
        is_open=not (closed or ended) if in_progress is None else in_progress,
        updated_ms=updated,
        moved_ms=max(moved, default=None),
        latest_ms=max([*moved, *ended, *created], default=None),
        created_ms=min(created, default=None),
        ended_ms=max(ended, default=None),
        account=account,
        is_msp=boolean(found.get("is_msp")) if isinstance(found, dict) else None,
        tells_account=any(name in row for name in _ACCOUNTS),
        site_id=reference(site).id,
        site_name=reference(site).name,
        belongs_to=parents_of_task(row) if module.name == "tasks" else None,
    )


def read_single(client: SdpClient, module: Module, path: str) -> Parent:
    """Return a parent from its single row: what that does not tell, no other row of it does.

    Args:
        client: the connection.
        module: what it is one of.
        path: below ``/api/v3/``, e.g. ``requests/45``.

    Raises:
        Missing: it does not exist.
    """
    return read_whole(module, client.read_row(path, module.singular))


def read_whole(module: Module, row: Row) -> Parent:
    """Return a single row as a parent."""
    belongs_to = parents_of_task(row, is_whole=True) if module.name == "tasks" else None
    return replace(read_parent(module, row), tells_account=True, belongs_to=belongs_to)


def _times(row: Row, names: Iterable[str]) -> list[int]:
    return [at for at in (epoch_ms(row.get(name)) for name in names) if at is not None]


def _account_in(module: Module, row: Row) -> object:
    """Return the account of a row: its own, its site's, its requester's (sdp-msp-api §3.6)."""
    holders = (row, row.get("site"), *(row.get(name) for name in module.people))
    for holder in holders:
        for name in _ACCOUNTS:
            found = holder.get(name) if isinstance(holder, dict) else None
            if reference(found) != NOTHING:
                return found
    return None


def parents_of_task(row: Row, *, is_whole: bool = False) -> Mapping[str, str] | None:
    """Return the ids of what a task says that it belongs to, by kind; None when it says nothing about it.

    Args:
        row: of a list, which says *nothing* only with a column for each kind of ticket; an installation may
            lack one of them.
        is_whole: it is the task's own row, where one such member is enough.
    """
    ids = {name: reference(row.get(name)).id for name in PARENTS_OF_TASKS}
    if found := {name: identity for name, identity in ids.items() if identity is not None}:
        return found
    says_so = any if is_whole else all
    return {} if says_so(name in row for name in (PARENTS_OF_TASKS if is_whole else CONTAINERS)) else None


class Accounts:
    """Finds the account of a parent whose list row does not tell it; each site is read once."""

    def __init__(self, client: SdpClient) -> None:
        self._client = client
        self._by_site: dict[str, Reference] = {}

    def complete(self, parent: Parent) -> Parent:
        """Return the parent, read again as a single row where its list left the account out.

        Also where the account of its site or of who reported it is known: these stand in for what
        the ticket itself says, and only where it says nothing either. Of one that is gone meanwhile
        nobody knows what it said: it has no account. A task keeps what its list said.

        Raises:
            Unavailable: a web server says that there is no such ticket, and not ServiceDesk Plus.
        """
        if parent.tells_account:
            return parent
        try:
            single = read_single(self._client, parent.module, parent.path)
        except Missing as error:
            if parent.module.name == "tasks":
                return parent  # that path need not exist: then no row says more than this one
            if isinstance(error, NoAddress):
                raise error.as_no_answer() from error
            return replace(parent, account=NOTHING, is_msp=None, site_id=None)
        if single.account == NOTHING:
            single = replace(single, account=parent.account, is_msp=parent.is_msp)
        # The worklogs were read when the list told its time; a later one would make them look fresher.
        return single if parent.updated_ms is None else replace(single, updated_ms=parent.updated_ms)

    def of(self, parent: Parent) -> Reference:
        """Return the account, by way of the site where needed; nothing when nobody knows it."""
        if parent.account != NOTHING or parent.site_id is None:
            return parent.account
        if parent.site_id not in self._by_site:
            self._by_site[parent.site_id] = self._site_account(parent.site_id)
        return self._by_site[parent.site_id]

    def _site_account(self, site_id: str) -> Reference:
        try:
            site = self._client.read_row(f"sites/{quote(site_id, safe='')}", "site")
        except Missing:
            return NOTHING
        return next((found for name in _ACCOUNTS if (found := reference(site.get(name))) != NOTHING), NOTHING)


class NoList(Exception):
    """The list of a module does not answer at all, for want of a path or a licence; ``reason`` says which."""

    def __init__(self, reason: RemoteError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class ParentLists:
    """Lists the parents of one module."""

    def __init__(self, client: SdpClient, module: str) -> None:
        self._client = client
        self._has_answered = False
        self._module = MODULES[module]
        self._columns = self._module.columns("customer" if client.settings.edition == "cloud" else "account")

    def changed_since(self, since_ms: int) -> Iterator[Parent]:
        """Yield parents in the order of their change; those that were never changed come first.

        A new row may have no time of change yet, and would never be found by it: rows created
        since then are looked through for such ones, before anything moves the bookmark.

        Raises:
            CannotWalk: this module cannot be asked by time of change.
            NoList: it cannot be asked at all.
        """
        walk = self._walk(CHANGED, since_ms)
        first = next(walk, None)
        try:
            yield from (parent for parent in self._walk(CREATED, since_ms) if parent.updated_ms is None)
        except CannotWalk as reason:
            logger.debug("%s: %s", self._module.name, reason)
        if first is not None:
            yield first
            yield from walk

    def within(self, since_ms: int | None, lately_open: LatelyOpen) -> Iterator[Parent]:
        """Yield all parents that are open or moved since a time, in the order of their ids.

        One that is closed at an unknown time is yielded too, unless that is known to be long ago.

        Raises:
            NoList: the module cannot be asked at all.
        """
        name = self._module.name
        for row in self._answering(self._client.list_rows(name, name, fields=self._columns)):
            parent = read_parent(self._module, row)
            if since_ms is None or parent.is_open:
                yield parent
            elif parent.moved_ms is None:
                if not lately_open.is_long_closed(parent, since_ms):
                    yield parent
            elif parent.moved_ms >= since_ms:
                yield parent

    def rows_since(self, since_ms: int) -> Iterator[tuple[Parent, Row]]:
        """Yield parents with their rows by time of change, or all of them where that cannot be asked."""
        name = self._module.name
        for row in self._client.walk(name, name, sort_field=CHANGED, since=since_ms, fields=self._columns):
            yield read_parent(self._module, row), row

    def _walk(self, sort_field: str, since_ms: int) -> Iterator[Parent]:
        name = self._module.name
        rows = self._client.walk_by_value(
            name, name, sort_field=sort_field, since=since_ms, fields=self._columns
        )
        return (read_parent(self._module, row) for row in self._answering(rows))

    def _answering(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Tell a list that does not answer at all from one that breaks off."""
        try:
            for row in rows:
                self._has_answered = True
                yield row
        except (Missing, NotLicensed) as error:
            if self._has_answered:
                raise
            raise NoList(error) from error
        self._has_answered = True

"""The one client of ServiceDesk Plus MSP: reads that are repeated safely, writes that never are."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.errors import AccessRefused, Missing, Rejected, RemoteError, Unavailable
from msp_xero.sdp.auth import KeyAuth, ZohoAuth
from msp_xero.sdp.calls import Caller, endpoint
from msp_xero.sdp.envelope import SYSTEM, UNKNOWN_VALUE
from msp_xero.sdp.paging import CannotWalk, OffsetCursor, Page, Row, ValueCursor, list_input, read_page

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import requests

    from msp_xero.edges.clock import Clock
    from msp_xero.edges.watching import Watch
    from msp_xero.sdp.calls import Probed
    from msp_xero.sdp.settings import SdpSettings

logger: Final = logging.getLogger("msp_xero.sdp")


class SdpClient:
    """Reads and writes one installation. One instance serves all threads of a process.

    Attributes:
        settings: what it was made with.
        calls: number of requests by method and path, ids replaced, e.g. ``GET requests/{id}/worklogs``.

    Args:
        settings: the connection.
        session: an HTTP session without retries; one is made when None.
        clock: measures and does all waiting.
        watch: shown every call and its answer, if the session is made here.
        patience: seconds that may be spent on waiting for one answer, for a pause that the server asks for
            and for further attempts; None for as long as a run does.
    """

    def __init__(
        self,
        settings: SdpSettings,
        *,
        session: requests.Session | None = None,
        clock: Clock | None = None,
        watch: Watch | None = None,
        patience: float | None = None,
    ) -> None:
        self.settings = settings
        clock = clock or SystemClock()
        if session is None:
            session = http_session(
                pool_size=settings.concurrency + 1,
                verify_tls=settings.verify_tls,
                ca_bundle=settings.ca_bundle,
                watch=watch,
            )
        if not settings.verify_tls:
            _accept_any_certificate(settings.base_url)
        auth = KeyAuth(settings) if settings.edition == "onprem" else ZohoAuth(settings, session, clock)
        self._caller = Caller(settings, session, clock, auth, patience=patience)
        self._unknown: dict[str, frozenset[str]] = {}
        self._fields_twice: set[str] = set()
        self._unsortable: set[str] = set()

    @property
    def calls(self) -> Counter[str]:
        """Requests made so far, by endpoint."""
        return self._caller.calls

    def close(self) -> None:
        """Close the connections that are kept open; calls that wait for another attempt give up."""
        self._caller.close()

    def probe(
        self,
        path: str,
        input_data: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
    ) -> Probed:
        """GET a path once and return whatever came: to find out what this installation does.

        Nothing is repeated and no error is raised.

        Args:
            path: below ``/api/v3/``.
            input_data: for the query, e.g. a ``list_info``.
            headers: headers that differ for this call; None leaves one out.
        """
        return self._caller.probe(path, input_data, headers=headers)

    # ------------------------------------------------------------------ lists

    def list_rows(  # noqa: PLR0913 - what a list can be asked for
        self,
        path: str,
        key: str,
        *,
        fields: Sequence[str] | None = None,
        criteria: object = None,
        sort_field: str | None = "id",
        ascending: bool = True,
        more: Mapping[str, Any] | None = None,
    ) -> Iterator[Row]:
        """Yield all rows of a list, each id once, and check that none is missing.

        Args:
            path: below ``/api/v3/``, e.g. ``accounts``.
            key: member of the answer that holds the rows, e.g. ``accounts``.
            fields: columns to deliver; those that the installation does not know are left out.
            criteria: search_criteria.
            sort_field: dropped when the server refuses it.
            ascending: the direction.
            more: further members of input_data.

        Raises:
            RemoteError: the list cannot be read.
        """
        cursor = OffsetCursor()
        kind = endpoint("GET", path)
        unsorted = False

        def ask(columns: Sequence[str] | None) -> Row:
            return list_input(
                start=cursor.offset + 1,
                sort_field=None if unsorted or kind in self._unsortable else sort_field,
                ascending=ascending,
                fields=columns,
                criteria=criteria,
                total=True,
                more=more,
                fields_twice=kind in self._fields_twice,
            )

        while not cursor.finished:
            try:
                page = self._page(path, key, fields, ask, kind)
            except Rejected:
                if sort_field is None or unsorted or kind in self._unsortable or cursor.offset:
                    raise
                unsorted = True
                continue
            if unsorted:
                self._unsortable.add(kind)
            try:
                rows = cursor.accept(page)
            except CannotWalk as reason:
                raise Unavailable(
                    f"the list cannot be read to its end: {reason}",
                    system=SYSTEM,
                    address=self._address(path),
                ) from None
            yield from rows
        if cursor.disagrees:
            logger.warning("%s: the list has %d rows but says %d", kind, *cursor.disagrees)

    def walk_by_value(
        self, path: str, key: str, *, sort_field: str, since: int, fields: Sequence[str] | None = None
    ) -> Iterator[Row]:
        """Yield the rows changed since a time in the order of the change; none is lost when rows move.

        A row that changes during the walk comes again with its new time.

        Args:
            path: below ``/api/v3/``.
            key: member of the answer that holds the rows.
            sort_field: a time, e.g. ``last_updated_time``.
            since: epoch milliseconds, inclusive.
            fields: columns to deliver beside ``id`` and ``sort_field``.

        Raises:
            CannotWalk: the server refuses, ignores or does not deliver the field.
            RemoteError: the list cannot be read.
        """
        cursor = ValueCursor(sort_field, since)
        kind = f"{endpoint('GET', path)} by {sort_field}"
        wanted = tuple(dict.fromkeys(("id", *(fields or ()), sort_field)))

        def ask(columns: Sequence[str] | None) -> Row:
            return list_input(
                start=cursor.offset + 1,
                sort_field=sort_field,
                fields=columns,
                criteria=cursor.criteria(),
                fields_twice=kind in self._fields_twice,
            )

        while not cursor.finished:
            try:
                page = self._page(path, key, wanted, ask, kind)
            except Rejected as error:
                raise CannotWalk(f"{sort_field} is refused: {error.problem}") from error
            yield from cursor.accept(page)

    def walk(
        self,
        path: str,
        key: str,
        *,
        sort_field: str,
        since: int | None = None,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Row]:
        """Yield rows by value, or the whole list by id where the server cannot do that.

        In the second case rows come in the order of their ids, whatever ``since`` says, and rows
        that were yielded before the server's inability showed come again.
        """
        try:
            yield from self.walk_by_value(path, key, sort_field=sort_field, since=since or 0, fields=fields)
        except CannotWalk as reason:
            logger.info("%s: %s; all rows are read", path, reason)
            yield from self.list_rows(path, key, fields=fields)

    # -------------------------------------------------------- worklogs, tasks

    def worklogs(self, parent_path: str) -> list[Row]:
        """Return all worklog rows of a parent as they come; see :func:`~msp_xero.sdp.dialects.read_worklog`.

        Args:
            parent_path: e.g. ``requests/45`` or ``projects/7/milestones/2/tasks/9``.
        """
        return list(self.list_rows(f"{parent_path}/worklogs", "worklogs"))

    def tasks(self, parent_path: str) -> list[Row]:
        """Return all task rows of a request, problem, change, project or milestone."""
        return list(self.list_rows(f"{parent_path}/tasks", "tasks"))

    def milestones(self, project_path: str) -> list[Row]:
        """Return all milestone rows of a project."""
        return list(self.list_rows(f"{project_path}/milestones", "milestones"))

    def read_row(self, path: str, key: str) -> Row:
        """Return one row, e.g. ``sites/3`` with key ``site``.

        Raises:
            Missing: it does not exist.
        """
        try:
            answer = self._caller.read(path)
        except Rejected as error:
            if UNKNOWN_VALUE not in error.codes:
                raise
            raise Missing(error.problem, system=SYSTEM, address=error.address, status=error.status) from error
        return self._member(answer, key, path)

    # ---------------------------------------------------- accounts and types

    def accounts(self, fields: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield all accounts (cloud: customers, with ``is_msp`` for the MSP itself)."""
        path = self.settings.accounts_path
        yield from self._with_advice("accounts_path", self.list_rows(path, _plural(path), fields=fields))

    def account_metainfo(self) -> Row:
        """Return what the installation tells about account fields: ``fields`` with type and display name."""
        path = f"{self.settings.accounts_path}/_metainfo"
        return self._member(self._caller.read(path, {"conf_fields": "true"}), "metainfo", path)

    def create_account(self, values: Mapping[str, Any]) -> Row:
        """Create an account and return it as stored.

        Raises:
            Rejected: code 4008 for a name that exists, 4012 with the missing fields.
            Unavailable: the outcome is unknown unless ``sent`` is False.
        """
        return self._write("POST", self.settings.accounts_path, values)

    def update_account(self, account_id: str, values: Mapping[str, Any]) -> Row:
        """Change the given members of an account and return it as stored."""
        return self._write("PUT", self.settings.accounts_path, values, account_id)

    def worklog_types(self, *, include_inactive: bool = True) -> Iterator[Row]:
        """Yield all worklog types, by default also those that are switched off.

        Where the installation does not have the list, or the key may not read it, the types are read
        as a technician sees them who books time: the allowed values of a worklog's type
        (sdp-msp-api §6). Those cannot be written.
        """
        path = self.settings.worklog_types_path
        more = {"include_inactive_value": True} if include_inactive else None
        rows = self._with_advice("worklog_types_path", self.list_rows(path, _plural(path), more=more))
        try:
            first = next(rows, None)
        except (Missing, AccessRefused) as error:
            no_key = error.status == 401  # who is not let in is not let in elsewhere
            if no_key or (values := self._allowed_types(more)) is None:
                raise
            logger.warning(
                "worklog types: %s (%s); they are read as the values that a request's worklog may have "
                "instead, and cannot be written",
                error.problem,
                error.address,
            )
            yield from values
            return
        if first is not None:
            yield first
        yield from rows

    def _allowed_types(self, more: Mapping[str, Any] | None) -> list[Row] | None:
        """Return the types that the worklogs of a request may have; None when nobody tells."""
        with suppress(RemoteError):
            if (first := next(self.list_rows("requests", "requests", fields=("id",)), None)) is None:
                return None
            for field in ("type", "worklog_type"):  # on-premises, cloud
                with suppress(Missing, Rejected):
                    path = f"requests/{first['id']}/worklogs/{field}"
                    return list(self.list_rows(path, field, sort_field=None, more=more))
        return None

    def create_worklog_type(self, values: Mapping[str, Any]) -> Row:
        """Create a worklog type and return it as stored."""
        return self._write("POST", self.settings.worklog_types_path, values)

    def update_worklog_type(self, type_id: str, values: Mapping[str, Any]) -> Row:
        """Change the given members of a worklog type and return it as stored."""
        return self._write("PUT", self.settings.worklog_types_path, values, type_id)

    # --------------------------------------------------------------- details

    def _page(
        self,
        path: str,
        key: str,
        fields: Sequence[str] | None,
        ask: Callable[[Sequence[str] | None], Row],
        kind: str,
    ) -> Page:
        """Read one page, with the columns that this installation knows.

        A column that is refused by name is left out from then on. Columns that were asked for and
        did not come are asked for once more beside list_info, where some builds expect them
        (sdp-msp-api §2).
        """
        while True:
            absent = self._unknown.get(kind, frozenset())
            columns = tuple(name for name in fields or () if name not in absent)
            try:
                page = read_page(self._caller.read(path, ask(columns)), key, address=self._address(path))
            except Rejected as error:
                unknown = _unknown_columns(error, columns) - set(kind.split())
                if not unknown:
                    raise
                self._unknown[kind] = absent | unknown
                logger.info("%s: no column %s on this installation", kind, ", ".join(sorted(unknown)))
                continue
            if not columns or not page.rows or kind in self._fields_twice:
                return page
            if all(name in page.rows[0] for name in columns):
                return page
            self._fields_twice.add(kind)

    def _write(self, method: str, path: str, values: Mapping[str, Any], row_id: str | None = None) -> Row:
        name = _singular(_plural(path))
        target = path if row_id is None else f"{path}/{row_id}"
        answer = self._caller.write(method, target, {name: dict(values)})
        return self._member(answer, name, target, method)

    def _member(self, answer: Row, key: str, path: str, method: str = "GET") -> Row:
        member = answer.get(key)
        if not isinstance(member, dict):
            raise Unavailable(
                f"the answer has no member {key}", system=SYSTEM, address=self._address(path, method)
            )
        return member

    def _with_advice(self, setting: str, rows: Iterator[Row]) -> Iterator[Row]:
        try:
            yield from rows
        except Missing as error:
            raise Missing(
                error.problem,
                system=SYSTEM,
                address=error.address,
                status=error.status,
                advice=f"If this installation has it elsewhere, set {setting}",
            ) from error

    def _address(self, path: str, method: str = "GET") -> str:
        return f"{method} {self.settings.api_url}{path}"


def _unknown_columns(error: Rejected, columns: Sequence[str]) -> set[str]:
    """Return the columns that a refusal names, as its field or in the words about fields_required."""
    named = {name for name in columns if name in error.fields}
    if not named and "fields_required" in error.fields:
        words = set(re.findall(r"\w+", " ".join(error.messages)))
        named = {name for name in columns if name in words}
    return named - {"id"}


def _plural(path: str) -> str:
    return path.rpartition("/")[2]


def _singular(plural: str) -> str:
    return plural.removesuffix("s")


def _accept_any_certificate(base_url: str) -> None:
    logger.warning(
        "verify_tls is false: the certificate of %s is not checked; set ca_bundle instead", base_url
    )
    with suppress(ImportError):
        from urllib3.exceptions import InsecureRequestWarning  # noqa: PLC0415 - only needed here

        warnings.simplefilter("ignore", InsecureRequestWarning)

"""The one Xero client of tap, target and console."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from msp_xero.edges.clock import SystemClock
from msp_xero.edges.transport import http_session
from msp_xero.errors import SettingError
from msp_xero.lots import lots
from msp_xero.xero import wire
from msp_xero.xero.budget import CONCURRENT_CALLS, LONGEST_WAIT, CallBudget
from msp_xero.xero.calls import XeroCalls
from msp_xero.xero.paging import Page, walk_by_change, walk_by_id

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    import requests

    from msp_xero.edges.clock import Clock
    from msp_xero.edges.watching import Watch
    from msp_xero.xero.auth import Auth
    from msp_xero.xero.errors import Answer
    from msp_xero.xero.settings import XeroSettings
    from msp_xero.xero.tokens import TokenStore

# The length of the URL bounds list filters (xero-api §2).
IDS_PER_CALL = 40

# Without it, unit prices are rounded to two decimals, on reads too (xero-api §0 point 7).
FOUR_DECIMALS = {"unitdp": "4"}

LONGEST_KEY = 128


class XeroClient:
    """Reads an organisation and creates invoices; safe for threads.

    Rows are returned as Xero writes them: its names, exact decimals, ``/Date(…)/`` texts. Any optional
    field may be missing. Every method raises the ladder of :mod:`msp_xero.errors`.

    Args:
        settings: the connection.
        session: an HTTP session without retries; one is made when None.
        clock: measures limits and does all waiting.
        budget: the call budget, to be shared by clients of the same organisation; one is made when None.
        watch: shown every call and its answer, if the session is made here.
        auth: gives the access tokens; the stored ones are used when None.
        store: where tokens are kept; None for the file of the settings.
        patience: seconds that may be spent on waiting for one answer, for a pause that Xero asks for and for
            further attempts; None for as long as a run does.
    """

    def __init__(  # noqa: PLR0913 - what a client can be given
        self,
        settings: XeroSettings,
        *,
        session: requests.Session | None = None,
        clock: Clock | None = None,
        budget: CallBudget | None = None,
        watch: Watch | None = None,
        auth: Auth | None = None,
        store: TokenStore | None = None,
        patience: float | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.settings = settings
        self.clock_error: timedelta | None = None
        """How far our clock is ahead of Xero's, as the last answer about the organisation told."""
        self._clock = clock
        self.budget = budget or CallBudget(
            clock,
            max_calls_per_minute=settings.max_calls_per_minute,
            day_call_reserve=settings.day_call_reserve,
            patience=LONGEST_WAIT if patience is None else patience,
        )
        self._session = session or http_session(pool_size=CONCURRENT_CALLS, watch=watch)
        self._calls = XeroCalls(
            settings,
            session=self._session,
            clock=clock,
            budget=self.budget,
            auth=auth,
            store=store,
            patience=patience,
        )

    def close(self) -> None:
        """Close the connections; the client opens new ones if it is used again."""
        self._session.close()

    @property
    def calls(self) -> Counter[str]:
        """Number of HTTP calls made so far, by ``GET /Invoices``, ``POST /connect/token`` and so on."""
        return self._calls.counts

    def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        if_modified_since: datetime | None = None,
    ) -> dict[str, Any]:
        """Read one address of the Accounting API.

        Args:
            path: without a leading slash, for example ``Invoices``.
            params: query parameters.
            if_modified_since: aware UTC; only rows changed since then.

        Returns:
            The decoded body; empty when nothing changed (304 or an empty list, xero-api §4.8).
        """
        headers = {}
        if if_modified_since is not None:
            headers["If-Modified-Since"] = wire.modified_since(if_modified_since)
        answer = self._calls.read(path.lstrip("/"), params=params or {}, headers=headers)
        return {} if answer.status == 304 else answer.json()

    def probe(
        self, path: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Read one address once and return the answer whatever it says: to find out what Xero does.

        Raises:
            RemoteError: no answer came, no token was granted, or the budget has no call left.
        """
        return self._calls.probe(path.lstrip("/"), params=params or {}, headers=headers or {})

    def connections(self) -> list[dict[str, Any]]:
        """Return the organisations that the login reaches: ``tenantId``, ``tenantName`` and more."""
        return self._calls.connections()

    def organisation(self) -> dict[str, Any]:
        """Return the organisation that the connection works on, having made sure that it is the right one.

        A Custom Connection ignores the header and answers for its own organisation, so a wrong ``tenant_id``
        would go unnoticed and bill into the wrong books (xero-api §1.2, §1.4).

        Raises:
            SettingError: another organisation answers than the one of ``tenant_id`` or of the login.
            Unavailable: the answer holds no organisation.
        """
        answer = self._calls.read("Organisation", params={}, headers={})
        body = answer.json()
        rows = _rows(body, "Organisations")
        if not rows:
            raise answer.unavailable("answered without an organisation")
        with contextlib.suppress(ValueError):
            self.clock_error = self._clock.now() - wire.parse_instant(str(body.get("DateTimeUTC")))
        found, wanted = str(rows[0].get("OrganisationID")), self._calls.tenant_id
        if wanted is not None and found.lower() != wanted.lower():
            raise SettingError("tenant_id", f"the connection reaches {rows[0].get('Name')} instead", found)
        return rows[0]

    def accounts(self, *, if_modified_since: datetime | None = None) -> list[dict[str, Any]]:
        """Return the chart of accounts, archived ones included."""
        return _rows(self.get("Accounts", if_modified_since=if_modified_since), "Accounts")

    def tax_rates(self) -> list[dict[str, Any]]:
        """Return the tax rates, deleted ones included."""
        return _rows(self.get("TaxRates"), "TaxRates")

    def items(self, *, if_modified_since: datetime | None = None) -> list[dict[str, Any]]:
        """Return the items with four decimals; always the whole list, items have no pages (xero-api §6).

        A deleted item vanishes without a trace, so only the whole list tells that.
        """
        return _rows(self.get("Items", FOUR_DECIMALS, if_modified_since=if_modified_since), "Items")

    def branding_themes(self) -> list[dict[str, Any]]:
        """Return the branding themes."""
        return _rows(self.get("BrandingThemes"), "BrandingThemes")

    def tracking_categories(self) -> list[dict[str, Any]]:
        """Return the tracking categories and their options, archived ones included."""
        return _rows(self.get("TrackingCategories", {"includeArchived": "true"}), "TrackingCategories")

    def currencies(self) -> list[dict[str, Any]]:
        """Return the currencies that the organisation has enabled."""
        return _rows(self.get("Currencies"), "Currencies")

    def contacts(
        self,
        *,
        ids: Iterable[str] | None = None,
        include_archived: bool = True,
        if_modified_since: datetime | None = None,
        page_size: int = 1000,
    ) -> Iterator[dict[str, Any]]:
        """Yield contacts in full, each once, by ``ContactID``.

        Archived ones are always asked for and left out here when not wanted: a contact that is archived
        between two pages would otherwise leave the list and shift the rest (see :mod:`.paging`). Merged ones
        are archived too, with ``MergedToContactID``.

        Args:
            ids: only these, in calls of 40.
            include_archived: False leaves out all that are not ACTIVE.
            if_modified_since: aware UTC; only those changed since then.
            page_size: rows a page, 1 to 1000.
        """
        base = {"includeArchived": "true", "order": "ContactID ASC", "pageSize": str(page_size)}
        for chunk in _chunks("IDs", ids):

            def fetch(number: int, chunk: dict[str, str] = chunk) -> Page:
                params = {**base, **chunk, "page": str(number)}
                return Page.of(
                    self.get("Contacts", params, if_modified_since=if_modified_since), "Contacts", number
                )

            for row in walk_by_id(fetch, "ContactID"):
                if include_archived or row.get("ContactStatus", "ACTIVE") == "ACTIVE":
                    yield row

    def invoices(  # noqa: PLR0913 - Xero's own filters
        self,
        *,
        numbers: Iterable[str] | None = None,
        ids: Iterable[str] | None = None,
        statuses: Iterable[str] | None = None,
        if_modified_since: datetime | None = None,
        summary_only: bool = False,
        where: str | None = None,
        search_term: str | None = None,
        page_size: int = 1000,
    ) -> Iterator[dict[str, Any]]:
        """Yield invoices and bills with their lines and four decimals, each once, oldest change first.

        Several invoices can carry one number when drafts were deleted, and a look-up right after a write may
        not show it yet (xero-api §4.2, §4.7).

        Args:
            numbers: only these ``InvoiceNumber``, in calls of 40.
            ids: only these ``InvoiceID``, in calls of 40.
            statuses: only these ``Status``.
            if_modified_since: aware UTC; only those changed since then.
            summary_only: True leaves out the lines, which is much less to read.
            where: a filter in Xero's language, for example ``Type=="ACCREC"``.
            search_term: part of a number or a reference, without regard to case.
            page_size: rows a page, 1 to 1000.

        Raises:
            ValueError: both ``numbers`` and ``ids``, or a number with a comma, which cannot be asked for.
        """
        if numbers is not None and ids is not None:
            raise ValueError("ask by numbers or by ids, not by both")
        base = {"order": "UpdatedDateUTC ASC", "pageSize": str(page_size), **FOUR_DECIMALS}
        if statuses is not None:
            base["Statuses"] = ",".join(statuses)
            if not base["Statuses"]:
                return
        if summary_only:
            base["summaryOnly"] = "true"
        if where:
            base["where"] = where
        if search_term:
            base["searchTerm"] = search_term
        chunks = _chunks("InvoiceNumbers", numbers) if ids is None else _chunks("IDs", ids)
        for chunk in chunks:

            def fetch(number: int, since: datetime | None, chunk: dict[str, str] = chunk) -> Page:
                params = {**base, **chunk, "page": str(number)}
                return Page.of(self.get("Invoices", params, if_modified_since=since), "Invoices", number)

            yield from walk_by_change(fetch, "InvoiceID", since=if_modified_since)

    def put_invoices(self, body: bytes, *, idempotency_key: str) -> list[dict[str, Any]]:
        """Create the invoices of ``body``, never change one: ``PUT /Invoices`` (xero-api §0 point 2).

        Args:
            body: sent byte for byte; :func:`msp_xero.xero.wire.canonical` makes it.
            idempotency_key: remembered by Xero for six minutes; at most 128 characters.

        Returns:
            One element per invoice, good or bad: look at each one's ``StatusAttributeString``, ``HasErrors``
            and ``ValidationErrors``, and match by ``InvoiceNumber``, not by position (xero-api §4.6).

        Raises:
            Unavailable: the outcome is unknown; look the numbers up before anything else.
            KeyConflict: the key was used with another request; the outcome of that one is unknown.
            Rejected: nothing of this call was saved.
            ValueError: the key is empty or too long.
        """
        if not 1 <= len(idempotency_key) <= LONGEST_KEY:
            raise ValueError(f"an Idempotency-Key has 1 to {LONGEST_KEY} characters")
        answer = self._calls.write(
            "Invoices",
            params={"summarizeErrors": "false", **FOUR_DECIMALS},
            headers={"Idempotency-Key": idempotency_key},
            body=body,
        )
        rows = answer.json().get("Invoices")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise answer.unavailable("answered without saying what became of the invoices")
        return rows


def _rows(body: dict[str, Any], member: str) -> list[dict[str, Any]]:
    rows = body.get(member)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _chunks(name: str, values: Iterable[str] | None) -> Iterator[dict[str, str]]:
    """Yield the query parameter of each call: one call without it for None, no call for no values."""
    if values is None:
        yield {}
        return
    for chunk in lots(dict.fromkeys(values), IDS_PER_CALL):
        if any("," in value for value in chunk):
            raise ValueError(f"a value with a comma cannot be asked for in {name}")
        yield {name: ",".join(chunk)}

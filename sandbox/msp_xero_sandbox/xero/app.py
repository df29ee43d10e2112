"""The local Xero as one application: identity server, connections and the Accounting API.

Checks come in Xero's order: authentication, limits, idempotency, validation, commit (xero-api §11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msp_xero_sandbox.settings import Settings
from msp_xero_sandbox.wire import Answer, Call, encode_json
from msp_xero_sandbox.xero import answers
from msp_xero_sandbox.xero.contacts import Contacts, contact_view
from msp_xero_sandbox.xero.dates import bare_wire_time
from msp_xero_sandbox.xero.door import Door, Visitor
from msp_xero_sandbox.xero.idempotency import Keys
from msp_xero_sandbox.xero.identity import Identity
from msp_xero_sandbox.xero.invoice_views import invoice_view
from msp_xero_sandbox.xero.invoices import Invoices
from msp_xero_sandbox.xero.items import Items, item_view
from msp_xero_sandbox.xero.limits import Limits
from msp_xero_sandbox.xero.people import People
from msp_xero_sandbox.xero.reference import Organisation, Reference, Users, shown
from msp_xero_sandbox.xero.request import Request, wants_json
from msp_xero_sandbox.xero.rows import Ids, Rows
from msp_xero_sandbox.xero.state import State
from msp_xero_sandbox.xero.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from msp_xero_sandbox.clock import Clock

API = "/api.xro/2.0/"
_DEFAULT_WAITS = {"minute": 26.0, "day": 73_451.0}


class Resource(Protocol):
    """An endpoint of the Accounting API."""

    def serve(self, request: Request) -> dict[str, Any] | Answer:
        """Answer one call: a body without its envelope, or a whole answer; ApiError refuses."""


class XeroApp:
    """A Xero organisation behind its API."""

    name = "xero"

    def __init__(
        self, rows: Mapping[str, Iterable[Mapping[str, Any]]], clock: Clock, settings: Settings | None = None
    ) -> None:
        self._told = rows
        self._clock = clock
        self._seed = (settings or Settings()).seed
        self.reset()

    def reset(self) -> None:
        """Return to the told rows, with default switches and without tokens, keys and windows."""
        now = self._clock.now()
        self.switches = Switches()
        rows = Rows(self._told, now, self._seed)
        self._state = State(rows, self.switches)
        # Ids of envelopes and tokens come from their own sequence: rows keep theirs however often is read.
        self._ids = Ids(self._seed + 1)
        self.identity = Identity(rows.organisation, self.switches, self._ids, now)
        self._limits = Limits(self.switches)
        self._keys = Keys(self.switches)
        self._door = Door(self.identity, self._limits, self.switches, self._ids, rows.organisation)
        self._people = People(self._state)
        self._resources: dict[str, Resource] = {
            "organisation": Organisation(self._state),
            "accounts": Reference(self._state, "Accounts", "accounts"),
            "taxrates": Reference(self._state, "TaxRates", "tax_rates"),
            "brandingthemes": Reference(self._state, "BrandingThemes", "branding_themes"),
            "trackingcategories": Reference(
                self._state, "TrackingCategories", "tracking_categories", hides_archived=True
            ),
            "currencies": Reference(self._state, "Currencies", "currencies"),
            "users": Users(),
            "items": Items(self._state),
            "contacts": Contacts(self._state),
            "invoices": Invoices(self._state, self._told.get("invoices", ()), now),
        }

    @property
    def rows(self) -> Rows:
        """The rows as they are, for a simulation in the same process; to be read, not changed."""
        return self._state.rows

    # wire.App

    def handle(self, call: Call) -> Answer:
        """Answer one call, committing whatever Xero would commit."""
        if call.path.startswith(API):
            return self._api(call)
        now = self._clock.now()
        match call.method, call.path:
            case "POST", "/connect/token":
                return self.identity.token(call, now)
            case "POST", "/connect/revocation":
                return self.identity.revocation(call)
            case "GET", "/identity/connect/authorize":
                return self.identity.authorize(call, now)
        if call.path == "/connections" or call.path.startswith("/connections/"):
            return self._door.connections(call, now)
        return Answer(status=404, headers={"content-type": "text/html"})

    def dump(self, kinds: Iterable[str] | None = None) -> dict[str, Any]:
        """Return rows by kind, as the API shows them with four places."""
        writers = self._dumpers()
        return {kind: writers[kind]() for kind in (writers if kinds is None else kinds)}

    def _dumpers(self) -> dict[str, Callable[[], list[dict[str, Any]]]]:
        rows = self._state.rows
        invoices = rows.invoices.values()
        return {
            "organisation": lambda: [shown(rows.organisation)],
            "accounts": lambda: [shown(row) for row in rows.accounts.values()],
            "tax_rates": lambda: [shown(row) for row in rows.tax_rates.values()],
            "branding_themes": lambda: [shown(row) for row in rows.branding_themes.values()],
            "tracking_categories": lambda: [shown(row) for row in rows.tracking_categories.values()],
            "currencies": lambda: [shown(row) for row in rows.currencies.values()],
            "items": lambda: [item_view(row, 4) for row in rows.items.values()],
            "contacts": lambda: [contact_view(row) for row in rows.contacts.values()],
            "invoices": lambda: [invoice_view(each, rows, 4, whole_contact=False) for each in invoices],
            "history": lambda: [
                {"InvoiceID": invoice.invoice_id, **note, "DateUTC": note["DateUTC"].isoformat()}
                for invoice in invoices
                for note in invoice.history
            ],
        }

    def change_row(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a person would do in Xero's own pages; return the row."""
        try:
            return self._people.change(change, self._clock.now())
        except answers.ApiError as error:
            raise ValueError(str(error)) from error

    def set_switch(self, name: str, value: str) -> None:
        """Set one uncertain behaviour; ValueError names bad ones."""
        self.switches.set(name, value)

    def hide_fresh(self, seconds: float) -> None:
        """Leave rows younger than that out of lists."""
        self._state.hidden_seconds = seconds

    def fault_answer(self, kind: str, fault: Mapping[str, Any]) -> Answer:
        """Answer a fault in Xero's words, with its real effect."""
        call: Call = fault["call"]
        now = self._clock.now()
        if kind.startswith("rate_"):
            problem = kind.removeprefix("rate_")
            wait = fault.get("retry_after", _DEFAULT_WAITS.get(problem))
            visitor = self._door.visitor(call)
            client_id, tenant = (visitor.client.client_id, visitor.tenant_id) if visitor else ("", "")
            return self._limits.refusal(problem, client_id, tenant, now, retry_after=wait)
        if kind == "token_expired":
            return self._door.expire(call, now)
        if kind == "revoked":
            if call.path.startswith("/connect/"):
                headers = {"content-type": "application/json; charset=utf-8"}
                return Answer(status=400, headers=headers, body=encode_json({"error": "invalid_grant"}))
            return self._door.forbidden()
        raise ValueError(f"Xero has no words for the fault {kind!r}")

    # wire.KeepsAnswers

    def keep_answer(self, call: Call, answer: Answer) -> None:
        """Remember an answer under the call's Idempotency-Key."""
        if visitor := self._door.visitor(call):
            self._keys.keep(self._owner(visitor), call, answer, self._clock.now())

    def error_answer(self, status: int) -> Answer:
        """Answer with the body that comes with an unexpected status."""
        return answers.server_error(status, self._ids.new())

    # The Accounting API

    def _api(self, call: Call) -> Answer:
        now = self._clock.now()
        path = tuple(part for part in call.path.removeprefix(API).split("/") if part)
        visitor = self._door.enter(call, path, now)
        if isinstance(visitor, Answer):
            return visitor
        answer = self._answer(call, path, visitor)
        headers = self._limits.headers(visitor.client.client_id, visitor.tenant_id, now)
        return Answer(
            status=answer.status,
            headers={**answer.headers, **headers, "xero-correlation-id": self._ids.new()},
            body=answer.body,
        )

    def _answer(self, call: Call, path: tuple[str, ...], visitor: Visitor) -> Answer:
        owner, now = self._owner(visitor), self._clock.now()
        as_json = wants_json(call)
        try:
            replayed = self._keys.replay(owner, call, now)
        except answers.ApiError as error:
            return answers.refused(error, as_json=as_json)
        if replayed is not None:
            return replayed
        answer = self._processed(call, path, visitor, as_json=as_json)
        self._keys.keep(owner, call, answer, now)
        return answer

    def _owner(self, visitor: Visitor) -> str:
        return visitor.token.text if self.switches.key_scope == "token" else visitor.client.client_id

    def _processed(self, call: Call, path: tuple[str, ...], visitor: Visitor, *, as_json: bool) -> Answer:
        try:
            resource = self._resources.get(path[0].lower()) if path else None
            if resource is None:
                raise answers.not_found()
            served = resource.serve(Request(call, visitor.client.client_id, path, self._clock.now()))
        except answers.ApiError as error:
            return answers.refused(error, as_json=as_json)
        if isinstance(served, Answer):
            return served
        envelope = {
            "Id": self._ids.new(),
            "Status": "OK",
            "ProviderName": visitor.client.name,
            "DateTimeUTC": bare_wire_time(self._clock.now()),
        }
        return answers.payload({**envelope, **served}, as_json=as_json)

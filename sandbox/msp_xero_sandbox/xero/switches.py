"""Behaviours of Xero that the documentation leaves open, each with its default.

A client must be right with either answer; tests run with both.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

_ON, _OFF = True, False


def _switch(default: Any, text: str, *choices: str) -> Any:
    return field(default=default, metadata={"text": text, "choices": choices})


@dataclass(slots=True, kw_only=True)
class Switches:
    """All switches of the local Xero; set as ``xero.<name>``."""

    # Limits (xero-api §2)
    minute_limit: int | None = _switch(60, "calls a minute for one app and tenant; `none` = unlimited")
    day_limit: int | None = _switch(
        5000, "calls a day for one app and tenant (Starter apps: 1000); `none` = unlimited"
    )
    concurrent_limit: int | None = _switch(5, "calls at the same time; `none` = unlimited")
    app_minute_limit: int | None = _switch(
        10_000, "calls a minute for one app over all tenants; `none` = unlimited"
    )
    rate_window: str = _switch("fixed", "windows start with a first call, or slide", "fixed", "rolling")
    rate_problem_case: str = _switch("lower", "spelling of X-Rate-Limit-Problem", "lower", "title")
    max_request_bytes: int = _switch(10 * 1024 * 1024, "a larger request is refused with 413")
    # Tokens (xero-api §1)
    token_seconds: int = _switch(1800, "life of an access token")
    refresh_grace_seconds: int = _switch(1800, "how long the previous refresh token may be retried")
    invalid_client_status: int = _switch(400, "status for a wrong client secret", "400", "401")
    granted_scopes: str = _switch("", "space-separated scopes of the custom connection instead of its own")
    custom_connections_listed: bool = _switch(_ON, "GET /connections lists the tenant of a custom connection")
    consent: str = _switch(
        "given",
        "what the user does on the consent page; `ask` shows a page to do it on",
        "given",
        "denied",
        "ask",
    )
    redirect_addresses: str = _switch(
        "", "space-separated redirect addresses of the apps; empty = any https or localhost address"
    )
    consent_refusals: str = _switch(
        "redirect", "where a refusal of the consent page is shown", "redirect", "page"
    )
    scope_left_out: str = _switch(
        "all", "a custom connection asks for no scope: it gets all, or invalid_scope", "all", "refuse"
    )
    loopback_ip_redirect: str = _switch(
        "refuse", "http://127.0.0.1 as a redirect address", "refuse", "accept"
    )
    extra_tenants: int = _switch(0, "further organisations that a web app's user has connected")
    items_write_scope: str = _switch(
        "settings", "scope for writing items: only settings, or invoices too", "settings", "invoices"
    )
    insufficient_scope: str = _switch(
        "insufficient_scope", "spelling in WWW-Authenticate", "insufficient_scope", "insufficent_scope"
    )
    # Idempotency (xero-api §3)
    key_seconds: int = _switch(360, "how long an Idempotency-Key is remembered, from its first call")
    key_scope: str = _switch("app", "what a key belongs to", "app", "token")
    key_conflict_shape: str = _switch("message", "where the conflict's message stands", "message", "elements")
    key_caches_rejections: bool = _switch(_ON, "4xx answers are replayed under their key too")
    key_store: str = _switch("up", "down = keyed writes answer 500 and are not processed", "up", "down")
    # Lists (xero-api §4.7)
    lists_lag_seconds: float = _switch(0.0, "lists do not show rows created in the last so many seconds")
    not_modified: str = _switch("list", "If-Modified-Since without news: empty list or 304", "list", "304")
    null_guard: bool = _switch(
        _OFF, "a where on a null member without != null in it is a QueryParseException"
    )
    # Invoices (xero-api §4)
    number_case_sensitive: bool = _switch(_OFF, "INV-1 and inv-1 are different numbers")
    line_errors_at: str = _switch("invoice", "where messages on a line stand", "invoice", "line")
    quantity_places: str = _switch("round", "a quantity with more than 4 decimals", "round", "error")
    supplied_total: str = _switch("ignore", "a SubTotal or Total that disagrees", "ignore", "reject")
    unknown_account_on_draft: str = _switch(
        "error", "an account code that does not exist, on a draft", "error", "removed"
    )
    tracking_unknown: str = _switch(
        "error", "a tracking category or option that does not exist", "error", "ignore"
    )
    zero_lines_lose_codes: bool = _switch(_OFF, "lines of 0.00 come back without AccountCode and TaxType")
    lock_dates_on_drafts: bool = _switch(_ON, "lock dates refuse drafts as well")
    negative_total: str = _switch("error", "an invoice whose total is below zero", "error", "accept")
    customer_on_draft: bool = _switch(
        _ON, "a first invoice makes its contact a customer also when it is a draft"
    )
    archived_text: str = _switch(
        "The contact has been archived. Archived contacts cannot be used on new documents.",
        "message for an invoice on an archived contact",
    )
    archived_at: str = _switch("invoice", "where that message stands", "invoice", "contact")
    approve_limit: int | None = _switch(
        None, "approved sales invoices a month (entry plans); `none` = unlimited"
    )
    email_day_limit: int | None = _switch(1000, "e-mails a day (demo company: 0)")
    # Refusals (xero-api §4.6)
    elements_echo: str = _switch("failed", "which elements a refused call shows", "failed", "all")
    # Contacts (xero-api §5)
    unarchive: str = _switch("refuse", "ContactStatus ACTIVE on an archived contact", "refuse", "accept")
    unique_contact_names: bool = _switch(_ON, "active contacts must have different names")

    def set(self, name: str, text: str) -> None:
        """Set one switch from its text.

        Raises:
            ValueError: There is no such switch, or it does not take that value.
        """
        known = {each.name: each for each in fields(self)}
        if name not in known:
            raise ValueError(f"xero has no switch {name!r}; it has {', '.join(sorted(known))}")
        choices = known[name].metadata["choices"]
        if choices and text not in choices:
            raise ValueError(f"xero.{name} is {' or '.join(choices)}, not {text!r}")
        try:
            setattr(self, name, _READERS[str(known[name].type)](text))
        except (ValueError, KeyError):
            raise ValueError(f"xero.{name} does not take {text!r}") from None

    @classmethod
    def documented(cls) -> list[tuple[str, str, str]]:
        """Return (name, default, text) of every switch, as they are typed."""
        return [(each.name, _written(each.default), _text(each.metadata)) for each in fields(cls)]


_READERS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "int | None": lambda text: None if text == "none" else int(text),
    "bool": lambda text: {"on": True, "off": False}[text],
}


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _text(metadata: Any) -> str:
    choices = metadata["choices"]
    return f"{metadata['text']} ({', '.join(choices)})" if choices else str(metadata["text"])

"""Read-only probes of Xero."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from msp_xero.errors import MspXeroError

from msp_xero_console.live.shapes import headers, merged, names, page_kind, shape, shown
from msp_xero_console.vocabulary import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero.xero import XeroClient
    from msp_xero.xero.errors import Answer

Row = dict[str, Any]
_ALLOWED = ("ALLOWED", "NOT-ALLOWED")
_NOBODY = "00000000-0000-0000-0000-00000000dead"


@dataclass(slots=True)
class XeroGround:
    """The client, the headers that came, and a page of invoices, read once."""

    client: XeroClient
    headers_seen: dict[str, str] = field(default_factory=dict)
    _invoices: list[Row] | None = None

    def get(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask, and remember which headers came."""
        answer = self.client.probe(path, params, headers=headers)
        self.headers_seen |= {key.lower(): value for key, value in answer.headers.items()}
        return answer

    def invoices(self) -> list[Row]:
        """Return the newest invoices with their lines."""
        if self._invoices is None:
            newest = {"page": "1", "pageSize": "100", "order": "UpdatedDateUTC DESC", "unitdp": "4"}
            self._invoices = rows_in(self.get("Invoices", newest), "Invoices")
        return self._invoices


def connections(ground: XeroGround) -> list[str]:
    """Ask which organisations the login reaches."""
    rows = ground.client.connections()
    return [f"grant {ground.client.settings.grant}: {len(rows)} connections", f"a row: {merged(rows)}"]


def organisation(ground: XeroGround) -> list[str]:
    """Show the members of the organisation and the names of the actions."""
    said = []
    for path, member in (("Organisation", "Organisations"), ("Organisation/Actions", "Actions")):
        answer = ground.get(path)
        said.append(outcome(f"GET {path}", answer))
        rows = rows_in(answer, member)
        if member == "Actions":
            statuses = Counter(one if (one := row.get("Status")) in _ALLOWED else "other" for row in rows)
            every = {str(row.get("Name")) for row in rows}
            said.append(f"actions: {shown(every, every & ACTIONS)}")
            said.append(", ".join(f"{status} {count}" for status, count in sorted(statuses.items())))
        elif rows:
            said.append(f"members: {shape(rows[0])}")
    return said


def limits(ground: XeroGround) -> list[str]:
    """Name the headers about limits, and the size of the day's to the thousand."""
    ground.get("Organisation")
    found = {key: value for key, value in ground.headers_seen.items() if "limit" in key}
    said = [f"headers about limits: {headers(found)}"]
    left = found.get("x-daylimit-remaining", "")
    if left.isdigit():
        # To the thousand: the plan shows, what was called today does not.
        said.append(f"the day has at least {int(left) // 1000 * 1000} calls left")
    return said


def not_modified(ground: XeroGround) -> list[str]:
    """Ask what changed since this moment."""
    now = datetime.now(UTC)
    texts = {"without a zone": f"{now:%Y-%m-%dT%H:%M:%S}", "as RFC 1123": format_datetime(now, usegmt=True)}
    return [
        outcome(f"{path} since now, {kind}", ground.get(path, headers={"If-Modified-Since": text}))
        for path in ("Items", "Accounts")
        for kind, text in texts.items()
    ]


def null_guard(ground: XeroGround) -> list[str]:
    """Filter by an account number that nobody has and most contacts lack, with and without a guard."""
    term = 'AccountNumber=="msp-xero-probe"'
    wheres = {"without": term, "with": f"AccountNumber!=null AND {term}"}
    return [
        outcome(f"{kind} a guard", ground.get("Contacts", {"where": where, "page": "1", "pageSize": "1"}))
        for kind, where in wheres.items()
    ]


def number_case(ground: XeroGround) -> list[str]:
    """Ask for the number of an invoice in other case."""
    numbers = [str(row.get("InvoiceNumber") or "") for row in ground.invoices()]
    number = next((one for one in numbers if one.lower() != one.upper() and "," not in one), None)
    if number is None:
        return ["no invoice has a letter in its number"]
    found = {
        kind: len(rows_in(ground.get("Invoices", {"InvoiceNumbers": asked, "page": "1"}), "Invoices"))
        for kind, asked in (
            ("as it is", number),
            ("in small letters", number.lower()),
            ("in capitals", number.upper()),
        )
    }
    return [", ".join(f"{kind}: {count} found" for kind, count in found.items())]


def paging(ground: XeroGround) -> list[str]:
    """Ask for a page that is too large."""
    answer = ground.get("Contacts", {"page": "1", "pageSize": "2000", "summaryOnly": "true"})
    told = _body(answer).get("pagination")
    size = told.get("pageSize") if isinstance(told, dict) else None
    cut = "not told" if size is None else "cut to 1,000" if size == 1000 else "not cut to 1,000"
    return [outcome("pageSize 2000", answer), f"pagination: {names(told)}", f"the size of the page is {cut}"]


def zero_lines(ground: XeroGround) -> list[str]:
    """Count lines of nothing, and those of them without codes."""
    lines = [
        line for row in ground.invoices() for line in row.get("LineItems") or [] if isinstance(line, dict)
    ]
    zero = [line for line in lines if line.get("LineAmount") == 0]
    bare = sum(not line.get("AccountCode") or not line.get("TaxType") for line in zero)
    return [f"{len(lines)} lines, {len(zero)} of 0.00, {bare} of these without account or tax"]


def contact_names(ground: XeroGround) -> list[str]:
    """Count names that several active contacts share."""
    answer = ground.get("Contacts", {"page": "1", "pageSize": "1000", "includeArchived": "true"})
    rows = rows_in(answer, "Contacts")
    active = [row for row in rows if row.get("ContactStatus") == "ACTIVE"]
    shared = sum(count > 1 for count in Counter(str(row.get("Name")).lower() for row in active).values())
    merged_away = sum(bool(row.get("MergedToContactID")) for row in rows)
    return [
        outcome("GET Contacts", answer),
        f"{len(active)} active of {len(rows)}; names that several share: {shared}; merged: {merged_away}",
        f"a contact: {merged(rows[:20])}" if rows else "no contacts",
    ]


def missing_scope(ground: XeroGround) -> list[str]:
    """Read something that this product needs no scope for."""
    answer = ground.get("BankTransactions", {"page": "1", "pageSize": "1"})
    challenge = answer.headers.get("WWW-Authenticate", "").lower()
    spelt = next((one for one in ("insufficient_scope", "insufficent_scope") if one in challenge), "none")
    return [outcome("GET BankTransactions", answer), f"error named in WWW-Authenticate: {spelt}"]


def missing_row(ground: XeroGround) -> list[str]:
    """Read what does not exist."""
    return [
        outcome(f"GET {path}/{{id}}", ground.get(f"{path}/{_NOBODY}")) for path in ("Invoices", "Contacts")
    ]


def outcome(label: str, answer: Answer) -> str:
    """Say of one call which status, keys and number of rows came back."""
    parts = [f"HTTP {answer.status}"]
    body = _body(answer)
    if body:
        parts.append(f"keys {names(body)}")
        parts += [f"{len(value)} rows" for key, value in body.items() if isinstance(value, list)][:1]
    else:
        parts.append("an empty body" if not answer.body else page_kind(answer.body))
    return f"{label}: {', '.join(parts)}"


def rows_in(answer: Answer, member: str) -> list[Row]:
    """Return the rows of an answer; none when it is no success."""
    rows = _body(answer).get(member) if answer.status == 200 else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _body(answer: Answer) -> Row:
    try:
        return answer.json()
    except MspXeroError:  # whatever is no JSON object has no keys
        return {}

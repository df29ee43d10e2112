"""Xero's own OpenAPI file as the judge of every call: what we send, and what the sandbox answers.

The file (see the fact sheet ``xero-api``, section 12) is not part of the repository. It is found through
``XERO_OPENAPI_SPEC``, or beside the repository. Where it is absent these checks cannot be made.
"""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.security.exceptions import SecurityProviderError
from openapi_core.security.factories import SecurityProviderFactory
from openapi_core.security.providers import BaseProvider
from werkzeug.datastructures import Headers, ImmutableMultiDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SPEC = Path(
    os.environ.get("XERO_OPENAPI_SPEC")
    or Path(__file__).resolve().parents[2] / "shared" / "specs" / "xero_accounting.yaml"
)
API = "/api.xro/2.0"
HOST = "https://api.xero.com"
WHY_ABSENT = f"Xero's OpenAPI file is not at {SPEC}; set XERO_OPENAPI_SPEC to check calls against it"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """One point in which the file and the real Xero disagree, and what is done about it.

    ``mend`` rewrites a recorded call so that only this point is forgiven; ``skip`` leaves out the answer
    (``answer``) or the whole call (``call``) where there is nothing to compare with.
    """

    name: str
    section: str
    why: str
    applies: Callable[[Json], bool]
    mend: Callable[[Json], Json] | None = None
    skip: str = ""


_NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_TENANT = {"xero-tenant-id": "00000000-0000-4000-a000-000000000001"}


def _with_headers(call: Json, **changes: str) -> Json:
    return call | {"headers": call["headers"] | changes}


EXEMPTIONS = (
    Exemption(
        name="identity",
        section="1.2, 1.4",
        why="the token endpoint and /connections belong to other files (xero-identity.yaml)",
        applies=lambda call: not call["path"].startswith(f"{API}/"),
        skip="call",
    ),
    Exemption(
        name="tenant",
        section="12.2",
        why="xero-tenant-id is declared required; a Custom Connection needs none",
        applies=lambda call: "xero-tenant-id" not in call["headers"],
        mend=lambda call: call | {"headers": call["headers"] | _TENANT},
    ),
    Exemption(
        name="if-modified-since",
        section="12.5",
        why="declared as date-time, which needs a zone; the documentation shows UTC without one",
        applies=lambda call: bool(_NAIVE.fullmatch(call["headers"].get("if-modified-since", ""))),
        mend=lambda call: _with_headers(
            call, **{"if-modified-since": f"{call['headers']['if-modified-since']}Z"}
        ),
    ),
    Exemption(
        name="http-date",
        section="12.5",
        why="the live checklist asks in the form of HTTP too: which forms Xero reads is one of its questions",
        applies=lambda call: call["headers"].get("if-modified-since", "").endswith(" GMT"),
        mend=lambda call: _with_headers(call, **{"if-modified-since": "2026-01-01T00:00:00Z"}),
    ),
    Exemption(
        name="status",
        section="12.4",
        why="only 200, 204 and 400 are declared, and 400 not for reads",
        applies=lambda call: (
            call["status"] in {304, 401, 403, 404, 405, 412, 429, 500, 501, 502, 503, 504}
            or (call["status"] == 400 and call["method"] == "GET")
        ),
        skip="answer",
    ),
    Exemption(
        name="fault",
        section="11",
        why="the sandbox broke this answer, or gave none, on purpose: it is not what Xero would say",
        applies=lambda call: bool(call["fault"]) or call["status"] is None,
        skip="answer",
    ),
)


class _Bearer(BaseProvider):
    """Stands for OAuth 2, which openapi-core does not know: the call must carry a bearer token."""

    def __call__(self, parameters: RequestParameters) -> Any:
        if "authorization" not in parameters.header:
            raise SecurityProviderError("the call has no Authorization header")
        return parameters.header["authorization"]


class _Security(SecurityProviderFactory):
    PROVIDERS = SecurityProviderFactory.PROVIDERS | {"oauth2": _Bearer}


class _Request:
    """A recorded call as openapi-core wants to see it."""

    def __init__(self, call: Json) -> None:
        self.host_url = HOST
        self.path = call["path"]
        self.method = call["method"].lower()
        self.body = (call["request_body"] or "").encode() or None
        self.content_type = call["headers"].get("content-type", "").partition(";")[0]
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(call["query"]),
            header=Headers(call["headers"]),
            cookie=ImmutableMultiDict(),
        )


class _Response:
    """A recorded answer as openapi-core wants to see it."""

    def __init__(self, call: Json) -> None:
        self.data = (call["response_body"] or "").encode()
        self.status_code = call["status"]
        self.content_type = "application/json"
        self.headers = Headers({"Content-Type": self.content_type})


class Contract:
    """Judges recorded calls of the sandbox's Xero.

    Attributes:
        covered: the routes that were compared with the file, as ``GET /Items``.
        used: the names of the exemptions that were needed.
    """

    def __init__(self, document: Json) -> None:
        self._paths = document["paths"]
        self._shared = document["components"]["parameters"]
        config = Config(spec_validator_cls=None, security_provider_factory=_Security())
        self._answers = OpenAPI.from_dict(document, config=config)
        # The file allows any member anywhere (12.7), so a misspelt one would pass. What we send is
        # held to the members that are declared; what Xero answers has more than that (12.8).
        strict = replace(config, additional_properties_default_policy="forbid")
        self._requests = OpenAPI.from_dict(document, config=strict)
        self.covered: set[str] = set()
        self.used: set[str] = set()

    def problems(self, calls: Iterable[Json]) -> list[str]:
        """Return what is wrong with the calls, a line for each; nothing when all is well."""
        return [
            f"call {call['n']} {call['method']} {call['path']} ({call['status']}): {problem}"
            for call in calls
            for problem in self._judge(call)
        ]

    def _judge(self, call: Json) -> Iterator[str]:
        skipped = set()
        for exemption in EXEMPTIONS:
            if exemption.applies(call):
                self.used.add(exemption.name)
                skipped.add(exemption.skip)
                call = exemption.mend(call) if exemption.mend else call
        if "call" in skipped:
            return
        yield from self._judge_request(call)
        if "answer" not in skipped:
            yield from _complaints(self._answers.validate_response, _Request(call), _Response(call))
        self.covered.add(f"{call['method']} {self._template(call)}")

    def _judge_request(self, call: Json) -> Iterator[str]:
        yield from _complaints(self._requests.validate_request, _Request(call))
        declared = self._declared(call)
        # A misspelt parameter is no error to Xero or to the file: it is just not heard.
        yield from (f"unknown query parameter {name}" for name in call["query"] if name not in declared)
        if call["headers"].get("accept") != "application/json":
            yield "Accept is not application/json: Xero would answer with XML (4.1)"
        if call["method"] != "GET":
            yield from _judge_write(call)

    def _template(self, call: Json) -> str:
        path = call["path"].removeprefix(API)
        if path in self._paths:
            return str(path)
        parts = path.split("/")
        for known in self._paths:
            pairs = list(zip(known.split("/"), parts, strict=False))
            if known.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in pairs):
                return str(known)
        return str(path)

    def _declared(self, call: Json) -> set[str]:
        item = self._paths.get(self._template(call), {})
        parameters = item.get("parameters", []) + item.get(call["method"].lower(), {}).get("parameters", [])
        resolved = [self._shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in parameters]
        return {parameter["name"] for parameter in resolved if parameter["in"] == "query"}


def _complaints(validate: Callable[..., None], *what: Any) -> Iterator[str]:
    try:
        validate(*what)
    except OpenAPIError as error:
        yield "; ".join(_reasons(error))


def _reasons(error: BaseException) -> list[str]:
    """Return the sentences of an error, the innermost ones: openapi-core wraps them in general ones."""
    listed = getattr(error, "schema_errors", None)
    if listed:
        return [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:300]}" for one in listed]
    return _reasons(error.__cause__) if error.__cause__ else [f"{type(error).__name__}: {error}"]


# What the file lacks (12.7 and section 4.2 of the fact sheet): limits, and rules of our own for writes.
_LONGEST = {"Reference": 255, "InvoiceNumber": 255, "Url": 2083}
_LONGEST_OF_LINE = {"Description": 4000, "ItemCode": 30, "AccountCode": 10, "TaxType": 50}
_LONGEST_KEY = 128
_LONGEST_BODY = 3_500_000
_MOST_ELEMENTS = 50


def _judge_write(call: Json) -> Iterator[str]:
    key = call["headers"].get("idempotency-key", "")
    if not 0 < len(key) <= _LONGEST_KEY:
        yield f"the Idempotency-Key has {len(key)} characters, not 1 to {_LONGEST_KEY}"
    if len((call["request_body"] or "").encode()) > _LONGEST_BODY:
        yield "the body is larger than 3.5 MB"
    if call["path"] != f"{API}/Invoices":
        yield "we write nothing but invoices"
        return
    if call["method"] != "PUT":
        yield "only PUT creates without ever updating (4.1)"
    for name, wanted in (("summarizeErrors", "false"), ("unitdp", "4")):
        if call["query"].get(name) != wanted:
            yield f"{name} is not {wanted}"
    try:
        elements = json.loads(call["request_body"] or "")["Invoices"]
    except (ValueError, KeyError, TypeError):
        yield "the body is not {Invoices: […]}"
        return
    if len(elements) > _MOST_ELEMENTS:
        yield f"{len(elements)} invoices in one call"
    for element in elements:
        yield from (f"{element.get('InvoiceNumber')}: {problem}" for problem in _judge_invoice(element))


def _judge_invoice(element: Json) -> Iterator[str]:
    yield from _too_long(element, _LONGEST)
    if element.get("Type") != "ACCREC":
        yield "Type is not ACCREC"
    if set(element.get("Contact", {})) != {"ContactID"}:
        yield "Contact has more than its ContactID: that would edit the contact (4.2)"
    lines = element.get("LineItems", [])
    if not lines:
        yield "no lines"
    for position, line in enumerate(lines, 1):
        for problem in (*_too_long(line, _LONGEST_OF_LINE), *_judge_line(line)):
            yield f"line {position}: {problem}"


def _judge_line(line: Json) -> Iterator[str]:
    if not line.get("Description"):
        yield "no Description"
    for name in ("LineAmount", "TaxAmount"):
        if name in line:
            yield f"{name} is computed by Xero (4.2)"
    for name in ("Quantity", "UnitAmount"):
        if name not in line:
            yield f"no {name}"
        elif len(str(line[name]).partition(".")[2]) > 4 or "e" in str(line[name]).lower():
            yield f"{name} has more than four decimals"


def _too_long(element: Json, longest: dict[str, int]) -> Iterator[str]:
    for name, most in longest.items():
        # Xero counts like JavaScript does: an emoji is two (10.20, to be on the safe side).
        length = len(str(element.get(name, "")).encode("utf-16-le")) // 2
        if length > most:
            yield f"{name} has {length} characters, more than {most}"


@functools.cache
def load() -> Contract | None:
    """Return the contract of the file, None when there is no file; read once a session."""
    if not SPEC.exists():
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Contract(_mended(yaml.load(SPEC.read_text(encoding="utf-8"), Loader=loader)))


def _mended(value: Any) -> Any:
    """Read the textual booleans of the file as booleans: its only defect as a specification (section 12)."""
    if isinstance(value, dict):
        mended = {name: _mended(inner) for name, inner in value.items()}
        if mended.get("type") == "boolean" and isinstance(mended.get("default"), str):
            mended["default"] = mended["default"] == "true"
        return mended
    return [_mended(inner) for inner in value] if isinstance(value, list) else value

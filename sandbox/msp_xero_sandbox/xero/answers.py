"""Answers as Xero words them: envelopes, refusals, and XML for clients that forget Accept.

Source: xero-api §4.5-4.6, §8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from msp_xero_sandbox.wire import Answer, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON = {"content-type": "application/json; charset=utf-8"}
_XML = {"content-type": "text/xml; charset=utf-8"}
_HTML = {"content-type": "text/html"}
_ERRORS_503 = "The Xero API is temporarily unavailable"


class ApiError(Exception):
    """A call that is refused as a whole, with the answer that says so."""

    def __init__(self, status: int, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def not_found() -> ApiError:
    """Return the refusal of an unknown id: 404 with an empty HTML body."""
    return ApiError(404)


def post_data_invalid(message: str) -> ApiError:
    """Return the refusal of a body that cannot be read."""
    return ApiError(400, {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": message})


def query_parse(message: str) -> ApiError:
    """Return the refusal of a bad ``where`` or ``order``."""
    return ApiError(400, {"ErrorNumber": 16, "Type": "QueryParseException", "Message": message})


def validation(
    elements: list[Any] | None = None, message: str = "A validation exception occurred"
) -> ApiError:
    """Return the refusal of a call because of what it says; nothing of it was saved."""
    body: dict[str, Any] = {"ErrorNumber": 10, "Type": "ValidationException", "Message": message}
    if elements is not None:
        body["Elements"] = elements
    return ApiError(400, body)


def refusal_of(message: str) -> ApiError:
    """Return a refusal whose one element carries the message."""
    return validation([{"ValidationErrors": [{"Message": message}]}])


def payload(body: Mapping[str, Any], *, as_json: bool, status: int = 200, root: str = "Response") -> Answer:
    """Return a body as JSON, or as XML for a client that did not ask for JSON (xero-api §4.1)."""
    if as_json:
        return Answer(status=status, headers=_JSON, body=encode_json(body))
    return Answer(status=status, headers=_XML, body=f"<{root}>{_xml(body)}</{root}>".encode())


def refused(error: ApiError, *, as_json: bool) -> Answer:
    """Return the answer to a refused call."""
    if error.body is None:
        return Answer(status=error.status, headers=_HTML)
    return payload(error.body, as_json=as_json, status=error.status, root="ApiException")


def problem(
    status: int, title: str, detail: str, instance: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return a refusal from in front of the API: authentication and scopes."""
    body: dict[str, Any] = {
        "Type": None,
        "Title": title,
        "Status": status,
        "Detail": detail,
        "Instance": instance,
        "Extensions": {},
    }
    return Answer(status=status, headers={**_JSON, **(headers or {})}, body=encode_json(body))


def server_error(status: int, instance: str) -> Answer:
    """Return the body that comes with an unexpected status."""
    if status == 503:
        return Answer(
            status=503, headers={"content-type": "text/plain; charset=utf-8"}, body=_ERRORS_503.encode()
        )
    if status != 500:
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()
        return Answer(status=status, headers=_HTML, body=page)
    detail = (
        "An error occurred in Xero. Check the API Status page http://status.developer.xero.com "
        "for current service status."
    )
    shown = {"Title": "An error occurred", "Detail": detail, "Status": 500, "Instance": instance}
    return Answer(status=500, headers=_JSON, body=encode_json(shown))


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_element(name, inner) for name, inner in value.items() if inner is not None)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        # Xero's lists are plural around singular: <Contacts><Contact>…
        single = name.removesuffix("es") if name.endswith("sses") else name.removesuffix("s")
        return f"<{name}>{''.join(f'<{single}>{_xml(each)}</{single}>' for each in value)}</{name}>"
    return f"<{name}>{_xml(value)}</{name}>"

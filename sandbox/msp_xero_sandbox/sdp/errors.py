"""Refusals and envelopes: what an answer of the v3 API looks like (sdp-msp-api §7)."""

from __future__ import annotations

from typing import Any

from msp_xero_sandbox.wire import Answer, encode_json

HTTP_STATUS = {
    4001: 400,
    4002: 403,
    4004: 500,
    4005: 400,
    4007: 404,
    4008: 400,
    4009: 400,
    4012: 400,
    4014: 400,
    4015: 429,
    4016: 400,
    4021: 400,
    4022: 401,
    7001: 400,
}
_TEXTS = {
    4001: "Value does not exist, is not in use, or cannot be set.",
    4002: "You are not allowed to do this.",
    4004: "Internal error.",
    4005: "It is referenced elsewhere and cannot be deleted.",
    4007: "Invalid URL or resource not found.",
    4008: "The value is not unique.",
    4009: "The field cannot be edited.",
    4012: "A mandatory field is missing.",
    4014: "The field is read-only.",
    4015: "The API rate limit is reached.",
    4016: "The end time is before the start time.",
    4021: "The value has the wrong type or size.",
    4022: "Invalid API key.",
    7001: "Not allowed by the licence.",
}
SUCCESS = {"status_code": 2000, "status": "success"}
_JSON = {"content-type": "application/json;charset=UTF-8"}
_HTML = {"content-type": "text/html;charset=UTF-8"}
_LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>ManageEngine ServiceDesk Plus - MSP</title></head>"
    '<body><form action="/j_security_check" method="post"><input name="j_username"><input name="j_password" '
    'type="password"><button>Log in</button></form></body></html>'
)
_NOT_FOUND_PAGE = (
    "<!DOCTYPE html><html><head><title>HTTP Status 404</title></head><body>Not Found</body></html>"
)


class Refusal(Exception):
    """A call that the API refuses with one of its codes."""

    def __init__(
        self, code: int, *, field: str | None = None, fields: list[str] | None = None, text: str = ""
    ) -> None:
        super().__init__(code, field, fields, text)
        self.code = code
        self.field = field
        self.fields = fields
        self.text = text or _TEXTS[code]


def success(members: dict[str, Any], status: int = 200) -> Answer:
    """Answer a single, add, edit or delete: ``response_status`` is an object."""
    return Answer(status=status, headers=_JSON, body=encode_json({**members, "response_status": SUCCESS}))


def success_list(key: str, rows: list[dict[str, Any]], list_info: dict[str, Any]) -> Answer:
    """Answer a list: ``response_status`` is an array of one."""
    body = {key: rows, "list_info": list_info, "response_status": [SUCCESS]}
    return Answer(headers=_JSON, body=encode_json(body))


def failure(refusal: Refusal, *, code_at: str = "messages", http_status: str = "real") -> Answer:
    """Answer a refused call."""
    message: dict[str, Any] = {"status_code": refusal.code, "type": "failed", "message": refusal.text}
    if refusal.field is not None:
        message["field"] = refusal.field
    if refusal.fields is not None:
        message["fields"] = refusal.fields
    outer = 4000
    if code_at == "outer":
        outer = message.pop("status_code")
    status = {"status_code": outer, "status": "failed", "messages": [message]}
    return Answer(
        status=200 if http_status == "always_200" else HTTP_STATUS[refusal.code],
        headers=_JSON,
        body=encode_json({"response_status": status}),
    )


def plain_json(value: dict[str, Any]) -> Answer:
    """Answer of the token endpoint, which has no envelope and is always HTTP 200 (§1.2)."""
    return Answer(headers=_JSON, body=encode_json(value))


def login_page() -> Answer:
    """What a browser without a session gets, with HTTP 200."""
    return Answer(headers=_HTML, body=_LOGIN_PAGE.encode())


def not_found_page() -> Answer:
    """What the web server says to a path outside of the API."""
    return Answer(status=404, headers=_HTML, body=_NOT_FOUND_PAGE.encode())

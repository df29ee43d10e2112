"""Recording what a live installation answers, scrubbed, as fixtures that tests can replay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from msp_xero_console.live.shapes import page_kind
from msp_xero_console.scrubbing import Scrubber

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from msp_xero.edges.watching import Exchange

# Of the headers only what a client's behaviour can depend on.
_SENT: Final = ("Accept", "Content-Type", "If-Modified-Since")
_CAME: Final = ("Content-Type", "Retry-After", "X-Rate-Limit-Problem", "WWW-Authenticate")
# What stands before these is the installation's. The first counts: a folder may be called as another.
_BEGINNINGS: Final = ("/api/v3/", "/api.xro/", "/oauth/v2/", "/connect/", "/connections")
# The forms that a client can depend on; a header of any other may say anything.
_FORMS: Final = {
    "Retry-After": re.compile(r"\d{1,6}"),
    "If-Modified-Since": re.compile(
        r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT|\d{4}-\d\d-\d\dT[\d:]{8}"
    ),
    "X-Rate-Limit-Problem": re.compile(r"(app ?)?(minute|day|daily|concurrent)", re.IGNORECASE),
}
_MEDIA: Final = re.compile(
    r"application/(vnd\.manageengine\.sdp\.v3\+|problem\+)?json|application/x-www-form-urlencoded"
    r"|(application|text)/xml|text/(html|plain)|\*/\*"
)
_OTHER: Final = "another value"
_PAGES: Final = {
    "an HTML login page": '<html><form action="j_security_check"><input type="password"></form></html>',
    "an HTML page": "<html><body>a page</body></html>",
}


class Recorder:
    """Writes each exchange that it is shown as one JSON file, with nothing of anybody in it.

    Args:
        folder: where the files go; it is made, and must hold no recording yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scrubber = Scrubber()
        self._count = 0

    def __call__(self, exchange: Exchange) -> None:
        """Write one exchange."""
        self._count += 1
        record = self._record(exchange)
        system = record["system"]
        where = re.sub(r"[^A-Za-z0-9]+", "-", record["request"]["path"]).strip("-")[-60:]
        path = self.folder / f"{self._count:03}-{system}-{exchange.method}-{where}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")

    @property
    def count(self) -> int:
        """How many exchanges were written."""
        return self._count

    def _record(self, exchange: Exchange) -> dict[str, Any]:
        parts = urlsplit(exchange.url)
        path = _below(unquote(parts.path))
        system = "sdp" if path.startswith(("/api/v3", "/oauth")) else "xero"
        query = {
            self._scrubber.parameter_name(key): self._parameter(key, value)
            for key, value in parse_qsl(parts.query)
        }
        return {
            "system": system,
            "request": {
                "method": exchange.method,
                "path": self._scrubber.path(path),
                "query": query,
                "headers": _chosen(exchange.request_headers, _SENT),
                "body": "not kept" if exchange.request_body else None,
            },
            "answer": {
                "status": exchange.status,
                "error": exchange.error or None,
                "headers": self._headers(exchange.headers),
                "body": self._body(exchange.body),
            },
        }

    def _parameter(self, key: str, value: str) -> Any:
        """Scrub one parameter; ``input_data`` is JSON inside."""
        if key == "input_data":
            try:
                return self._scrubber.asked(msgspec.json.decode(value))
            except msgspec.DecodeError:
                return "not JSON"
        return self._scrubber.parameter(key, value)

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        kept = _chosen(headers, _CAME)
        if "WWW-Authenticate" in kept:
            found = re.search(r"insuffici?ent_scope|invalid_token", kept["WWW-Authenticate"])
            kept["WWW-Authenticate"] = f'Bearer error="{found[0]}"' if found else "Bearer"
        if "Location" in headers:
            kept["Location"] = "https://host.example.test/login"
        return kept

    def _body(self, body: bytes) -> Any:
        if not body:
            return None
        try:
            return {"json": self._scrubber.value(msgspec.json.decode(body))}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = page_kind(body)
            return {"text": _PAGES.get(kind, kind)}


def _chosen(headers: Mapping[str, str], wanted: tuple[str, ...]) -> dict[str, str]:
    found = {name.lower(): value for name, value in headers.items()}
    return {name: _plain(name, found[name.lower()]) for name in wanted if name.lower() in found}


def _plain(name: str, value: str) -> str:
    """Return a header's value if it has a form that is known and says nothing of anybody."""
    if name in {"Accept", "Content-Type"}:
        media = value.partition(";")[0].strip()
        return media if _MEDIA.fullmatch(media) else _OTHER
    if name in _FORMS:
        return value if _FORMS[name].fullmatch(value) else _OTHER
    return value  # WWW-Authenticate, of which only a known error is kept


def _below(path: str) -> str:
    """Return a path without what an installation or a proxy has put before it."""
    found = next((path.find(one) for one in _BEGINNINGS if one in path), 0)
    return path[found:]


def new_folder(folder: Path) -> Path:
    """Make the folder of a recording.

    Raises:
        FileExistsError: it holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name a new folder for the recording")
    return folder

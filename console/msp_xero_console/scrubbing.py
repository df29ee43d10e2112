"""Taking out of an answer what is somebody's, and leaving its structure, types and formats.

Whatever is not known to be harmless is replaced: texts by ``Text 7``, addresses by ``person7@example.test``,
hosts, ids, amounts. The same value gets the same replacement everywhere, so that what belongs together
still does. Times, durations and counts stay where the systems have them, and look like them; they are what a
client computes with. Names of members, parameters and parts of paths stay if they are the systems' own.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msp_xero_console.vocabulary import MEMBERS, PARAMETERS, PATHS, is_member

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_URL: Final = re.compile(r"[a-z]{2,6}://\S*", re.IGNORECASE)
_TIME: Final = re.compile(
    r"/Date\(-?\d+([+-]\d{4})?\)/|\d{4}-\d\d-\d\d([T ][\d:.]+(Z|[+-]\d\d:?\d\d)?)?"
    r"|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
)
_AMOUNT: Final = re.compile(r"-?\d+(\.\d+)?")
_TAG: Final = re.compile(r"</?(?:div|p|br|b|i|u|span|ul|ol|li|table|tr|td)\b[^>]*?(/?)>", re.IGNORECASE)
_ID_KEYS: Final = re.compile(r"(^|_)ids?$|IDs?$|Id$")
# Members that a client reads as numbers or times, not as somebody's values.
_COUNTING: Final = frozenset(
    {
        "hours", "minutes", "days", "row_count", "start_index", "end_index", "total_count", "page",
        "pageSize", "pageCount", "itemCount", "status_code", "expires_in", "SortOrder", "ErrorNumber",
        "Status", "stop_timer", "max_length", "unitdp",
    }
)  # fmt: skip
# Words of the two systems themselves; anything else under any member is somebody's.
_WORDS: Final = frozenset(
    """
    success failed warning true false asc desc AND OR and or no Bearer
    string text lookup datetime date boolean integer decimal double html email url phone
    udf_fields account customer worklog id name subject title site requester status
    created_time recorded_time last_updated_time
    Open Closed Resolved Cancelled Completed OK ERROR WARNING ACTIVE ARCHIVED DELETED GDPRREQUEST
    DRAFT SUBMITTED AUTHORISED PAID VOIDED ACCREC ACCPAY Exclusive Inclusive NoTax NONE
    ALLOWED NOT-ALLOWED ORGANISATION POBOX STREET DELIVERY DEFAULT DDI MOBILE FAX OFFICE
    BANK CURRENT CURRLIAB DEPRECIATN DIRECTCOSTS EQUITY EXPENSE FIXED INVENTORY LIABILITY NONCURRENT
    OTHERINCOME OVERHEADS PREPAYMENT REVENUE SALES TERMLIAB PAYG ASSET
    TokenExpired AuthenticationUnsuccessful AuthorizationUnsuccessful Unauthorized Forbidden
    ValidationException QueryParseException PostDataInvalidException
    invalid_code invalid_client invalid_grant invalid_scope unauthorized_client
    """.split()  # noqa: SIM905 - a list of words reads best as words
) | {
    *("is", "is not", "greater than", "greater or equal", "lesser than", "lesser or equal"),
    *("UpdatedDateUTC ASC", "UpdatedDateUTC DESC", "ContactID ASC"),
}
# No count, code or time of a day is longer; a telephone number is.
_COUNT: Final = re.compile(r"\d{1,5}")
_TIMES: Final = frozenset(
    one for one in MEMBERS if re.search(r"time|date|_on$|actual_start|scheduled_start", one, re.IGNORECASE)
)
_SPENT: Final = frozenset({"time_spent", "total_time_spent"})
_EPOCH_MS: Final = range(946_684_800_000, 4_102_444_800_000)
_SOME_EPOCH_MS: Final = "1577923200000"
_COUNTS_END: Final = 100_000
_LONGEST_SPENT: Final = 9


class Scrubber:
    """Replaces what is somebody's; one instance for everything that has to stay consistent."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def value(self, value: Any, key: str = "") -> Any:
        """Return a JSON value without anything of anybody."""
        if isinstance(value, dict):
            # What a "value" is shows in the name around it: total_cost.value, start_time.value.
            return {
                self._key(name): self.value(member, f"{key}.value" if name == "value" else name)
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [self.value(member, key) for member in value]
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._number(value, key)
        return value

    def asked(self, value: Any) -> Any:
        """Return a scrubbed ``input_data``: it holds names of columns, which stay."""
        if isinstance(value, dict) and isinstance(value.get("fields_required"), list):
            columns = [self._key(str(name)) for name in value["fields_required"]]
            rest = {name: member for name, member in value.items() if name != "fields_required"}
            return {**self.asked(rest), "fields_required": columns}
        if isinstance(value, dict):
            return {
                self._key(name): self._key(str(member))
                if name in {"sort_field", "field", "for"}
                else self.asked(member)
                if isinstance(member, (dict, list))
                else self.value(member, name)
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [
                self.asked(member) if isinstance(member, dict) else self.value(member) for member in value
            ]
        return self.value(value)

    def parameter_name(self, name: str) -> str:
        """Return the name of a query parameter."""
        return name if name in PARAMETERS else self._replacement("name", name, "name_{}")

    def parameter(self, key: str, value: str) -> str:
        """Return one query parameter: lists of ids stay lists, filters lose what they name."""
        if key.lower() == "where":
            return "a filter"
        return ",".join(str(self.value(part, key)) for part in value.split(","))

    def path(self, path: str) -> str:
        """Return a path, the ids in it renumbered as they are in bodies."""
        return "/".join(self._part(part) for part in path.split("/"))

    def _part(self, part: str) -> str:
        if not part or part in PATHS:
            return part
        if _UUID.fullmatch(part) or (part.isascii() and part.isdigit()):
            return self._text(part, "id")
        return self._replacement("name", part, "name_{}")

    def _key(self, name: str) -> str:
        return name if is_member(name) else self._replacement("name", name, "name_{}")

    def _text(self, value: str, key: str) -> str:  # noqa: PLR0911 - one return a kind of text
        if not value or value in _WORDS:
            return value
        if _EMAIL.fullmatch(value):
            return self._replacement("email", value, "person{}@example.test")
        if _UUID.fullmatch(value):
            return self._uuid(value)
        if _URL.fullmatch(value):
            return self._replacement("url", value, "https://host{}.example.test/")
        if value.isascii() and value.isdigit():
            return self._digits(value, key)
        if _AMOUNT.fullmatch(value):
            return re.sub(r"\d", "1", value)
        if key == "display_value":
            return re.sub(r"\d", "1", re.sub(r"[^\W\d_]", "x", value))
        if _TIME.fullmatch(value):
            return value if key.removesuffix(".value") in _TIMES else _some_time(value)
        if _TAG.search(value):
            bare = _TAG.sub("", value)
            return (
                f"<div>{self._replacement('text', bare, 'Text {}')}</div>" if bare.strip() else "<div></div>"
            )
        return self._replacement("text", value, "Text {}")

    def _digits(self, value: str, key: str) -> str:
        """Renumber an id, keep what is counted, and hide any other number (a phone, a postal code)."""
        if _ID_KEYS.search(key):
            number, width = int(self._replacement("id", value, "{}")), len(value)
            while number >= 9 * 10 ** (width - 1):
                width += 1
            return str(10 ** (width - 1) + number)
        if key in _COUNTING and _COUNT.fullmatch(value):
            return value
        around = key.removesuffix(".value")
        if around != key and around in _SPENT and len(value) <= _LONGEST_SPENT:
            return value
        if around != key and len(value) == len(_SOME_EPOCH_MS) and int(value) in _EPOCH_MS:
            return value if around in _TIMES else _SOME_EPOCH_MS
        return "1" * len(value)

    def _number(self, value: float, key: str) -> float:
        if value == 0 or (key in _COUNTING and abs(value) < _COUNTS_END):
            return value
        if _ID_KEYS.search(key) and isinstance(value, int):
            return int(self._digits(str(value), "id"))
        return 1 if isinstance(value, int) else 1.5

    def _uuid(self, value: str) -> str:
        number = int(self._replacement("uuid", value.lower(), "{}"))
        return f"00000000-0000-4000-8000-{number:012}" if int(value.replace("-", ""), 16) else value

    def _replacement(self, kind: str, value: str, pattern: str) -> str:
        known = self._known.get((kind, value))
        if known is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._known[kind, value] = pattern.format(self._counts[kind])
        return known


def _some_time(value: str) -> str:
    """Return another time of the same format: under a name that is no time's it may be a birthday."""
    if value.startswith("/Date("):
        return "/Date(1577923200000+0000)/" if re.search(r"[+-]\d{4}\)", value) else "/Date(1577923200000)/"
    if value.endswith("GMT"):
        return "Thu, 02 Jan 2020 00:00:00 GMT"
    return "2020-01-02" + re.sub(r"\d", "0", value[10:])

"""Settings of the directory: how names are matched and what may be written."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from singer_sdk import typing as th

from msp_xero.directory.match import EXACT, MODES
from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNMATCHED: Final = ("create_after_first_sync", "list", "create")
_PLACES: Final = ("name", "slug", "contact_id")
_TEMPLATE_EXAMPLE: Final = "{slug}.desk.example.com"
_NOT_IN_SLUG: Final = re.compile(r"[^a-z0-9]+")
_LOGIN_URL_FIELD: Final = {"onprem": "login_url", "cloud": "domain"}
_FIELD_PATH: Final = re.compile(r"(?:\w+\.)?\w+")

DIRECTORY: Final[tuple[th.Property[Any], ...]] = (
    th.Property(
        "accounts_enabled",
        th.BooleanType,
        default=True,
        title="Accounts enabled",
        description="`false` switches the job `accounts` off: nothing is written and no bookmark moves. "
        "Example: `false`.",
    ),
    th.Property(
        "worklog_types_enabled",
        th.BooleanType,
        default=True,
        title="Worklog types enabled",
        description="`false` switches the job `worklog-types` off: nothing is written and no bookmark moves. "
        "Example: `false`.",
    ),
    th.Property(
        "match_names",
        th.StringType,
        default=EXACT,
        allowed_values=list(MODES),
        title="Match names",
        description="When a name on both sides means the same: `exact`, or `normalised`, which also looks "
        "past case, spaces and punctuation. A name that fits twice is never guessed. Example: `normalised`.",
    ),
    th.Property(
        "unmatched_contacts",
        th.StringType,
        default=UNMATCHED[0],
        allowed_values=list(UNMATCHED),
        title="Unmatched contacts",
        description="What happens with a contact that no account is called like. `create_after_first_sync`: "
        "those of the first sync wait on the unmapped list, later new ones become accounts. `list`: all "
        "wait. `create`: all become accounts. Example: `list`.",
    ),
    th.Property(
        "login_url_template",
        th.StringType,
        title="Login URL template",
        description="Login URL of a new account, which ServiceDesk Plus MSP may demand. `{name}`, `{slug}` "
        "(the name in a-z, 0-9 and hyphens) and `{contact_id}` are filled in. "
        "Example: `{slug}.desk.example.com`.",
    ),
    th.Property(
        "login_url_field",
        th.StringType,
        title="Login URL field",
        description="Name of the account field that holds the login URL; it differs between builds. "
        "Default: login_url (onprem) or domain (cloud). Example: `login_url`.",
    ),
    th.Property(
        "write_link_to",
        th.StringType,
        title="Write link to",
        description="Account field that receives the Xero ContactID; off when not set. "
        "Example: `udf_fields.udf_sline_101`.",
    ),
    th.Property(
        "dry_run",
        th.BooleanType,
        default=False,
        title="Dry run",
        description="`true` reports what would be linked and written, and does neither. Records are still "
        "stored in the ledger, so that a later run acts on them. Example: `true`.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePolicy:
    """How items become worklog types."""

    match_names: str = EXACT
    dry_run: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the settings of a plugin; other settings are ignored."""
        return cls(match_names=_chosen(config, "match_names", MODES), dry_run=bool(config.get("dry_run")))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """How contacts become accounts; see :data:`DIRECTORY` for the meaning of the settings."""

    match_names: str = EXACT
    unmatched_contacts: str = UNMATCHED[0]
    login_url_template: str | None = None
    login_url_field: str = _LOGIN_URL_FIELD["onprem"]
    write_link_to: str | None = None
    dry_run: bool = False
    is_cloud: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Check the settings of a plugin; other settings are ignored.

        Raises:
            SettingError: a setting is wrong; it names the setting and gives an example.
        """
        edition = "cloud" if config.get("edition") == "cloud" else "onprem"
        login_url_field = _field("login_url_field", config.get("login_url_field"), "login_url")
        return cls(
            match_names=_chosen(config, "match_names", MODES),
            unmatched_contacts=_chosen(config, "unmatched_contacts", UNMATCHED),
            login_url_template=_template(config.get("login_url_template")),
            login_url_field=login_url_field or _LOGIN_URL_FIELD[edition],
            write_link_to=_field("write_link_to", config.get("write_link_to"), "udf_fields.udf_sline_101"),
            dry_run=bool(config.get("dry_run")),
            is_cloud=edition == "cloud",
        )

    def provider(self, path: str) -> str:
        """Say which setting gives a field of new accounts its value."""
        if path == self.login_url_field:
            return "set login_url_template"
        return f"map {path} in account_fields"

    def login_url(self, *, name: str, contact_id: str) -> str | None:
        """Return the login URL of a new account, None when no template is set."""
        if self.login_url_template is None:
            return None
        return self.login_url_template.format(name=name, slug=slug(name, contact_id), contact_id=contact_id)


def slug(name: str, fallback: str) -> str:
    """Return a name in a-z, 0-9 and hyphens; of a name without any such letter the fallback's."""
    for text in (name, fallback):
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        if letters := _NOT_IN_SLUG.sub("-", plain).strip("-"):
            return letters
    return "account"


def _chosen(config: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = config.get(name) or allowed[0]
    if value not in allowed:
        raise SettingError(name, f"must be one of {', '.join(allowed)}", allowed[0])
    return str(value)


def _template(value: object) -> str | None:
    if value in (None, ""):
        return None
    known = ", ".join(f"{{{place}}}" for place in _PLACES)
    problem = SettingError("login_url_template", f"may hold {known} and no other braces", _TEMPLATE_EXAMPLE)
    if not isinstance(value, str):
        raise problem
    try:
        parts = list(string.Formatter().parse(value))
    except ValueError:
        raise problem from None
    if any(place is not None and (place not in _PLACES or layout or how) for _, place, layout, how in parts):
        raise problem
    return value


def _field(name: str, value: object, example: str) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not _FIELD_PATH.fullmatch(value):
        raise SettingError(name, "must be the name of an account field", example)
    return value

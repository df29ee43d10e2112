"""The additional fields of accounts: do those exist that the settings name, and is none missing?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero.directory.fields import CUSTOM, AccountFields
from msp_xero.directory.settings import AccountPolicy
from msp_xero.errors import MspXeroError

from msp_xero_console.checks.finding import FAILED, OK, WARNING, Finding
from msp_xero_console.words import plural, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msp_xero.sdp import SdpClient

    from msp_xero_console.checks.scene import Scene

_TARGET = "target-msp-sdp"
_SUBJECT = "account fields"


def account_fields(scene: Scene, client: SdpClient) -> Iterator[Finding]:
    """Compare the fields that the settings write with those that the installation has."""
    try:
        settings = AccountPolicy.from_config(scene.project.config(_TARGET))
        told = client.account_metainfo()
    except MspXeroError as error:
        yield Finding(
            _SUBJECT,
            WARNING,
            f"the installation does not tell them ({error})",
            "Fields are then written untested; a refused one is told by `msp-xero accounts list`.",
        )
        return
    fields = AccountFields.from_metainfo(told)
    written = [*(scene.project.account_fields or {})]
    written += [settings.write_link_to] if settings.write_link_to else []
    if fields.known is None:
        yield Finding(_SUBJECT, OK, "the installation tells none")
        return
    if faults := fields.faults(written):
        seen = "; ".join(f"{path} {fault}" for path, fault in sorted(faults.items()))
        custom = ", ".join(sorted(name for name in fields.known if name.startswith(f"{CUSTOM}.")))
        advice = f"Correct account_fields or write_link_to. Additional fields here: {custom or 'none'}."
        yield Finding(_SUBJECT, FAILED, seen, advice)
    else:
        custom_count = sum(name.startswith(f"{CUSTOM}.") for name in fields.known)
        seen = f"{plural(len(fields.known), 'field')}, {custom_count} of them additional"
        yield Finding(_SUBJECT, OK, f"{seen}; all that are written exist" if written else seen)
    login = settings.login_url_field if settings.login_url_template else None
    lacking = [name for name in mandatory(told) if name not in {"name", login, *written}]
    if lacking and settings.unmatched_contacts != "list":
        names = ", ".join(text(name) for name in lacking)
        advice = "Map them in account_fields"
        if settings.login_url_field in lacking:
            advice = f"Set login_url_template for {settings.login_url_field}; map others in account_fields"
        yield Finding(
            "new accounts",
            WARNING,
            f"they need {names}, which nothing gives",
            f"{advice}, or make new accounts by hand (unmatched_contacts: list).",
        )


def mandatory(told: Mapping[str, Any]) -> list[str]:
    """Return the paths of the fields without which no account can be made."""
    inner = told.get("metainfo")
    members = (inner if isinstance(inner, dict) else told).get("fields")
    found = []
    for name, field in (members if isinstance(members, dict) else {}).items():
        inside = field.get("fields") if isinstance(field, dict) else None
        if isinstance(inside, dict):
            found += [f"{CUSTOM}.{custom}" for custom, one in inside.items() if _must(one)]
        elif _must(field):
            found.append(str(name))
    return found


def _must(field: object) -> bool:
    return isinstance(field, dict) and str(field.get("mandatory")).lower() == "true"

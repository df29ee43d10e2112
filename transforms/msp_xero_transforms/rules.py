"""The configuration as the steps use it: checked once, compiled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from msp_xero.errors import SettingError
from msp_xero.singer.settings import check_settings

from msp_xero_transforms.settings import CONFIG_JSONSCHEMA, MODULES
from msp_xero_transforms.steps.account_fields import AccountField, compile_fields
from msp_xero_transforms.steps.describe import DescriptionTemplate, compile_template

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the steps do, as the settings say; see ``settings.py`` for each of them."""

    contacts: str
    account_fields: tuple[AccountField, ...]
    type_name_from: str
    modules: frozenset[str]
    exclude_non_billable: bool
    default_worklog_type: str | None
    rate_source: str
    additional_cost_path: tuple[str, ...] | None
    time_zone: ZoneInfo
    description_template: DescriptionTemplate
    ledger_url: str | None
    connection: str


def read_rules(config: Mapping[str, Any]) -> Rules:
    """Check a configuration and compile it.

    Raises:
        SettingError: naming the setting, what is wrong with it, and an example.
    """
    check_settings(config, CONFIG_JSONSCHEMA)
    settings = {
        name: setting.get("default") if config.get(name) is None else config[name]
        for name, setting in CONFIG_JSONSCHEMA["properties"].items()
    }
    return Rules(
        contacts=settings["contacts"],
        account_fields=compile_fields(settings["account_fields"]),
        type_name_from=settings["type_name_from"],
        modules=frozenset(MODULES[name] for name in settings["modules"]),
        exclude_non_billable=settings["exclude_non_billable"],
        default_worklog_type=_text(settings, "default_worklog_type"),
        rate_source=settings["rate_source"],
        additional_cost_path=_additional_cost_path(settings),
        time_zone=_time_zone(settings["time_zone"]),
        description_template=compile_template(settings["description_template"]),
        ledger_url=_text(settings, "ledger_url"),
        connection=_text(settings, "connection") or "default",
    )


def _text(settings: Mapping[str, Any], name: str) -> str | None:
    return (settings[name] or "").strip() or None


def _time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # An unknown name is a KeyError, a path outside the database a ValueError, a folder an OSError.
    except (KeyError, ValueError, OSError):
        raise SettingError(
            "time_zone", "is not the name of a time zone in the IANA database", "Pacific/Auckland"
        ) from None


def _additional_cost_path(settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return where the additional cost stands, or None when it is not to be billed."""
    if not settings["include_additional_cost"]:
        return None
    if settings["rate_source"] != "worklog_charge":
        raise SettingError(
            "include_additional_cost",
            "adds to the worklog's charge, so it needs rate_source: worklog_charge",
            "false",
        )
    setting, example = "additional_cost_field", "extra.additional_costs.amount"
    path = tuple((_text(settings, setting) or "").split("."))
    if path == ("",):
        raise SettingError(setting, "is needed when include_additional_cost is true", example)
    if path[0] not in {"extra", "udf_fields"} or len(path) < 2 or "" in path:
        raise SettingError(setting, "must be a path that starts with extra or udf_fields", example)
    return path

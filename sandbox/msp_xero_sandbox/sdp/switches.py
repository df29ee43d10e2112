"""What the documentation leaves open, as switches: ``--set sdp.<name>=<value>``.

Sections are those of the fact sheet sdp-msp-api. The first value is the default.

===================== ============================= ==========================================================
name                  values                        meaning
===================== ============================= ==========================================================
dialect               auto new legacy cloud         auto: cloud under ``/app/<portal>`` or with a Zoho token,
                                                    else new or legacy by the ``Accept`` header (§1.1, §3.2)
context_path          text ("")                     a prefix before every path, such as ``/sdp`` (§1.1)
authtoken             text (sandbox-authtoken)      key of the administrator (§1.1)
limited_token         text (sandbox-limited-token)  key of a technician who sees every second account, no
                                                    costs, and may not change setup (§1.1)
portal_id             text ("")                     when set, on-premises calls need this ``PORTALID`` (§1.1)
login_page            off on                        on: no key at all gets an HTML login page, HTTP 200 (§7)
client_id             text (sandbox-client)         what the cloud's token endpoint expects (§1.2)
client_secret         text (sandbox-secret)         the same
refresh_token         text (sandbox-refresh)        the same
token_seconds         number (3600)                 life of a cloud access token (§1.2)
tokens_per_minute     number (5)                    more gets "too many requests", HTTP 200 (§1.2); 0: no
                                                    limit
requests_per_minute   number (0)                    throttle, 429 and 4015 (§7); 0: off
retry_after           on off                        whether a throttled answer says when to come back (§7)
error_code_at         messages outer                where the specific code stands in a failure (§7)
http_status           real always_200               always_200: failures come with HTTP 200 (§7)
created_status        200 201                       HTTP status of a successful add (§3.4)
row_count_over        clamp error                   what a row_count above 100 gets (§2)
unknown_column        ignore error                  what an unknown name in fields_required gets (§2)
columns_from          both list_info                list_info: fields_required is only read inside it (§2)
last_updated_on       modules (requests)            where last_updated_time exists, sorts and filters (§4)
account_on            modules (all five)            where the member ``account`` exists (§3.6)
site_account          on off                        ``site`` has its ``account`` (§3.6)
requester_account     on off                        requesters have their ``account`` (§3.6)
account_columns       panel all                     default columns of an account list (§5.1)
account_udf_container udf_fields accountudf_fields  name of the custom fields of accounts (§5.1)
udf_mandatory         off on                        on: udf_sline_102 of accounts is mandatory (§5.1)
login_url_mandatory   on off                        adding an account needs a login URL (§5.1)
login_url_field       text (login_url)              how that field is spelt in v3 (§5.1)
account_names         insensitive sensitive         whether two names differing in case are duplicates (§5.1)
worklog_types_path    on off                        off: 4007 (§6)
worklog_types_write   on off                        off: 4002 (§6)
inactive_types        listed hidden                 hidden: only with include_inactive_value (§6)
cost_visible          on off null                   costs of worklogs are there, absent or null (§0.10)
cost_shape            text object                   cloud charges as ``"15.00"`` or ``{"value": …}`` (§3.2)
legacy_time_spent     object milliseconds           shape of total_time_spent, which nobody recorded (§3.2)
legacy_created        created_time recorded_time    name of the creation stamp in the legacy dialect (§3.2)
zero_minutes          allow deny                    "allow null time entry" (§3.2)
worklogs_list         off on                        the global list ``GET worklogs``; off: 4007 (§3.1)
worklog_search        on off                        off: worklog lists refuse search_criteria (§3.5)
tasks_list            complete general_only off     what the global list ``GET tasks`` shows (§4)
task_worklogs         general all off               which tasks serve ``tasks/{id}/worklogs`` (§3.1)
project_tasks         direct all                    all: ``projects/{id}/tasks`` has the milestones' tasks too
                                                    (§3.1)
archived_requests     gone by_id                    whether an archived request can still be read by id (§4)
bump_parent           on off                        a worklog written moves its parents' last_updated_time
                                                    (§4)
ids                   global per_module             worklog ids unique over modules; setting it resets (§11)
===================== ============================= ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MODULES = ("requests", "problems", "changes", "projects", "tasks")

_ON_OFF = ("on", "off")
_OFF_ON = ("off", "on")
_CHOICES: dict[str, tuple[str, ...]] = {
    "dialect": ("auto", "new", "legacy", "cloud"),
    "login_page": _OFF_ON,
    "retry_after": _ON_OFF,
    "error_code_at": ("messages", "outer"),
    "http_status": ("real", "always_200"),
    "created_status": ("200", "201"),
    "row_count_over": ("clamp", "error"),
    "unknown_column": ("ignore", "error"),
    "columns_from": ("both", "list_info"),
    "site_account": _ON_OFF,
    "requester_account": _ON_OFF,
    "account_columns": ("panel", "all"),
    "account_udf_container": ("udf_fields", "accountudf_fields"),
    "udf_mandatory": _OFF_ON,
    "login_url_mandatory": _ON_OFF,
    "account_names": ("insensitive", "sensitive"),
    "worklog_types_path": _ON_OFF,
    "worklog_types_write": _ON_OFF,
    "inactive_types": ("listed", "hidden"),
    "cost_visible": ("on", "off", "null"),
    "cost_shape": ("text", "object"),
    "legacy_time_spent": ("object", "milliseconds"),
    "legacy_created": ("created_time", "recorded_time"),
    "zero_minutes": ("allow", "deny"),
    "worklogs_list": _OFF_ON,
    "worklog_search": _ON_OFF,
    "tasks_list": ("complete", "general_only", "off"),
    "task_worklogs": ("general", "all", "off"),
    "project_tasks": ("direct", "all"),
    "archived_requests": ("gone", "by_id"),
    "bump_parent": _ON_OFF,
    "ids": ("global", "per_module"),
}
_TEXTS = {
    "context_path": "",
    "authtoken": "sandbox-authtoken",
    "limited_token": "sandbox-limited-token",
    "portal_id": "",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "refresh_token": "sandbox-refresh",
    "login_url_field": "login_url",
}
_NUMBERS = {"token_seconds": "3600", "tokens_per_minute": "5", "requests_per_minute": "0"}
_MODULE_LISTS = {"last_updated_on": "requests", "account_on": ",".join(MODULES)}


class Switches:
    """The switches of one simulated installation, with their defaults and checks."""

    def __init__(self, initial: Mapping[str, str]) -> None:
        self._values = {
            **{name: choices[0] for name, choices in _CHOICES.items()},
            **_TEXTS,
            **_NUMBERS,
            **_MODULE_LISTS,
        }
        self.version = 0
        for name, value in initial.items():
            self.set(name, value)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def is_on(self, name: str) -> bool:
        """Whether an on-off switch is on."""
        return self._values[name] == "on"

    def number(self, name: str) -> int:
        """The value of a numeric switch."""
        return int(self._values[name])

    def modules(self, name: str) -> frozenset[str]:
        """The modules a list switch names."""
        return frozenset(self._values[name].split(","))

    def as_dict(self) -> dict[str, str]:
        """All values by name."""
        return dict(self._values)

    def set(self, name: str, value: str) -> None:
        """Set one switch.

        Raises:
            ValueError: The switch or the value does not exist; says which would.
        """
        if name not in self._values:
            raise ValueError(f"sdp has no switch {name!r}; it has {_listed(sorted(self._values))}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"sdp.{name} is one of {_listed(_CHOICES[name])}, not {value!r}")
        if name in _NUMBERS and not (value.isascii() and value.isdecimal()):
            raise ValueError(f"sdp.{name} is a whole number of 0 or more, not {value!r}")
        if name in _MODULE_LISTS:
            value = _module_list(name, value)
        self._values[name] = value
        self.version += 1


def _module_list(name: str, value: str) -> str:
    if value == "all":
        return ",".join(MODULES)
    if value == "none":
        return ""
    chosen = [part.strip() for part in value.split(",")]
    if not set(chosen) <= set(MODULES):
        raise ValueError(
            f"sdp.{name} is all, none, or some of {_listed(MODULES)} with commas between, not {value!r}"
        )
    return ",".join(chosen)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)

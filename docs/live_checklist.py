"""Which probe settles which switch of the sandbox; ``docs/live-checklist.md`` is written from it.

The probes are the product's, the switches the sandbox's, and neither knows the other: here they meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero_console.live import PROBES

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLES: dict[str, tuple[str, ...]] = {
    # ServiceDesk Plus MSP
    "sdp-global-worklogs": ("sdp.worklogs_list",),
    "sdp-worklog-row": ("sdp.dialect", "sdp.cost_visible", "sdp.cost_shape"),
    "sdp-worklog-legacy": ("sdp.legacy_time_spent", "sdp.legacy_created"),
    "sdp-worklog-search": ("sdp.worklog_search",),
    "sdp-worklog-metainfo": (),
    "sdp-worklog-ids": ("sdp.ids",),
    "sdp-task-worklogs": ("sdp.task_worklogs",),
    "sdp-accounts": ("sdp.account_columns",),
    "sdp-account-fields": (
        "sdp.account_udf_container",
        "sdp.udf_mandatory",
        "sdp.login_url_mandatory",
        "sdp.login_url_field",
    ),
    "sdp-worklog-types": ("sdp.worklog_types_path", "sdp.inactive_types"),
    "sdp-rights": ("sdp.worklog_types_write",),
    "sdp-account-of-parents": ("sdp.account_on", "sdp.site_account", "sdp.requester_account"),
    "sdp-last-updated": ("sdp.last_updated_on",),
    "sdp-tasks-list": ("sdp.tasks_list",),
    "sdp-project-tasks": ("sdp.project_tasks",),
    "sdp-releases": (),
    "sdp-row-count": ("sdp.row_count_over",),
    "sdp-columns": ("sdp.unknown_column", "sdp.columns_from"),
    "sdp-refused-key": ("sdp.login_page",),
    "sdp-refusals": ("sdp.error_code_at", "sdp.http_status"),
    "sdp-portal": ("sdp.portal_id", "sdp.context_path"),
    "sdp-throttle": ("sdp.requests_per_minute", "sdp.retry_after"),
    "sdp-bump-parent": ("sdp.bump_parent",),
    "sdp-archived": ("sdp.archived_requests",),
    "sdp-new-account": ("sdp.account_names", "sdp.created_status"),
    "sdp-new-worklog": ("sdp.zero_minutes",),
    "sdp-cloud": ("sdp.token_seconds", "sdp.tokens_per_minute"),
    # Xero
    "xero-connections": ("xero.custom_connections_listed",),
    "xero-organisation": (),
    "xero-limits": (
        "xero.day_limit",
        "xero.minute_limit",
        "xero.concurrent_limit",
        "xero.app_minute_limit",
        "xero.rate_window",
        "xero.rate_problem_case",
    ),
    "xero-not-modified": ("xero.not_modified",),
    "xero-null-guard": ("xero.null_guard",),
    "xero-number-case": ("xero.number_case_sensitive",),
    "xero-paging": (),
    "xero-zero-lines": ("xero.zero_lines_lose_codes",),
    "xero-contact-names": ("xero.unique_contact_names",),
    "xero-missing-scope": ("xero.insufficient_scope", "xero.items_write_scope"),
    "xero-missing-row": (),
    "xero-wrong-secret": ("xero.invalid_client_status",),
    "xero-idempotency": (
        "xero.key_scope",
        "xero.key_conflict_shape",
        "xero.key_caches_rejections",
        "xero.key_store",
    ),
    "xero-lists-lag": ("xero.lists_lag_seconds",),
    "xero-invoice-rules": (
        "xero.quantity_places",
        "xero.supplied_total",
        "xero.unknown_account_on_draft",
        "xero.tracking_unknown",
        "xero.lock_dates_on_drafts",
        "xero.negative_total",
    ),
    "xero-error-shapes": ("xero.line_errors_at", "xero.elements_echo"),
    "xero-archived-contact": ("xero.archived_text", "xero.archived_at", "xero.unarchive"),
    "xero-first-invoice": ("xero.customer_on_draft",),
    "xero-plan": ("xero.approve_limit", "xero.email_day_limit", "xero.max_request_bytes"),
    "xero-second-login": (),
}

# Switches that are no open question: they choose a situation whose behaviour is documented.
NO_QUESTIONS: dict[str, str] = {
    "sdp.authtoken": "the administrator's key",
    "sdp.limited_token": "the key of a technician who sees less",
    "sdp.client_id": "the cloud's credentials",
    "sdp.client_secret": "the cloud's credentials",
    "sdp.refresh_token": "the cloud's credentials",
    "xero.token_seconds": "documented: 1800",
    "xero.refresh_grace_seconds": "documented: 30 minutes",
    "xero.key_seconds": "documented: 6 minutes",
    "xero.granted_scopes": "what the connection was granted",
    "xero.consent": "what the user does",
    "xero.extra_tenants": "how many organisations the user has",
    "xero.redirect_addresses": "which addresses the app was registered with",
    "xero.consent_refusals": "where a refused consent is shown; a login ends or times out, in one sentence",
    "xero.scope_left_out": "what a Custom Connection without `scopes` gets; set `scopes` where it is refused",
    "xero.loopback_ip_redirect": "documented: http://127.0.0.1 is refused; `localhost` is used",
}

_INTRODUCTION = """# Live checklist

There is no live Xero and no live ServiceDesk Plus MSP behind the tests of this project: they run against
the [sandbox](../sandbox/README.md). Where the documentation of either system leaves something open, the
sandbox has a switch, and the tests pass with either answer. This page lists every open question, the switch
that stands for it, and the probe that settles it on a live system. Generated from the code by `make docs`.

```
msp-xero doctor --live-checklist report.md
```
asks everything that can be asked without writing, in a minute or two: about 140 reads of ServiceDesk Plus
and 20 of Xero. The report holds HTTP statuses, names of members, types and counts. It holds no values, names,
texts, ids or hosts, so that it can be pasted into an issue; read it once before you do. With `--record DIR`
every call and its answer are saved too, scrubbed, as fixtures: a folder of them that is put into
`tests/recorded/` is replayed by a test.

Questions without a probe take a person and, best, a test installation or a Xero Demo Company; the steps stand
in the last column. Sections are those of the fact sheets that the code names.
"""


def live_checklist_markdown() -> str:
    """Return ``docs/live-checklist.md``."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for system, prefix in (("ServiceDesk Plus MSP", "sdp-"), ("Xero", "xero-")):
        for title, automatic in ((f"{system}: asked by the command", True), (f"{system}: by hand", False)):
            yield f"## {title}"
            yield ""
            yield "| probe | section | question | switches | by hand |"
            yield "| --- | --- | --- | --- | --- |"
            for probe in PROBES:
                if probe.name.startswith(prefix) and (probe.run is not None) is automatic:
                    switches = ", ".join(f"`{name}`" for name in SETTLES.get(probe.name, ())) or "none"
                    cells = (f"`{probe.name}`", probe.section, probe.question, switches, probe.steps)
                    yield f"| {' | '.join(cells)} |"
            yield ""
    yield "## Switches that are no questions"
    yield ""
    yield "| switch | what it is |"
    yield "| --- | --- |"
    for name, reason in NO_QUESTIONS.items():
        yield f"| `{name}` | {reason} |"

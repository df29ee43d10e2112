"""What worklogs show to this key, and whether there is a list of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msp_xero.errors import Missing
from msp_xero.sdp import read_worklog
from msp_xero.sdp.dialects import whole

from msp_xero_console.checks.finding import FAILED, OK, Finding
from msp_xero_console.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero.sdp import SdpClient

    from msp_xero_console.checks.scene import Scene

_ROWS: Final = 10


def some_worklogs(client: SdpClient, most: int = _ROWS) -> list[tuple[str, dict[str, Any]]]:
    """Return a few worklog rows as they come, each with its parent's path: those of the newest requests."""
    newest = {"row_count": _ROWS, "start_index": 1, "sort_field": "id", "sort_order": "desc"}
    answer = client.probe("requests", {"list_info": newest})
    found = []
    for row in answer.payload.get("requests") or []:
        identity = whole(row.get("id")) if isinstance(row, dict) else None
        if identity is None:
            continue
        path = f"requests/{identity}"
        page = client.probe(f"{path}/worklogs", {"list_info": {"row_count": _ROWS, "start_index": 1}})
        rows = page.payload.get("worklogs") or []
        found += [(path, one) for one in rows if isinstance(one, dict)]
        if len(found) >= most:
            break
    return found


def costs(scene: Scene, client: SdpClient) -> Iterator[Finding]:
    """Check that the key sees costs, where the settings bill them."""
    subject = "costs of worklogs"
    needed = scene.project.mapping.get("rate_source") == "worklog_charge"
    rows = some_worklogs(client)
    if not rows:
        yield Finding(subject, OK, "the newest requests have no worklog, so none was seen")
        return
    visible = sum(read_worklog(row)["total_cost"] is not None for _, row in rows)
    of_all = f"{visible} of {plural(len(rows), 'worklog')} show what they cost"
    if visible:
        yield Finding(subject, OK, of_all)
    elif needed:
        yield Finding(
            subject,
            FAILED,
            f"{of_all}, and rate_source bills the charge of a worklog: all would be held",
            "Let the key's technician view the cost per hour, or set rate_source to item_price.",
        )
    else:
        yield Finding(
            subject, OK, f"{of_all}; they are not needed, hours are billed at the price of the item"
        )


def global_list(client: SdpClient) -> Finding:
    """Say whether there is a list of all worklogs; nothing depends on it."""
    subject = "list of all worklogs"
    probed = client.probe("worklogs", {"list_info": {"row_count": 1, "start_index": 1}})
    if probed.error is None:
        return Finding(subject, OK, "there is one; worklogs are read below their parents all the same")
    if isinstance(probed.error, Missing):
        return Finding(subject, OK, "there is none, as expected; worklogs are read below their parents")
    return Finding(
        subject, OK, f"it cannot be read ({probed.error.problem}); worklogs are read below their parents"
    )

"""Tracking of a line: at most two pairs of category and option (xero-api §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msp_xero_sandbox.xero.rows import Row
    from msp_xero_sandbox.xero.state import State

_MOST = 2


def read_tracking(given: Any, state: State, errors: list[str]) -> list[Row]:
    """Return the stored pairs of the submitted ones; what is unknown is an error or ignored, by a switch."""
    if len(given) > _MOST:
        errors.append(f"A line item can have at most {_MOST} tracking categories.")
    stored = []
    for pair in given:
        found = _found(pair, state)
        if found is not None:
            stored.append(found)
        elif state.switches.tracking_unknown == "error":
            errors.append(
                f"The tracking category or option '{pair.get('Name')}: {pair.get('Option')}' does not exist."
            )
    return stored


def _found(pair: Row, state: State) -> Row | None:
    for category in state.rows.tracking_categories.values():
        if (
            pair.get("TrackingCategoryID") != category["TrackingCategoryID"]
            and pair.get("Name") != category["Name"]
        ):
            continue
        if category.get("Status", "ACTIVE") != "ACTIVE":
            return None
        for option in category.get("Options", ()):
            named = (
                pair.get("Option") == option["Name"]
                or pair.get("TrackingOptionID") == option["TrackingOptionID"]
            )
            if named and option.get("Status", "ACTIVE") == "ACTIVE":
                return {
                    "Name": category["Name"],
                    "Option": option["Name"],
                    "TrackingCategoryID": category["TrackingCategoryID"],
                    "TrackingOptionID": option["TrackingOptionID"],
                }
    return None

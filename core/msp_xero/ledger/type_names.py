"""Which item a worklog type means that is known by its name only, as the default worklog type is."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from msp_xero.ledger.planning import type_links
from msp_xero.ledger.type_choices import ignored_types, listed_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msp_xero.ledger.models import SdpEntry, WorklogTypeLink
    from msp_xero.ledger.store import Ledger

_MOST_NAMED: Final = 20


class TypeNames:
    """Finds items by the name of a worklog type.

    The name of a linked type counts first, then an item's name, then its code. An item that is not
    in Xero any more counts only where no other has the name.
    """

    def __init__(self, rows: Iterable[WorklogTypeLink]) -> None:
        self._by_type: defaultdict[str, list[WorklogTypeLink]] = defaultdict(list)
        self._by_name: defaultdict[str, list[WorklogTypeLink]] = defaultdict(list)
        self._by_code: defaultdict[str, list[WorklogTypeLink]] = defaultdict(list)
        for row in rows:
            if row.type_id is not None and row.type_name:
                self._by_type[row.type_name].append(row)
            self._by_name[row.name].append(row)
            self._by_code[row.item_code].append(row)

    def __iter__(self) -> Iterator[str]:
        """Yield every name that finds something."""
        yield from {**self._by_type, **self._by_name, **self._by_code}

    def find(self, name: str) -> list[WorklogTypeLink]:
        """Return the items that a name can mean: one is certain, several are never chosen from."""
        for names in (self._by_type, self._by_name, self._by_code):
            if found := names.get(name):
                return [row for row in found if row.gone_at is None] or found
        return []


def default_type_problem(ledger: Ledger, name: str) -> str | None:
    """Say why worklogs cannot take this type by default; None when they can, or nobody can tell yet.

    Before the first sync of worklog types nothing is known: such worklogs are held then, and go out
    once the types are synced. An item that was deleted or is not sold is a matter of the books and
    not of the setting: such worklogs are held with that reason.
    """
    with ledger.read() as session:
        if ledger.connection(session).worklog_types_synced_at is None:
            return None
        rows = list(type_links(session, ledger))
        entries = listed_types(session, ledger)
        ignored = ignored_types(session, ledger)
    found = TypeNames(rows).find(name)
    if len(found) > 1:
        codes = ", ".join(sorted(row.item_code for row in found))
        return f"the name {name} fits several Xero items ({codes}); name a worklog type that fits one"
    if not found:
        return _unlinked(name, entries, ignored, rows)
    row = found[0]
    if row.type_id is None:
        return (
            f"the Xero item {row.item_code} ({name}) is linked to no worklog type; "
            "`msp-xero types list` says what keeps it"
        )
    entry = entries.get(row.type_id)
    if entry is not None and entry.inactive:
        return (
            f"the worklog type {entry.name} is switched off in ServiceDesk Plus MSP. {_known(rows, entries)}"
        )
    return None


def _unlinked(
    name: str, entries: dict[str, SdpEntry], ignored: dict[str, str], rows: list[WorklogTypeLink]
) -> str:
    same = [entry for entry in entries.values() if entry.name == name]
    if any(entry.sdp_id in ignored for entry in same):
        return f"the worklog type {name} is set to be ignored, because no Xero item is wanted for it"
    if same:
        return (
            f"the worklog type {name} is linked to no Xero item; link one with "
            f"`msp-xero types link ITEM {same[0].sdp_id}`"
        )
    return f"there is no worklog type {name}. {_known(rows, entries)}"


def _known(rows: list[WorklogTypeLink], entries: dict[str, SdpEntry]) -> str:
    """Name the types that could be set instead."""
    names = sorted(
        row.type_name
        for row in rows
        if row.type_id and row.type_name and row.gone_at is None and not _is_off(entries.get(row.type_id))
    )
    if not names:
        return "No worklog type is linked to a Xero item yet: `msp-xero types list`"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"Linked are: {', '.join(names[:_MOST_NAMED])}{more}"


def _is_off(entry: SdpEntry | None) -> bool:
    return entry is not None and entry.inactive

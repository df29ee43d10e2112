"""What a settle of the directory did, in numbers and in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

_MOST_PLANNED = 1000


@dataclass(slots=True, kw_only=True)
class DirectorySummary:
    """The result of one settle.

    Attributes:
        job: ``accounts`` or ``worklog-types``.
        linked: links there are now, new and created ones included.
        new: links made in this settle by name, by hand or because contacts were merged.
        created: accounts or types created in SDP, and linked.
        updated: accounts or types changed in SDP.
        unchanged: linked ones that needed no write.
        unmapped: contacts or sold items without a link that wait for a person.
        ambiguous: those of the unmapped whose name fits more than one, or is wanted more than once.
        archived: contacts that are archived or deleted in Xero; they are not written any more.
        failed: records that SDP refused or that are invalid; their ``problem`` says why.
        refused: types that the key, licence or installation does not let us write.
        gone: items that are not in Xero any more.
        gone_linked: those of the gone that still have a worklog type, whose worklogs are held.
        stopped: a signal ended the settle early; the next run carries on.
        dry_run: nothing was written; the counts say what would have been.
        planned: what a dry run would write: id, action and field names, no customers' texts.
    """

    job: str
    linked: int = 0
    new: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    unmapped: int = 0
    ambiguous: int = 0
    archived: int = 0
    failed: int = 0
    refused: int = 0
    gone: int = 0
    gone_linked: int = 0
    stopped: bool = False
    dry_run: bool = False
    planned: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """How the run ended: ``done``, ``needs_person`` or ``stopped``."""
        if self.stopped:
            return "stopped"
        waits = self.failed or self.ambiguous or self.refused or self.gone_linked
        return "needs_person" if waits else "done"

    def counts(self) -> dict[str, Any]:
        """Return the numbers for the record of the run."""
        numbers = {
            one.name: value for one in fields(self) if isinstance(value := getattr(self, one.name), int)
        }
        del numbers["stopped"]
        if self.dry_run:
            return {**numbers, "planned": self.planned[:_MOST_PLANNED]}
        del numbers["dry_run"]
        return numbers

    def sentence(self) -> str:
        """Return the one line that the run ends with."""
        would = " would be" if self.dry_run else ""
        parts = [
            f"{self.linked} linked" + (f" ({self.new} new)" if self.new else ""),
            f"{self.created}{would} created",
            f"{self.updated}{would} updated",
        ]
        rare = ("archived", "refused", "gone", "failed")
        parts += [f"{number} {name}" for name in rare if (number := getattr(self, name))]
        if self.unmapped:
            doubtful = f" ({self.ambiguous} ambiguous)" if self.ambiguous else ""
            parts.append(f"{self.unmapped} unmapped{doubtful}")
        where = "accounts list --unmapped" if self.job == "accounts" else "types list"
        hint = f": see msp-xero {where}" if self.unmapped or self.failed or self.refused or self.gone else ""
        if self.refused or self.gone_linked:
            hint = f": a person is needed, see msp-xero {where}"
        prefix = f"{self.job} (dry run)" if self.dry_run else self.job
        ending = "; stopped by a signal, the next run carries on" if self.stopped else ""
        return f"{prefix}: {', '.join(parts)}{hint}{ending}"

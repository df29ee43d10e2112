"""Many decisions about contacts at once: all rows are checked first, then all are applied or none.

Applying the same decisions again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.given_anew import lost_names
from msp_xero.ledger.link_memory import forget_findings, how_by_hand, remember_unlinked
from msp_xero.ledger.link_staging import ACCOUNT
from msp_xero.ledger.links import (
    CREATE,
    IGNORE,
    LINK,
    LIST,
    MAYBE_ANOTHER,
    OWN_ACCOUNT,
    lock_connection,
)
from msp_xero.ledger.models import AccountLink, SdpEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from msp_xero.ledger.store import Ledger

UNLINK: Final = "unlink"
ACTIONS: Final = (LINK, CREATE, IGNORE, UNLINK)

_CHOICES: Final = {LINK: LINK, CREATE: CREATE, IGNORE: IGNORE, UNLINK: LIST}
_EVENTS: Final = {CREATE: "create_requested", IGNORE: "ignored", UNLINK: "unlinked"}
_STATES: Final = {LINK: "linked", CREATE: "unmapped", IGNORE: "ignored", UNLINK: "unmapped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about one contact.

    Attributes:
        place: where it was read, such as ``line 7``; wrong ones are reported by it.
        contact_id: the contact.
        action: one of :data:`ACTIONS`.
        account_id: the account to link to; for ``link`` only.
        evidence: what the person saw when deciding, for the audit log; no customers' texts.
    """

    place: str
    contact_id: str
    action: str
    account_id: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Applied:
    """What came of decisions: counts by action, and what is wrong with each that is wrong."""

    done: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)


def decide(ledger: Ledger, decisions: Sequence[Decision], *, dry_run: bool = False) -> Applied:
    """Carry out decisions in one transaction; with ``problems`` in the result nothing was applied.

    Args:
        ledger: the open ledger.
        decisions: at most one for each contact.
        dry_run: check and count only.
    """
    with ledger.write() as session:
        lock_connection(session, ledger)
        desk = _Desk(session, ledger)
        applied = Applied(problems=desk.problems(decisions))
        if applied.problems:
            return applied
        due = [one for one in decisions if not _is_done(desk.rows[one.contact_id], one)]
        applied.unchanged = len(decisions) - len(due)
        applied.done = Counter(one.action for one in due)
        if dry_run:
            return applied
        changes = [desk.carry_out(one) for one in due if one.action != LINK]
        session.flush()  # what is let go of can be taken by another contact in the same go
        changes += [desk.carry_out(one) for one in due if one.action == LINK]
        record(session, ledger, changes)
    return applied


class _Desk:
    """All contacts and accounts as they are now."""

    def __init__(self, session: Session, ledger: Ledger) -> None:
        mine = (
            AccountLink.connection_id == ledger.connection_id,
            AccountLink.generation == ledger.generation,
        )
        self.rows = {row.contact_id: row for row in session.scalars(select(AccountLink).where(*mine))}
        listed = select(SdpEntry).where(
            SdpEntry.connection_id == ledger.connection_id, SdpEntry.kind == ACCOUNT
        )
        self.entries = {entry.sdp_id: entry for entry in session.scalars(listed)}
        self._lost = lost_names(session, ledger, ACCOUNT)
        self._holders = {row.account_id: row for row in self.rows.values() if row.account_id is not None}

    def problems(self, decisions: Sequence[Decision]) -> list[str]:
        """Say of each decision that cannot be carried out where it stands and why."""
        first_of_contact: dict[str, str] = {}
        first_of_account: dict[str, str] = {}
        released = {one.contact_id for one in decisions if one.action == UNLINK}
        found = []
        for one in decisions:
            problem = self._problem(one, released)
            if earlier := first_of_contact.get(one.contact_id):
                problem = f"contact {one.contact_id} is decided about in {earlier} already"
            elif problem is None and one.action == LINK and one.account_id in first_of_account:
                problem = f"account {one.account_id} is taken in {first_of_account[one.account_id]} already"
            first_of_contact.setdefault(one.contact_id, one.place)
            if one.action == LINK and one.account_id:
                first_of_account.setdefault(one.account_id, one.place)
            if problem:
                found.append(f"{one.place}: {problem}")
        return found

    def _problem(self, one: Decision, released: set[str]) -> str | None:
        row = self.rows.get(one.contact_id)
        if row is None:
            return f"there is no contact {one.contact_id}"
        if one.action == LINK:
            return self._problem_of_link(row, one.account_id, released) or self._doubt_of_link(row, one)
        if one.action in (CREATE, IGNORE) and row.account_id is not None and not _is_done(row, one):
            return f"contact {one.contact_id} is linked to account {row.account_id}; unlink it first"
        if one.action == CREATE and row.contact_status != "ACTIVE":
            return (
                f"contact {one.contact_id} is {row.contact_status.lower()} in Xero, so no account is created"
            )
        return None

    def _problem_of_link(self, row: AccountLink, account_id: str | None, released: set[str]) -> str | None:
        if not account_id:
            return "link needs the id of an account"
        entry = self.entries.get(account_id)
        if entry is None:
            return f"ServiceDesk Plus MSP listed no account {account_id} at the last run"
        if entry.own:
            return OWN_ACCOUNT.format(account_id)
        if row.account_id not in (None, account_id):
            return f"contact {row.contact_id} is linked to account {row.account_id}; unlink it first"
        holder = self._holders.get(account_id)
        if holder is not None and holder is not row and holder.contact_id not in released:
            return f"account {account_id} is linked to contact {holder.contact_id}; unlink that one first"
        return None

    def _doubt_of_link(self, row: AccountLink, one: Decision) -> str | None:
        is_doubtful = one.account_id in self._lost and not _is_done(row, one)
        return MAYBE_ANOTHER.format("account", one.account_id) if is_doubtful else None

    def carry_out(self, decision: Decision) -> Change:
        """Change one row; return its event."""
        row = self.rows[decision.contact_id]
        before = row.account_id
        row.account_id = decision.account_id if decision.action == LINK else None
        row.account_name = self.entries[str(row.account_id)].name if row.account_id else None
        row.state, row.choice = _STATES[decision.action], _CHOICES[decision.action]
        row.how = how_by_hand(row.contact_name, row.account_name) if decision.action == LINK else None
        remember_unlinked(row, before if decision.action == UNLINK else None)
        forget_findings(row, row.account_id)
        if decision.action == LINK:
            data = {"sdp_id": row.account_id, "how": "person", **decision.evidence}
            return Change(AccountLink.__tablename__, row.id, "linked", data)
        data = {"sdp_id": before} if before else {}
        return Change(AccountLink.__tablename__, row.id, _EVENTS[decision.action], data or None)


def _is_done(row: AccountLink, decision: Decision) -> bool:
    if decision.action == LINK:
        return row.account_id == decision.account_id
    if decision.action == CREATE and row.choice == CREATE:
        return True  # it waits for the next run, or a run has carried it out
    wanted = (_CHOICES[decision.action], _STATES[decision.action], None)
    return (row.choice, row.state, row.account_id) == wanted

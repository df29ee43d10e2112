"""Writing worklog types one by one: each write in SDP is followed at once by its commit in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from msp_xero.directory.losses import DOUBTED, KEPT, make_room
from msp_xero.directory.match import EXACT, Named, exact_key
from msp_xero.directory.type_plan import CREATED, NAMED, is_invalid
from msp_xero.directory.writes import (
    DUPLICATE,
    REFUSALS,
    Gate,
    Unanswered,
    facts,
    identity,
    is_put_last,
    name_is_held,
    name_of,
    update_gate,
    words,
)
from msp_xero.errors import Rejected, RemoteError, Unavailable
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.given_anew import doubt, take_over
from msp_xero.ledger.link_staging import WORKLOG_TYPE, Entry, note_entry
from msp_xero.ledger.links import release_gone
from msp_xero.ledger.models import WorklogTypeLink
from msp_xero.ledger.type_choices import ignored_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from msp_xero.directory.port import Row
    from msp_xero.directory.work import TypeWork

_TABLE: Final = WorklogTypeLink.__tablename__
_LOST: Final = (
    "ServiceDesk Plus MSP does not list the linked worklog type any more; unlink it, then link another or "
    "choose create"
)


def set_link(row: WorklogTypeLink, found: Named | None, how: str | None) -> None:
    """Set or take away the link of an item; what was wrong before does not concern the new one."""
    row.type_id = found.id if found else None
    row.type_name = found.name if found else None
    row.state = "linked" if found else "unmapped"
    row.how = how
    row.candidates = None
    row.problem = row.problem if is_invalid(row) else None
    row.creating_name = row.lost_at = row.unanswered_at = None


def _was_decided(stored: WorklogTypeLink, row: WorklogTypeLink) -> bool:
    """Whether a person decided about an item since the settle read it."""
    return stored.type_id != row.type_id or stored.state == "ignored" or stored.choice != row.choice


class TypeWriter:
    """Creates and renames the types of one settle; ``unanswered`` tells which outcomes are unknown."""

    def __init__(self, work: TypeWork, rows: Sequence[WorklogTypeLink]) -> None:
        self._work = work
        self._rows = {row.id: row for row in rows}
        self._summary = work.summary
        self._creating = Gate()
        self._renaming = update_gate()
        self.unanswered = Unanswered()
        self._created: set[int] = set()
        self._not_unique: list[tuple[WorklogTypeLink, Rejected]] = []
        self._tried_after = 0  # so many updates the names that others had were tried last
        self._relisted = False
        # The attribute is only likely; that a row shows it proves that it is there.
        self._has_description = any("description" in row for row in work.listed.values())

    def create(self, row: WorklogTypeLink) -> None:
        """Create the type of an item, or store why that is not possible."""
        values = self._wanted(row, CREATED)
        if known := self._creating.problem(values):
            self._refuse(row, known, None)
            return
        if self._work.policy.dry_run:
            self._summary.planned.append({"id": row.item_id, "action": "create", "fields": sorted(values)})
            self._summary.created += 1
            return
        if self._announce(row):
            self._send_new(row, values)

    def _announce(self, row: WorklogTypeLink) -> bool:
        """Store under which name a type is being created; False where a person decided meanwhile.

        The answer may be lost, and the item may have another name when the next run looks.
        """
        with self._work.ledger.write(self._work.fence) as session:
            stored = session.get_one(WorklogTypeLink, row.id)
            if _was_decided(stored, row):
                return False
            stored.creating_name = row.name
        row.creating_name = row.name
        return True

    def _send_new(self, row: WorklogTypeLink, values: dict[str, str]) -> None:
        try:
            answer = self._work.client.create_worklog_type(values)
        except RemoteError as error:
            self._not_created(row, error, values)
            return
        self.unanswered.answered()
        type_id = identity(answer)
        if type_id is None:
            self._find_by_name(row, None)
            return
        self._summary.created += 1
        self._work.listed[type_id] = {**values, **answer, "id": type_id}
        if self._store_link(row, Named(type_id, name_of(answer) or row.name), CREATED):
            self._created.add(row.id)

    def _not_created(self, row: WorklogTypeLink, error: RemoteError, values: dict[str, str]) -> None:
        """Store why a type was not created, or that nobody knows whether it was."""
        if isinstance(error, Unavailable) and error.sent:
            self._leave_unknown(row, error)
            return
        self._withdraw(row)
        if not isinstance(error, REFUSALS):
            raise error
        self.unanswered.answered()
        if isinstance(error, Rejected) and DUPLICATE in error.codes:
            self._find_by_name(row, error)
            return
        self._creating.refused(error, words(error), values)
        if isinstance(error, Rejected):
            self._fail(row, words(error), error)
        else:
            self._refuse(row, words(error), error)

    def _withdraw(self, row: WorklogTypeLink) -> None:
        """Take back what was announced, as it was not made: else a stranger of that name is taken for it."""
        with self._work.ledger.write(self._work.fence) as session:
            session.get_one(WorklogTypeLink, row.id).creating_name = None
        row.creating_name = None

    def _find_by_name(self, row: WorklogTypeLink, error: Rejected | None) -> None:
        """The name exists: made a moment ago by somebody else, or by us before a crash. Look again."""
        if not self._relisted:
            self._relisted = True
            self._work.read_list()
        alike = {
            one: listed
            for one, listed in self._work.listed.items()
            if name_of(listed).casefold() == row.name.casefold() and self._is_free(one)
        }
        same = [
            one
            for one in alike
            if exact_key(name_of(alike[one])) == exact_key(row.name) and one not in (row.unlinked or ())
        ]
        if len(same) == 1:
            if self._store_link(row, Named(same[0], name_of(alike[same[0]])), EXACT):
                self._summary.new += 1
            return
        problem = (
            "a worklog type of this name exists: link it by hand"
            if alike
            else "a worklog type of this name exists in ServiceDesk Plus MSP, and it is not free to be linked"
        )
        self._fail(row, problem, error, candidates=list(alike))

    def _is_free(self, type_id: str) -> bool:
        """Whether a person may link the type: no item has it that is in Xero, and it is not ignored."""
        with self._work.ledger.read() as session:
            holder = select(WorklogTypeLink.id).where(
                *self._work.mine(), WorklogTypeLink.type_id == type_id, WorklogTypeLink.gone_at.is_(None)
            )
            is_ignored = type_id in ignored_types(session, self._work.ledger)
            return session.scalar(holder) is None and not is_ignored

    def _store_link(self, row: WorklogTypeLink, found: Named, how: str) -> bool:
        """Store a link unless a person decided about the item in the meantime."""
        ledger = self._work.ledger
        with ledger.write(self._work.fence) as session:
            stored = session.get_one(WorklogTypeLink, row.id)
            was_decided = _was_decided(stored, row)
            if was_decided and how != CREATED:
                return False
            # What was made is there, and has its id, whatever a person decided meanwhile.
            changes = self._take_over(session, row, found, is_new=how == CREATED)
            if changes is not None and not was_decided:
                set_link(stored, found, how)
                stored.written_at = ledger.clock.now() if how == CREATED else stored.written_at
                action = "created" if how == CREATED else "linked"
                changes.append(Change(_TABLE, row.id, action, {"sdp_id": found.id, "how": how}))
            record(session, ledger, changes or [], run_id=self._work.run_id)
        if changes is None:
            problem = KEPT.format(noun="worklog type", sdp_id=found.id)
            self._fail(row, problem, None, candidates=[found.id])
        if changes is None or was_decided:
            return False
        set_link(row, found, how)
        self._summary.linked += 1
        return True

    def _take_over(
        self, session: Session, row: WorklogTypeLink, found: Named, *, is_new: bool
    ) -> list[Change] | None:
        """Free a type for an item; return the events, or None when another item keeps it."""
        ledger = self._work.ledger
        held = select(WorklogTypeLink).where(
            *self._work.mine(), WorklogTypeLink.type_id == found.id, WorklogTypeLink.id != row.id
        )
        changes = []
        # What no item was wanted for was meant for none.
        is_for_another = found.id in ignored_types(session, ledger)
        if (holder := session.scalar(held)) is not None:
            is_for_another = is_for_another or holder.gone_at is None
            released = self._release(holder, found, row, is_new=is_new)
            if released is None:
                if is_new:
                    doubt(session, ledger, WORKLOG_TYPE, found.id, holder.type_name or "")
                return None
            changes.append(released)
            session.flush()
            self._summary.linked -= 1
        entry = Entry(found.id, found.name)
        changes += take_over(
            session, ledger, WORKLOG_TYPE, entry, is_new=is_new, is_for_another=is_for_another
        )
        return changes

    def _release(
        self, holder: WorklogTypeLink, found: Named, row: WorklogTypeLink, *, is_new: bool
    ) -> Change | None:
        """Take a type from an item that was deleted in Xero, or whose type was lost before."""
        if holder.gone_at is not None:
            self._summary.gone_linked -= 1
            return release_gone(holder, {"sdp_id": found.id, "instead": row.item_id})
        known, now = self._rows.get(holder.id), self._work.ledger.clock.now()
        change = make_room(holder, known, found.id, "worklog type", set_link, now=now, is_new=is_new)
        if change is not None and not is_invalid(holder):  # which is counted for itself
            self._summary.failed += 1
            self._summary.unmapped += holder.is_sold
        return change

    def bring_up_to_date(self, row: WorklogTypeLink) -> None:
        """Let a linked type be called like its item."""
        idle = row.gone_at is not None or is_invalid(row) or not row.is_sold
        if row.type_id is None or idle or row.id in self._created:
            return
        current = self._work.listed.get(row.type_id)
        if current is None or row.lost_at is not None:
            # Listed again in the middle of a run it may be a stranger: the next run judges that.
            problem = _LOST if current is None else DOUBTED.format("worklog type", row.type_id)
            self._fail(row, problem, None)
            return
        wanted = self._wanted(row, row.how)
        changed = {name: value for name, value in wanted.items() if _text(current.get(name)) != _text(value)}
        if not changed:
            self._summary.unchanged += 1
            self._settled(row)
        elif known := self._renaming.problem():
            self._refuse(row, known, None)
        elif self._work.policy.dry_run:
            self._summary.planned.append({"id": row.item_id, "action": "update", "fields": sorted(changed)})
            self._summary.updated += 1
        else:
            self._send_changes(row, row.type_id, current, changed)

    def rename_again(self) -> None:
        """Try the names again that another type had, as long as types get new names of their own."""
        while self._not_unique and self._tried_after != self._summary.updated:
            self._tried_after = self._summary.updated
            # The last of a chain lets go of its name first.
            held, self._not_unique = self._not_unique[::-1], []
            for row, error in held:
                if self.is_over():
                    self._not_unique.append((row, error))
                else:
                    self.bring_up_to_date(row)

    def tell_held_names(self) -> None:
        """Store which names others have still; after a signal they were not tried to the end."""
        for row, error in [] if self._summary.stopped else self._not_unique:
            self._fail(row, name_is_held(error), error)

    def is_over(self) -> bool:
        """Whether nothing more is written in this run: a signal came, or too many writes had no answer."""
        return self.unanswered.are_too_many or self._work.stopping()

    def _is_linked_still(self, row: WorklogTypeLink, type_id: str) -> bool:
        """Whether no person took the link away since the settle decided: it may be another's type."""
        with self._work.ledger.read() as session:
            held = select(WorklogTypeLink.type_id).where(WorklogTypeLink.id == row.id)
            return session.scalar(held) == type_id

    def _send_changes(
        self, row: WorklogTypeLink, type_id: str, current: Row, changed: dict[str, str]
    ) -> None:
        if not self._is_linked_still(row, type_id):
            return
        try:
            answer = self._work.client.update_worklog_type(type_id, changed)
        except Unavailable as error:
            self._leave_unknown(row, error)
            return
        except Rejected as error:
            self.unanswered.answered()
            self._renaming.allowed()
            if DUPLICATE in error.codes:
                self._not_unique.append((row, error))
            else:
                self._fail(row, words(error), error)
            return
        except REFUSALS as error:
            self.unanswered.answered()
            self._renaming.refused(error, words(error))
            self._refuse(row, words(error), error)
            return
        self.unanswered.answered()
        self._renaming.allowed()
        ledger = self._work.ledger
        name = name_of(answer) or changed.get("name", name_of(current))
        overwrote = {member: current.get(member) for member in changed}
        with ledger.write(self._work.fence) as session:
            stored = session.get_one(WorklogTypeLink, row.id)
            if stored.type_id == type_id:
                stored.type_name, stored.written_at = name, ledger.clock.now()
                stored.problem = stored.problem if is_invalid(stored) else None
                stored.unanswered_at = None
            note_entry(session, ledger, WORKLOG_TYPE, Entry(type_id, name))
            changes = [Change(_TABLE, row.id, "updated", {"sdp_id": type_id, "overwrote": overwrote})]
            record(session, ledger, changes, run_id=self._work.run_id)
        self._summary.updated += 1

    def _wanted(self, row: WorklogTypeLink, how: str | None) -> dict[str, str]:
        # Where a person joined two names that differ, both stay; and a type that was there before us
        # keeps the description that somebody gave it.
        wanted = {"name": row.name} if how in NAMED else {}
        if self._has_description and row.description and how == CREATED:
            wanted["description"] = row.description
        return wanted

    def _settled(self, row: WorklogTypeLink) -> None:
        """Note that an earlier problem is over; most rows have none."""
        if self._work.policy.dry_run or row.problem is None:
            return
        with self._work.ledger.write(self._work.fence) as session:
            stored = session.get_one(WorklogTypeLink, row.id)
            if stored.type_id == row.type_id:
                stored.problem = stored.problem if is_invalid(stored) else None
                stored.unanswered_at = None

    def _leave_unknown(self, row: WorklogTypeLink, error: Unavailable) -> None:
        """Store that a write had no usable answer; the others go on, until there are several in a row.

        Raises:
            Unavailable: it never left, as ServiceDesk Plus MSP cannot be reached.
        """
        if not error.sent:
            raise error
        is_news = row.unanswered_at is None
        self._fail(row, words(error), error)
        self.unanswered.note(error, is_news=is_news)

    def _refuse(self, row: WorklogTypeLink, problem: str, error: RemoteError | None) -> None:
        """The key, licence or installation does not let us write types: a person creates or renames it."""
        self._summary.refused += 1
        self._store_problem(row, problem, error, state=None if row.type_id else "refused")

    def _fail(
        self, row: WorklogTypeLink, problem: str, error: RemoteError | None, candidates: Sequence[str] = ()
    ) -> None:
        """Store why this record could not be written; the others go on."""
        self._summary.failed += 1
        if row.type_id is None:
            self._summary.unmapped += 1
        state = None if row.type_id else "unmapped"
        self._store_problem(row, problem, error, state=state, candidates=candidates)

    def _store_problem(
        self,
        row: WorklogTypeLink,
        problem: str,
        error: RemoteError | None,
        *,
        state: str | None,
        candidates: Sequence[str] = (),
    ) -> None:
        ledger = self._work.ledger
        unanswered_at = ledger.clock.now() if is_put_last(error, is_linked=row.type_id is not None) else None
        is_told = row.problem == problem and state in (None, row.state)
        is_known = error is None or unanswered_at == row.unanswered_at
        if self._work.policy.dry_run or (is_told and is_known):
            return
        with ledger.write(self._work.fence) as session:
            stored = session.get_one(WorklogTypeLink, row.id)
            if _was_decided(stored, row):
                return
            stored.problem, stored.candidates = problem, list(candidates) or None
            stored.state = state or stored.state
            if error is not None:
                stored.unanswered_at = unanswered_at
            if not is_told:
                told: dict[str, Any] | None = facts(error) if error else None
                action = "refused" if state == "refused" else "failed"
                record(session, ledger, [Change(_TABLE, row.id, action, told)], run_id=self._work.run_id)


def _text(value: Any) -> str:
    return "" if value is None else str(value).replace("\r\n", "\n").strip()

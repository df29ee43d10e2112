"""Writing accounts one by one: each write in SDP is followed at once by its commit in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from msp_xero.directory.account_plan import CREATED, NAMED, is_invalid
from msp_xero.directory.carried import read_claims
from msp_xero.directory.fields import Values, canonical, flatten
from msp_xero.directory.losses import DOUBTED, KEPT, make_room
from msp_xero.directory.match import EXACT, Named, exact_key
from msp_xero.directory.writes import (
    DUPLICATE,
    MANDATORY,
    REFUSALS,
    Gate,
    Unanswered,
    digest_of,
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
from msp_xero.ledger.link_staging import ACCOUNT, Entry, note_entry
from msp_xero.ledger.merges import ids_taken_away, is_active
from msp_xero.ledger.models import AccountLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from msp_xero.directory.port import Row
    from msp_xero.directory.work import AccountWork

_TABLE: Final = AccountLink.__tablename__
_LOST: Final = (
    "ServiceDesk Plus MSP does not list the linked account any more: it was deleted, or the key may not "
    "see it; unlink it, then link another account"
)
_SAME_NAME_TAKEN: Final = (
    "an account of this name is linked to another contact: unlink that one, or rename one"
)
_SAME_NAME: Final = "an account of this name exists: link it by hand"
_SAME_NAME_CLAIMED: Final = (
    "an account of this name carries the ContactID of another contact: link one of them by hand"
)
_SAME_NAME_OWN: Final = (
    "the account of this name is the service provider itself (is_msp), which is nobody's customer: rename one"
)
_HIDDEN: Final = (
    "ServiceDesk Plus MSP says that an account of this name exists, but does not show it to this key: "
    "widen the scope of the key's technician"
)


def set_link(row: AccountLink, account: Named | None, how: str | None) -> None:
    """Set or take away the link of a contact; what was wrong before does not concern the new one."""
    row.account_id = account.id if account else None
    row.account_name = account.name if account else None
    row.state = "linked" if account else "unmapped"
    row.how = how
    row.candidates = None
    row.problem = row.problem if is_invalid(row) else None
    row.written_digest = None
    row.creating_name = row.lost_at = row.unanswered_at = None


def _was_decided(stored: AccountLink, row: AccountLink) -> bool:
    """Whether a person decided about a contact since the settle read it."""
    return stored.account_id != row.account_id or stored.state == "ignored" or stored.choice != row.choice


def _is_held_name(error: Rejected, changed: Values) -> bool:
    """Whether the name of an update is refused because another account has it; it may let go of it soon."""
    return DUPLICATE in error.codes and "name" in changed and (not error.fields or "name" in error.fields)


def _too_long(sayings: Sequence[str]) -> str:
    return f"{'; '.join(sayings)}: shorten it in Xero, or choose another field in account_fields"


class AccountWriter:
    """Creates and updates the accounts of one settle; ``unanswered`` tells which outcomes are unknown."""

    def __init__(self, work: AccountWork, rows: Sequence[AccountLink]) -> None:
        self._work = work
        self._rows = {row.id: row for row in rows}
        self._contact_ids = [row.contact_id for row in rows]
        self._taken_away = ids_taken_away(rows)
        self._summary = work.summary
        self._creating = Gate()
        self._updating = update_gate()
        self.unanswered = Unanswered()
        self._not_unique: list[tuple[AccountLink, Rejected]] = []
        self._tried_after = 0  # so many updates the names that others had were tried last
        self._created: set[int] = set()
        self._relisted = False

    # --------------------------------------------------------------- creating

    def create(self, row: AccountLink) -> None:
        """Create the account of a contact, or store why that is not possible."""
        work, policy = self._work, self._work.policy
        values = self._wanted(row)
        if url := policy.login_url(name=row.contact_name, contact_id=row.contact_id):
            values.setdefault(policy.login_url_field, url)
        if too_long := work.fields.too_long(values):
            self._fail(row, _too_long(too_long))
        elif known := self._creating.problem(values):
            self._fail(row, known)
        elif policy.dry_run:
            self._note(row, "create", values)
            self._summary.created += 1
        elif self._announce(row):
            self._send_new(row, values)

    def _announce(self, row: AccountLink) -> bool:
        """Store under which name an account is being created; False where a person decided meanwhile.

        The answer may be lost, and the contact may have another name when the next run looks.
        """
        with self._work.ledger.write(self._work.fence) as session:
            stored = session.get_one(AccountLink, row.id)
            if _was_decided(stored, row):
                return False
            stored.creating_name = row.contact_name
        row.creating_name = row.contact_name
        return True

    def _send_new(self, row: AccountLink, values: Values) -> None:
        fields = self._work.fields
        try:
            answer = self._work.client.create_account(fields.nested(values))
        except RemoteError as error:
            self._not_created(row, error, values)
            return
        self.unanswered.answered()
        account_id = identity(answer)
        if account_id is None:
            self._find_by_name(row, None)
            return
        account = Named(account_id, name_of(answer) or row.contact_name)
        self._work.listed[account.id] = {**fields.nested(values), **answer, "id": account.id}
        remaining = self._not_taken(answer, values)
        if self._store_link(row, account, CREATED, digest=digest_of(remaining)):
            self._created.add(row.id)
        self._summary.created += 1

    def _not_created(self, row: AccountLink, error: RemoteError, values: Values) -> None:
        """Store why an account was not created, or that nobody knows whether it was."""
        if isinstance(error, Unavailable) and error.sent:
            self._leave_unknown(row, error)
            return
        self._withdraw(row)
        if not isinstance(error, REFUSALS):
            raise error
        self.unanswered.answered()
        about_name = not getattr(error, "fields", ()) or "name" in getattr(error, "fields", ())
        if isinstance(error, Rejected) and DUPLICATE in error.codes and about_name:
            self._find_by_name(row, error)
            return
        problem = words(error) + self._who_provides(error, values)
        self._creating.refused(error, problem, values)
        self._fail(row, problem, error)

    def _withdraw(self, row: AccountLink) -> None:
        """Take back what was announced, as it was not made: else a stranger of that name is taken for it."""
        with self._work.ledger.write(self._work.fence) as session:
            session.get_one(AccountLink, row.id).creating_name = None
        row.creating_name = None

    def _who_provides(self, error: RemoteError, sent: Values) -> str:
        """Name the settings that give the fields which were missing."""
        if not isinstance(error, Rejected) or MANDATORY not in error.codes:
            return ""
        missing = [path for path in map(canonical, error.fields) if path not in sent]
        saying = "; ".join(self._work.policy.provider(path) for path in missing)
        return f" {saying[0].upper()}{saying[1:]}." if saying else ""

    def _find_by_name(self, row: AccountLink, error: Rejected | None) -> None:
        """The name exists: made a moment ago by somebody else, or by us before a crash. Look again."""
        if not self._relisted:
            self._relisted = True
            self._work.read_list()
        wanted = exact_key(row.contact_name)
        alike = {
            one: listed
            for one, listed in self._work.listed.items()
            if name_of(listed).casefold() == row.contact_name.casefold()
        }
        claims = read_claims(self._contact_ids, self._work.carried())
        claimed = {one for one in alike if claims.get(one, row.contact_id) != row.contact_id}
        linkable = [one for one in alike if one not in self._work.reserved() and self._is_free(one)]
        taken_away = self._taken_away.get(row.contact_id, ())
        free = [one for one in linkable if one not in claimed and one not in taken_away]
        same = [one for one in free if exact_key(name_of(alike[one])) == wanted]
        if len(same) == 1 and not self._is_awaited_by_another(row):
            if self._store_link(row, Named(same[0], name_of(alike[same[0]])), EXACT):
                self._summary.new += 1
            return
        if linkable:
            problem = _SAME_NAME_CLAIMED if claimed.issuperset(linkable) else _SAME_NAME
        elif alike:
            problem = _SAME_NAME_OWN if self._work.reserved().issuperset(alike) else _SAME_NAME_TAKEN
        else:
            problem = _HIDDEN
        self._fail(row, problem, error, candidates=linkable)

    def _is_free(self, account_id: str) -> bool:
        with self._work.ledger.read() as session:
            holder = select(AccountLink.id).where(*self._work.mine(), AccountLink.account_id == account_id)
            return session.scalar(holder) is None

    def _is_awaited_by_another(self, row: AccountLink) -> bool:
        """Whether an account of this name may be what a create for another contact made without an answer."""
        awaiting = select(AccountLink.creating_name).where(
            *self._work.mine(),
            AccountLink.id != row.id,
            AccountLink.account_id.is_(None),
            AccountLink.creating_name.is_not(None),
        )
        with self._work.ledger.read() as session:
            names = {exact_key(str(name)) for name in session.scalars(awaiting)}
        return exact_key(row.contact_name) in names

    def _store_link(self, row: AccountLink, account: Named, how: str, digest: str | None = None) -> bool:
        """Store a link unless a person decided about the contact in the meantime."""
        ledger = self._work.ledger
        with ledger.write(self._work.fence) as session:
            stored = session.get_one(AccountLink, row.id)
            was_decided = _was_decided(stored, row)
            if was_decided and how != CREATED:
                return False
            # What was made is there, and has its id, whatever a person decided meanwhile.
            changes = self._take_over(session, row, account, is_new=how == CREATED)
            if changes is not None and not was_decided:
                set_link(stored, account, how)
                if how == CREATED:
                    stored.written_at, stored.written_digest = ledger.clock.now(), digest
                action = "created" if how == CREATED else "linked"
                changes.append(Change(_TABLE, row.id, action, {"sdp_id": account.id, "how": how}))
            record(session, ledger, changes or [], run_id=self._work.run_id)
        if changes is None:
            self._fail(row, KEPT.format(noun="account", sdp_id=account.id), candidates=[account.id])
        if changes is None or was_decided:
            return False
        set_link(row, account, how)
        self._summary.linked += 1
        row.written_digest = digest
        return True

    def _take_over(
        self, session: Session, row: AccountLink, account: Named, *, is_new: bool
    ) -> list[Change] | None:
        """Free an account for a contact; return the events, or None when another contact keeps it."""
        ledger = self._work.ledger
        held = select(AccountLink).where(
            *self._work.mine(), AccountLink.account_id == account.id, AccountLink.id != row.id
        )
        changes = []
        if (holder := session.scalar(held)) is not None:
            known, now = self._rows.get(holder.id), ledger.clock.now()
            released = make_room(holder, known, account.id, "account", set_link, now=now, is_new=is_new)
            if released is None:
                if is_new:
                    doubt(session, ledger, ACCOUNT, account.id, holder.account_name or "")
                return None
            changes.append(released)
            session.flush()
            self._summary.linked -= 1
            if not is_invalid(holder):  # which is counted for itself
                self._summary.unmapped += 1
                self._summary.failed += 1
        entry, is_for_another = Entry(account.id, account.name), holder is not None
        changes += take_over(session, ledger, ACCOUNT, entry, is_new=is_new, is_for_another=is_for_another)
        return changes

    # --------------------------------------------------------------- updating

    def bring_up_to_date(self, row: AccountLink) -> None:
        """Write the members of a linked account that differ from what its contact wants."""
        if row.account_id is None or is_invalid(row) or not is_active(row) or row.id in self._created:
            return
        current = self._work.listed.get(row.account_id)
        if current is None:
            self._fail(row, _LOST)
        elif row.lost_at is not None:
            # Listed again in the middle of a run it may be a stranger: the next run judges that.
            self._fail(row, DOUBTED.format("account", row.account_id))
        else:
            self._compare(row, current)

    def _compare(self, row: AccountLink, current: Row) -> None:
        fields = self._work.fields
        wanted = self._wanted(row)
        if row.how not in NAMED:
            del wanted["name"]  # a person, or a merge, joined two names that differ: both stay
        changed = fields.changes(current, wanted)
        if too_long := fields.too_long(changed):
            self._fail(row, _too_long(too_long))
        elif not changed or self._kept_by_sdp(row, current, changed):
            self._summary.unchanged += 1
            self._settled(row)
        elif known := self._updating.problem():
            self._fail(row, known)
        elif self._work.policy.dry_run:
            self._note(row, "update", changed)
            self._summary.updated += 1
        else:
            self._send_changes(row, str(row.account_id), current, changed)

    def rename_again(self) -> None:
        """Try the names again that another account had, as long as accounts get new names of their own."""
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

    def _is_linked_still(self, row: AccountLink, account_id: str) -> bool:
        """Whether no person took the link away since the settle decided: it may be another's account."""
        with self._work.ledger.read() as session:
            held = select(AccountLink.account_id).where(AccountLink.id == row.id)
            return session.scalar(held) == account_id

    def _send_changes(self, row: AccountLink, account_id: str, current: Row, changed: Values) -> None:
        work = self._work
        if not self._is_linked_still(row, account_id):
            return
        try:
            answer = work.client.update_account(account_id, work.fields.nested(changed))
        except Unavailable as error:
            self._leave_unknown(row, error)
            return
        except Rejected as error:
            self.unanswered.answered()
            self._updating.allowed()
            if _is_held_name(error, changed):
                self._not_unique.append((row, error))
            else:
                self._fail(row, words(error), error)
            return
        except REFUSALS as error:
            self.unanswered.answered()
            self._updating.refused(error, words(error))
            self._fail(row, words(error), error)
            return
        self.unanswered.answered()
        self._updating.allowed()
        remaining = self._not_taken(answer, changed)
        overwrote = {path: work.fields.current(current, path) for path in changed}
        name = name_of(answer) or str(changed.get("name", name_of(current)))
        with work.ledger.write(work.fence) as session:
            stored = session.get_one(AccountLink, row.id)
            if stored.account_id == account_id:
                stored.account_name = name
                stored.written_digest = digest_of(remaining)
                stored.written_at = work.ledger.clock.now()
                stored.problem = stored.problem if is_invalid(stored) else None
                stored.unanswered_at = None
            note_entry(session, work.ledger, ACCOUNT, Entry(account_id, name))
            changes = [Change(_TABLE, row.id, "updated", {"sdp_id": account_id, "overwrote": overwrote})]
            record(session, work.ledger, changes, run_id=work.run_id)
        self._summary.updated += 1

    def _not_taken(self, answer: Row, sent: Values) -> dict[str, Any]:
        """Return the values that SDP stored in a form of its own, as far as its answer tells."""
        fields = self._work.fields
        told = {path: value for path, value in sent.items() if fields.delivers(answer, path)}
        return self._beside(answer, fields.changes(answer, told))

    def _kept_by_sdp(self, row: AccountLink, current: Row, changed: Values) -> bool:
        """Whether writing again would change nothing: SDP still has what it made of these very values."""
        return row.written_digest is not None and row.written_digest == digest_of(
            self._beside(current, changed)
        )

    def _beside(self, account: Row, values: Values) -> dict[str, Any]:
        return {path: [value, self._work.fields.current(account, path)] for path, value in values.items()}

    def _settled(self, row: AccountLink) -> None:
        """Note that an earlier problem is over; most rows have none."""
        if self._work.policy.dry_run or row.problem is None:
            return
        with self._work.ledger.write(self._work.fence) as session:
            stored = session.get_one(AccountLink, row.id)
            if stored.account_id == row.account_id:
                stored.problem = stored.problem if is_invalid(stored) else None
                stored.unanswered_at = None

    # ------------------------------------------------------------------- both

    def _wanted(self, row: AccountLink) -> Values:
        values = {
            path: value for path, value in flatten(row.wanted).items() if path not in self._work.unknown
        }
        values["name"] = row.contact_name
        if self._work.policy.write_link_to:
            values[self._work.policy.write_link_to] = row.contact_id
        return values

    def _leave_unknown(self, row: AccountLink, error: Unavailable) -> None:
        """Store that a write had no usable answer; the others go on, until there are several in a row.

        Raises:
            Unavailable: it never left, as ServiceDesk Plus MSP cannot be reached.
        """
        if not error.sent:
            raise error
        is_news = row.unanswered_at is None
        self._fail(row, words(error), error)
        self.unanswered.note(error, is_news=is_news)

    def _fail(
        self, row: AccountLink, problem: str, error: RemoteError | None = None, candidates: Sequence[str] = ()
    ) -> None:
        """Store why a record could not be written; the others go on.

        ``error`` is what ServiceDesk Plus MSP said to a write.
        """
        self._summary.failed += 1
        if row.account_id is None:
            self._summary.unmapped += 1
        ledger = self._work.ledger
        unanswered_at = (
            ledger.clock.now() if is_put_last(error, is_linked=row.account_id is not None) else None
        )
        is_told = row.problem == problem
        is_known = error is None or unanswered_at == row.unanswered_at
        if self._work.policy.dry_run or (is_told and is_known):
            return
        with ledger.write(self._work.fence) as session:
            stored = session.get_one(AccountLink, row.id)
            if _was_decided(stored, row):
                return
            stored.problem, stored.candidates = problem, list(candidates) or None
            if error is not None:
                stored.unanswered_at = unanswered_at
            if not is_told:
                told = facts(error) if error else None
                record(session, ledger, [Change(_TABLE, row.id, "failed", told)], run_id=self._work.run_id)

    def _note(self, row: AccountLink, action: str, values: Values) -> None:
        self._summary.planned.append({"id": row.contact_id, "action": action, "fields": sorted(values)})

"""The settle of accounts: read SDP's list once, decide, then write what differs, one commit a write.

A crash between a write in SDP and its commit costs nothing: the next settle finds the account by its
exact name, or finds nothing left to change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from msp_xero.directory.account_plan import (
    CREATED,
    MERGED,
    NAMED,
    AccountPlan,
    is_active,
    is_invalid,
    plan_accounts,
)
from msp_xero.directory.fields import AccountFields, Values, field_paths, flatten
from msp_xero.directory.match import Named, exact_key
from msp_xero.directory.summary import DirectorySummary
from msp_xero.directory.writes import (
    DUPLICATE,
    Gate,
    digest_of,
    facts,
    identity,
    refuse_another_installation,
    update_gate,
    words,
)
from msp_xero.errors import AccessRefused, Missing, Rejected, RemoteError, SettingError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.link_staging import ACCOUNT, Entry, note_entry, store_listing
from msp_xero.ledger.models import AccountLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.orm import Session

    from msp_xero.directory.port import AccountSide, Row
    from msp_xero.directory.settings import AccountPolicy
    from msp_xero.ledger.store import Fence, Ledger

JOB: Final = "accounts"
_TABLE: Final = "account_link"
_EXAMPLE: Final = '{"emailid": "EmailAddress", "landline": "Phones.DEFAULT"}'
_LOST: Final = (
    "ServiceDesk Plus MSP does not list the linked account any more: it was deleted, or the key may not see it; "
    "link another account, or unlink it"
)


def read_fields(client: AccountSide, logger: logging.Logger | None = None) -> AccountFields:
    """Return what the installation tells about account fields; nothing when it does not tell."""
    try:
        return AccountFields.from_metainfo(client.account_metainfo())
    except (Missing, Rejected, AccessRefused) as error:
        (logger or logging.getLogger(__name__)).info(
            "account fields are not checked before writing: the installation does not list them (HTTP %s)",
            error.status,
        )
        return AccountFields()


def check_fields(fields: AccountFields, mapped: Iterable[str], policy: AccountPolicy) -> None:
    """Check that the mapped account fields can be written.

    Args:
        fields: what the installation knows.
        mapped: paths of the fields that the mapper delivers.
        policy: the settings.

    Raises:
        SettingError: a field does not exist or is read-only; it names ``account_fields`` or ``write_link_to``.
    """
    if policy.write_link_to and (fault := fields.faults([policy.write_link_to])):
        problem = f"the account field {policy.write_link_to} {fault[policy.write_link_to]} in ServiceDesk Plus MSP"
        raise SettingError("write_link_to", problem, "udf_fields.udf_sline_101")
    if faults := fields.faults(sorted(mapped)):
        named = ", ".join(f"{path} {fault}" for path, fault in faults.items())
        raise SettingError("account_fields", f"in ServiceDesk Plus MSP the account field {named}", _EXAMPLE)


class AccountSettle:
    """One settle of accounts. Use :func:`msp_xero.directory.jobs.run_accounts`, which holds the lock."""

    def __init__(  # noqa: PLR0913 - everything it works with is handed in
        self,
        ledger: Ledger,
        client: AccountSide,
        policy: AccountPolicy,
        *,
        fence: Fence,
        run_id: int,
        base_url: str | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        logger: logging.Logger | None = None,
        fields: AccountFields | None = None,
    ) -> None:
        self.summary = DirectorySummary(job=JOB, dry_run=policy.dry_run)
        self._ledger = ledger
        self._client = client
        self._policy = policy
        self._fence = fence
        self._run_id = run_id
        self._base_url = base_url
        self._should_stop = should_stop
        self._logger = logger or logging.getLogger(__name__)
        self._fields = fields or read_fields(client, self._logger)
        self._listed: dict[str, Row] = {}
        self._relisted = False
        self._columns: list[str] = []
        self._unknown: dict[str, str] = {}
        self._creating = Gate()
        self._updating = update_gate()

    def run(self) -> DirectorySummary:
        """Settle; the summary is filled as far as it came also when an error ends it.

        Raises:
            RemoteError: SDP cannot be used, or the outcome of a write is unknown.
            SettingError: ``write_link_to`` names no account field.
            LedgerError: another settle took over, or the address is another installation's.
        """
        check_fields(self._fields, (), self._policy)
        self._columns = self._columns_to_read()
        self._list()
        rows, creates = self._decide()
        for row in creates:
            if self._should_stop():
                break
            self._create(row)
        for row in rows:
            if self._should_stop():
                self.summary.stopped = True
                break
            self._bring_up_to_date(row)
        self._finish()
        return self.summary

    # ---------------------------------------------------------------- reading

    def _columns_to_read(self) -> list[str]:
        with self._ledger.read() as session:
            mapped: set[str] = set()
            for wanted in session.scalars(select(AccountLink.wanted).where(*self._mine())):
                mapped |= field_paths(wanted)
        if self._policy.write_link_to:
            mapped.add(self._policy.write_link_to)
        # Delivered under an earlier map: left out instead of refused with every record, for ever.
        self._unknown = self._fields.faults(mapped)
        if self._unknown:
            self._logger.warning(
                "accounts: some contacts were delivered with account fields that cannot be written (%s); they are "
                "left out. After a change of account_fields run once with --full-refresh",
                ", ".join(f"{path} {fault}" for path, fault in sorted(self._unknown.items())),
            )
        known = self._fields.known or {}
        optional = {name for name in ("inactive",) if name in known}
        return ["id", "name", *self._fields.columns((mapped - self._unknown.keys()) | optional)]

    def _list(self) -> None:
        columns = list(dict.fromkeys(self._columns))
        self._listed = {
            one: row for row in self._client.accounts(columns) if (one := identity(row)) is not None
        }

    # --------------------------------------------------------------- deciding

    def _decide(self) -> tuple[list[AccountLink], list[AccountLink]]:
        """Store SDP's list and all decisions that need no call, in one transaction.

        A person may map in the same moment: the fence's row is locked, so that one of both waits.
        """
        if self._policy.dry_run:
            with self._ledger.read() as session:
                rows, plan = self._plan(session)
                session.expunge_all()
            self._apply(plan)
        else:
            with self._ledger.write(self._fence) as session:
                rows, plan = self._plan(session)
                entries = [Entry(one, _name(row), row.get("inactive") is True) for one, row in self._listed.items()]
                store_listing(session, self._ledger, ACCOUNT, entries)
                changes = self._release_moved(plan)
                session.flush()  # an account must be free before its next contact takes it
                changes += self._apply(plan)
                record(session, self._ledger, changes, run_id=self._run_id)
        return rows, plan.creates

    def _plan(self, session: Session) -> tuple[list[AccountLink], AccountPlan]:
        connection = self._ledger.connection(session)
        rows = list(session.scalars(select(AccountLink).where(*self._mine()).order_by(AccountLink.id)))
        refuse_another_installation(
            connection.sdp_base_url,
            self._base_url,
            {row.account_id: row.account_name for row in rows if row.account_id and row.account_name},
            {one: _name(row) for one, row in self._listed.items()},
        )
        if self._base_url and not self._policy.dry_run:
            connection.sdp_base_url = self._base_url
        plan = plan_accounts(
            rows,
            [Named(one, _name(row)) for one, row in self._listed.items()],
            self._policy,
            first_synced_at=connection.accounts_synced_at,
            reserved={one for one, row in self._listed.items() if row.get("is_msp") is True},
        )
        return rows, plan

    def _release_moved(self, plan: AccountPlan) -> list[Change]:
        changes = []
        for move in plan.moves:
            if move.loser.account_id is not None:
                changes.append(Change(_TABLE, move.loser.id, "unlinked", {"sdp_id": move.account.id, "how": MERGED}))
            _set_link(move.loser, None, None)
        return changes

    def _apply(self, plan: AccountPlan) -> list[Change]:
        changes = []
        made = [(link.row, link.account, link.how) for link in plan.links]
        made += [(move.survivor, move.account, MERGED) for move in plan.moves]
        for row, account, how in made:
            _set_link(row, account, how)
            changes.append(Change(_TABLE, row.id, "linked", {"sdp_id": account.id, "how": how}))
        for listed in plan.listed:
            listed.row.candidates = list(listed.candidates) or None
            listed.row.problem = listed.problem
        for row, reason in plan.stranded:
            row.problem = reason
        self.summary.new = len(made)
        self.summary.unmapped = len(plan.listed)
        self.summary.ambiguous = sum(listed.ambiguous for listed in plan.listed)
        stranded = {row.contact_id for row, _ in plan.stranded if row.account_id is not None}
        self.summary.failed += len(stranded)
        if self.summary.dry_run:
            self.summary.planned += [
                {"contact_id": row.contact_id, "action": "link", "sdp_id": account.id} for row, account, _ in made
            ]
        return changes

    # --------------------------------------------------------------- creating

    def _create(self, row: AccountLink) -> None:
        values = self._wanted(row)
        if url := self._policy.login_url(name=row.contact_name, contact_id=row.contact_id):
            values.setdefault(self._policy.login_url_field, url)
        if too_long := self._fields.too_long(values):
            self._fail(row, "; ".join(too_long))
            return
        if known := self._creating.problem(values):
            self._fail(row, known)
            return
        if self.summary.dry_run:
            self._note(row, "create", values)
            self.summary.created += 1
            return
        try:
            answer = self._client.create_account(self._fields.nested(values))
        except Rejected as error:
            if DUPLICATE in error.codes and "name" in (*error.fields, "name"):
                self._find_duplicate(row, error)
                return
            self._refuse_create(row, error, values)
            return
        except (AccessRefused, Missing) as error:
            self._refuse_create(row, error, values)
            return
        self._creating.passed()
        account = Named(identity(answer) or "", _name(answer) or row.contact_name)
        self._listed[account.id] = {**self._fields.nested(values), **answer, "id": account.id}
        self._store_link(row, account, CREATED, data={"fields": sorted(values)})
        self.summary.created += 1

    def _refuse_create(self, row: AccountLink, error: RemoteError, values: Values) -> None:
        problem = words(error)
        if self._policy.login_url_field in getattr(error, "fields", ()):
            problem += " Set login_url_template."
        self._creating.refused(error, problem, values)
        self._fail(row, problem, error)

    def _find_duplicate(self, row: AccountLink, error: Rejected) -> None:
        """The name exists: made a moment ago, by us before a crash, or by somebody else. Look again."""
        if not self._relisted:
            self._relisted = True
            self._list()
        wanted = exact_key(row.contact_name)
        same = [one for one, listed in self._listed.items() if exact_key(_name(listed)) == wanted]
        if len(same) == 1 and self._is_free(same[0]):
            account = Named(same[0], _name(self._listed[same[0]]))
            self._store_link(row, account, "exact")
            self.summary.new += 1
            return
        alike = [
            one for one, listed in self._listed.items() if _name(listed).casefold() == row.contact_name.casefold()
        ]
        free = [one for one in alike if self._is_free(one)]
        problem = (
            "an account of this name exists: link it by hand"
            if alike
            else "ServiceDesk Plus MSP says that an account of this name exists, but does not show it to this key"
        )
        self._fail(row, problem, error, candidates=free)

    def _is_free(self, account_id: str) -> bool:
        with self._ledger.read() as session:
            holder = session.scalar(select(AccountLink.id).where(*self._mine(), AccountLink.account_id == account_id))
        return holder is None

    def _store_link(self, row: AccountLink, account: Named, how: str, data: dict[str, Any] | None = None) -> None:
        with self._ledger.write(self._fence) as session:
            stored = session.get_one(AccountLink, row.id)
            note_entry(session, self._ledger, ACCOUNT, Entry(account.id, account.name))
            if stored.account_id is None and stored.state != "ignored":
                _set_link(stored, account, how)
                stored.written_at = self._ledger.clock.now() if how == CREATED else stored.written_at
                action = "created" if how == CREATED else "linked"
                changes = [Change(_TABLE, row.id, action, {"sdp_id": account.id, "how": how, **(data or {})})]
                record(session, self._ledger, changes, run_id=self._run_id)
        _set_link(row, account, how)

    # --------------------------------------------------------------- updating

    def _bring_up_to_date(self, row: AccountLink) -> None:
        """Write the members of a linked account that differ from what its contact wants."""
        if is_invalid(row):
            self.summary.failed += 1
        if not is_active(row):
            self.summary.archived += 1
        if row.account_id is None:
            return
        self.summary.linked += 1
        if is_invalid(row) or not is_active(row):
            return
        current = self._listed.get(row.account_id)
        if current is None:
            self._fail(row, _LOST)
            return
        wanted = self._wanted(row)
        if row.how not in NAMED:
            del wanted["name"]  # a person, or a merge, joined two names that differ: both stay
        changed = self._fields.changes(current, wanted)
        if too_long := self._fields.too_long(changed):
            self._fail(row, "; ".join(too_long))
        elif not changed or self._kept_by_sdp(row, current, changed):
            self.summary.unchanged += 1
            self._settled(row, _name(current))
        elif known := self._updating.problem():
            self._fail(row, known)
        elif self.summary.dry_run:
            self._note(row, "update", changed)
            self.summary.updated += 1
        else:
            self._update(row, current, changed)

    def _update(self, row: AccountLink, current: Row, changed: Values) -> None:
        account_id = str(row.account_id)
        try:
            answer = self._client.update_account(account_id, self._fields.nested(changed))
        except (Rejected, AccessRefused, Missing) as error:
            problem = words(error)
            self._updating.refused(error, problem)
            self._fail(row, problem, error)
            return
        self._updating.passed()
        told = {path: value for path, value in changed.items() if self._fields.delivers(answer, path)}
        remaining = self._remaining(answer, self._fields.changes(answer, told))
        overwrote = {path: self._fields.current(current, path) for path in changed}
        name = _name(answer) or _name(current)
        with self._ledger.write(self._fence) as session:
            stored = session.get_one(AccountLink, row.id)
            stored.account_name = name if stored.account_id == account_id else stored.account_name
            stored.written_digest = digest_of(remaining)
            stored.written_at = self._ledger.clock.now()
            stored.problem = stored.problem if is_invalid(stored) else None
            note_entry(session, self._ledger, ACCOUNT, Entry(account_id, name))
            changes = [Change(_TABLE, row.id, "updated", {"sdp_id": account_id, "overwrote": overwrote})]
            record(session, self._ledger, changes, run_id=self._run_id)
        self.summary.updated += 1

    def _kept_by_sdp(self, row: AccountLink, current: Row, changed: Values) -> bool:
        """Whether SDP keeps these values in a form of its own, so that writing again would change nothing."""
        return row.written_digest is not None and row.written_digest == digest_of(self._remaining(current, changed))

    def _remaining(self, account: Row, changed: Values) -> dict[str, Any]:
        return {path: [value, self._fields.current(account, path)] for path, value in changed.items()}

    def _settled(self, row: AccountLink, name: str) -> None:
        """Note SDP's present name and that an earlier problem is over; most rows need neither."""
        if self.summary.dry_run or (row.problem is None and row.account_name == name):
            return
        with self._ledger.write(self._fence) as session:
            stored = session.get_one(AccountLink, row.id)
            stored.account_name = name if stored.account_id == row.account_id else stored.account_name
            stored.problem = stored.problem if is_invalid(stored) or stored.merged_to_contact_id else None

    # ------------------------------------------------------------------- both

    def _wanted(self, row: AccountLink) -> Values:
        values = {path: value for path, value in flatten(row.wanted).items() if path not in self._unknown}
        values["name"] = row.contact_name
        if self._policy.write_link_to:
            values[self._policy.write_link_to] = row.contact_id
        return values

    def _fail(
        self, row: AccountLink, problem: str, error: RemoteError | None = None, candidates: Iterable[str] = ()
    ) -> None:
        """Store why a record could not be written; the others go on."""
        self.summary.failed += 1
        if row.account_id is None:
            self.summary.unmapped += 1
        offered = list(candidates) or None
        if self.summary.dry_run or (error is None and row.problem == problem):
            return
        with self._ledger.write(self._fence) as session:
            stored = session.get_one(AccountLink, row.id)
            stored.problem, stored.candidates = problem, offered
            told = facts(error) if error else None
            record(session, self._ledger, [Change(_TABLE, row.id, "failed", told)], run_id=self._run_id)

    def _note(self, row: AccountLink, action: str, values: Values) -> None:
        self.summary.planned.append({"contact_id": row.contact_id, "action": action, "fields": sorted(values)})

    def _finish(self) -> None:
        """The first sync is done when all its decisions were carried out."""
        if self.summary.stopped or self.summary.dry_run:
            return
        with self._ledger.write(self._fence) as session:
            connection = self._ledger.connection(session)
            if connection.accounts_synced_at is None:
                connection.accounts_synced_at = self._ledger.clock.now()

    def _mine(self) -> tuple[Any, ...]:
        return (
            AccountLink.connection_id == self._ledger.connection_id,
            AccountLink.generation == self._ledger.generation,
        )


def _name(row: Row) -> str:
    value = row.get("name")
    return value if isinstance(value, str) else ""


def _set_link(row: AccountLink, account: Named | None, how: str | None) -> None:
    row.account_id = account.id if account else None
    row.account_name = account.name if account else None
    row.state = "linked" if account else "unmapped"
    row.how = how
    row.candidates = None
    row.problem = None
    row.written_digest = None

"""The settle of accounts: read SDP's list once, decide, then write what differs, one commit a write.

A crash between a write in SDP and its commit costs nothing: the next settle finds the account by its
exact name, or finds nothing left to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from msp_xero.directory.account_plan import MERGED, AccountPlan, is_invalid, plan_accounts
from msp_xero.directory.account_writes import AccountWriter, set_link
from msp_xero.directory.carried import read_claims
from msp_xero.directory.clues import account_clues, carried_clue
from msp_xero.directory.fields import CUSTOM, TEXT, AccountFields, field_paths
from msp_xero.directory.losses import (
    Linked,
    find_strangers,
    forget_what_was_not_made,
    give_up,
    note_losses,
)
from msp_xero.directory.match import Named
from msp_xero.directory.work import is_own
from msp_xero.directory.writes import name_of, refuse_another_installation, write_in_turn
from msp_xero.errors import RemoteError, SettingError
from msp_xero.ledger.audit import Change, record
from msp_xero.ledger.given_anew import lost_names, note_given_anew, remember_lost
from msp_xero.ledger.link_staging import ACCOUNT, Entry, store_listing
from msp_xero.ledger.links import LIST
from msp_xero.ledger.merges import is_active, merged_into
from msp_xero.ledger.models import AccountLink

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from logging import Logger

    from sqlalchemy.orm import Session

    from msp_xero.directory.port import AccountSide
    from msp_xero.directory.settings import AccountPolicy
    from msp_xero.directory.summary import DirectorySummary
    from msp_xero.directory.work import AccountWork

_TABLE: Final = AccountLink.__tablename__
_TELLING: Final = frozenset(("inactive", "is_msp", "emailid", "landline", "fax", "weburl"))
"""Fields that are asked for beside the mapped ones, where there are such: suggestions go by them."""

_SOME_CONTACT_ID: Final = "00000000-0000-0000-0000-000000000000"
_LINK_EXAMPLE: Final = "udf_fields.udf_sline_101"
_EXAMPLE: Final = '{"emailid": "EmailAddress", "landline": "Phones.DEFAULT"}'


def read_fields(client: AccountSide, logger: Logger) -> AccountFields:
    """Return what the installation tells about account fields; nothing when it does not tell."""
    try:
        return AccountFields.from_metainfo(client.account_metainfo())
    except RemoteError as error:
        # When SDP is down as a whole, the list that is read next says so better.
        logger.info("account fields are not checked: the installation does not list them (%s)", error.problem)
        return AccountFields()


def check_fields(fields: AccountFields, mapped: Mapping[str, str], policy: AccountPolicy) -> None:
    """Check that the mapped account fields can be written.

    Args:
        fields: what the installation knows.
        mapped: paths of the fields that the mapper delivers, with the kind of value, "" if not known.
        policy: the settings.

    Raises:
        SettingError: a field does not exist, is read-only, or takes another kind or length of value; it
            names ``account_fields``, ``write_link_to`` or ``login_url_field``.
    """
    link = policy.write_link_to
    if link and (fault := fields.faults({link: TEXT})):
        raise SettingError("write_link_to", _fault({link: fault[link]}), _LINK_EXAMPLE)
    if link and (too_long := fields.too_long({link: _SOME_CONTACT_ID})):
        raise SettingError("write_link_to", f"is too short for a ContactID: {too_long[0]}", _LINK_EXAMPLE)
    login = policy.login_url_field
    if policy.login_url_template and (fault := fields.faults({login: TEXT})):
        raise SettingError("login_url_field", _fault({login: fault[login]}), "login_url")
    if faults := fields.faults(dict(sorted(mapped.items()))):
        raise SettingError("account_fields", _fault(faults), _EXAMPLE)


def _fault(faults: Mapping[str, str]) -> str:
    named = ", ".join(f"{path} {fault}" for path, fault in faults.items())
    return f"the account field {named} in ServiceDesk Plus MSP"


def _say_what_new_accounts_lack(work: AccountWork, mapped: Collection[str]) -> None:
    """Name mandatory fields that nothing fills before the first create is refused for them."""
    policy = work.policy
    given = {"name", *mapped, *([policy.write_link_to] if policy.write_link_to else [])}
    if policy.login_url_template:
        given.add(policy.login_url_field)
    lacking = [path for path in work.fields.mandatory() if path not in given]
    if lacking and policy.unmatched_contacts != "list":
        work.logger.warning(
            "accounts: ServiceDesk Plus MSP demands of a new account %s",
            "; ".join(f"{work.fields.called(path)}: {policy.provider(path)}" for path in lacking),
        )


def settle_accounts(work: AccountWork) -> None:
    """Carry out one settle; ``work.summary`` is filled as far as it came also when an error ends it.

    Use :func:`msp_xero.directory.jobs.run_accounts`, which holds the lock and records the run.

    Raises:
        RemoteError: SDP cannot be used, or the outcome of a write is unknown; all that could be written was.
        SettingError: ``write_link_to`` names no account field.
        LedgerError: another settle took over, or the address is another installation's.
    """
    check_fields(work.fields, {}, work.policy)
    _choose_columns(work)
    work.read_list()
    decided_at = work.ledger.clock.now()
    rows, creates = _decide(work)
    work.summary.linked = sum(row.account_id is not None for row in rows)
    work.summary.archived = sum(not is_active(row) and merged_into(row) is None for row in rows)
    work.summary.failed += sum(is_invalid(row) for row in rows)
    writer = AccountWriter(work, rows)
    write_in_turn(writer, rows, creates)
    if work.summary.stopped:
        return
    if work.has_all_contacts and not writer.unanswered.has_news:
        _finish(work, decided_at)
    writer.unanswered.end_the_run()


def _choose_columns(work: AccountWork) -> None:
    """Ask for the mapped fields only, and leave out those that this installation does not have."""
    mapped: set[str] = set()
    with work.ledger.read() as session:
        for wanted in session.scalars(select(AccountLink.wanted).where(*work.mine())):
            mapped |= field_paths(wanted)
    if work.policy.write_link_to:
        mapped.add(work.policy.write_link_to)
    # Contacts that were delivered under an earlier map would otherwise be refused for ever.
    work.unknown = work.fields.faults(mapped)
    if work.unknown:
        work.logger.warning(
            "accounts: some contacts were delivered with account fields that cannot be written (%s); they "
            "are left out. After a change of account_fields run once with --full-refresh",
            ", ".join(f"{path} {fault}" for path, fault in sorted(work.unknown.items())),
        )
    _say_what_new_accounts_lack(work, mapped)
    known = (work.fields.known or {}).keys()
    optional = {path for path in known if path in _TELLING or path.startswith(f"{CUSTOM}.")}
    columns = ["id", "name", *work.fields.columns((mapped - work.unknown.keys()) | optional)]
    if work.policy.is_cloud:
        columns.append("is_msp")  # a list tells it only when asked, and metadata does not name it
    work.columns = list(dict.fromkeys(columns))


def _decide(work: AccountWork) -> tuple[list[AccountLink], list[AccountLink]]:
    """Store SDP's list and all decisions that need no call, in one transaction.

    A person may map in the same moment: the fence's row is locked, so that one of both waits.
    """
    if work.policy.dry_run:
        with work.ledger.read() as session:
            rows, first_synced_at = _read(work, session)
            lost = lost_names(session, work.ledger, ACCOUNT)
            session.expunge_all()
        _compare_with_list(work, rows, lost)
        plan = _plan(work, rows, first_synced_at)
        _release_moved(plan)
        _apply(work, plan)
        return rows, plan.creates
    with work.ledger.write(work.fence) as session:
        rows, first_synced_at = _read(work, session)
        lost = lost_names(session, work.ledger, ACCOUNT)
        changes, strangers = _compare_with_list(work, rows, lost)
        changes += note_given_anew(session, work.ledger, ACCOUNT, strangers)
        remember_lost(session, work.ledger, ACCOUNT, work.listed, _linked_names(rows))
        plan = _plan(work, rows, first_synced_at)
        if work.base_url:
            work.ledger.connection(session).sdp_base_url = work.base_url
        carried = work.carried()
        entries = [
            Entry(
                one,
                name_of(row),
                row.get("inactive") is True,
                is_own(row),
                [*account_clues(row), *carried_clue(carried.get(one))],
            )
            for one, row in work.listed.items()
        ]
        store_listing(session, work.ledger, ACCOUNT, entries)
        changes += _release_moved(plan)
        session.flush()  # an account must be free before its next contact takes it
        changes += _apply(work, plan)
        record(session, work.ledger, changes, run_id=work.run_id)
    return rows, plan.creates


def _read(work: AccountWork, session: Session) -> tuple[list[AccountLink], datetime | None]:
    """Return all contacts and when the first sync was; refuse accounts of another installation."""
    connection = work.ledger.connection(session)
    rows = list(session.scalars(select(AccountLink).where(*work.mine()).order_by(AccountLink.id)))
    refuse_another_installation(
        connection.sdp_base_url,
        work.base_url,
        _linked_names(rows),
        work.names(),
    )
    return rows, connection.accounts_synced_at


def _linked_names(rows: Sequence[AccountLink]) -> dict[str, str]:
    """Return the last name of each account that is linked, by id."""
    return {row.account_id: row.account_name for row in rows if row.account_id and row.account_name}


def _plan(work: AccountWork, rows: Sequence[AccountLink], first_synced_at: datetime | None) -> AccountPlan:
    return plan_accounts(
        rows,
        [Named(one, name) for one, name in work.names().items()],
        work.policy,
        first_synced_at=first_synced_at,
        reserved=work.reserved(),
        carried=work.carried(),
    )


def _compare_with_list(
    work: AccountWork, rows: Sequence[AccountLink], lost: Mapping[str, str]
) -> tuple[list[Change], set[str]]:
    """Take note of what the list tells about links, and about creates that got no answer.

    Returns:
        The events, and the ids that are another's now, linked before or not.
    """
    changes, strangers = _release_strangers(work, rows)
    names = work.names()
    for row in rows:
        # The name by which a stranger is told apart is the last one that was listed, written or not.
        row.account_name = names.get(row.account_id or "") or row.account_name
    linked = {row.account_id for row in rows}
    strangers |= find_strangers(lost, names, linked)
    forget_what_was_not_made(rows, [name for one, name in names.items() if one not in linked])
    return changes, strangers


def _release_strangers(work: AccountWork, rows: Sequence[AccountLink]) -> tuple[list[Change], set[str]]:
    """Take the link from contacts whose account was lost and whose id another account has now."""
    claims = read_claims([row.contact_id for row in rows], work.carried())
    linked = [
        (
            row,
            Linked(
                row.account_id,
                row.account_name,
                row.contact_name,
                carries_our_id=claims.get(row.account_id) == row.contact_id,
            ),
        )
        for row in rows
        if row.account_id is not None
    ]
    strangers = note_losses(linked, work.names(), work.ledger.clock.now())
    changes = [give_up(row, account_id, "account", set_link) for row, account_id in strangers]
    # What is invalid is counted for itself.
    work.summary.failed += sum(not is_invalid(row) for row, _ in strangers)
    return changes, {account_id for _, account_id in strangers}


def _release_moved(plan: AccountPlan) -> list[Change]:
    changes = []
    for move in plan.moves:
        if move.loser.account_id is not None:
            changes.append(
                Change(_TABLE, move.loser.id, "unlinked", {"sdp_id": move.account.id, "how": MERGED})
            )
            set_link(move.loser, None, None)
        # When a person takes the account from the survivor, its name does not give it back to the loser.
        move.loser.choice = LIST
    return changes


def _apply(work: AccountWork, plan: AccountPlan) -> list[Change]:
    summary: DirectorySummary = work.summary
    made = [(link.row, link.account, link.how) for link in plan.links]
    made += [(move.survivor, move.account, MERGED) for move in plan.moves]
    changes = []
    for row, account, how in made:
        set_link(row, account, how)
        if account.id not in work.listed:
            row.lost_at = work.ledger.clock.now()  # only a merge moves it on: its id may come back as another
        changes.append(Change(_TABLE, row.id, "linked", {"sdp_id": account.id, "how": how}))
        if work.policy.dry_run:
            summary.planned.append({"id": row.contact_id, "action": "link", "sdp_id": account.id})
    for listed in plan.listed:
        listed.row.candidates = list(listed.candidates) or None
        listed.row.problem = listed.problem
    for row, reason in plan.stranded:
        row.problem = reason
    for row in [*plan.shared, *plan.over]:
        row.problem = None
    summary.new = len(made)
    summary.unmapped = len(plan.listed)
    summary.ambiguous = sum(listed.ambiguous for listed in plan.listed)
    summary.failed += len(plan.stranded)
    return changes


def _finish(work: AccountWork, decided_at: datetime) -> None:
    """The first sync is done when all contacts came and all was carried out; its time then stays."""
    if work.policy.dry_run:
        return
    with work.ledger.write(work.fence) as session:
        connection = work.ledger.connection(session)
        if connection.accounts_synced_at is None:
            connection.accounts_synced_at = decided_at

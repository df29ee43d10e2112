"""``msp-xero accounts suggest``: which accounts the contacts without a link may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msp_xero.errors import MspXeroError
from msp_xero.ledger import links
from msp_xero.ledger.account_decisions import Decision, decide

from msp_xero_console import show
from msp_xero_console.account_notes import nothing_to_decide, the_contact
from msp_xero_console.command import AsJson  # noqa: TC001 - see below
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import plural, text

if TYPE_CHECKING:
    from msp_xero.directory.suggest import Suggestion, Suggestions
    from msp_xero.ledger.models import AccountLink


def suggest(  # noqa: PLR0913 - one parameter an option
    project: Project,
    *,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="CONTACT", help="Link this contact to its best suggestion; may be repeated."
        ),
    ] = None,
    accept_above: Annotated[
        int | None,
        typer.Option(
            "--accept-above",
            metavar="SCORE",
            min=1,
            max=100,
            help="Link all contacts whose suggestion has this score or more and no rival comes near.",
        ),
    ] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="Most suggestions for one contact.")] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be linked; link nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rank the accounts that contacts without a link may be, with a score and the reason.

    Links nothing unless told to accept.
    """
    # What compares names is slow to import, and few commands need it.
    from msp_xero.directory.suggest import read_suggestions  # noqa: PLC0415

    if accept or accept_above is not None:
        _accept(project, accept or [], accept_above, dry_run=dry_run, as_json=as_json)
        return
    with project.reading() as ledger:
        rows = links.account_links(ledger, unmapped_only=True)
        found = read_suggestions(ledger, most=most)
        nothing = nothing_to_decide(ledger)
    if as_json:
        show.data([_suggested(row, found) for row in rows])
        return
    if not rows:
        show.say(nothing)
        return
    columns = [Column("Contact", wraps=True), Column("Looks like", wraps=True), Column("Score", right=True)]
    columns += [Column("Why", wraps=True), Column("To link them")]
    lines = [
        (
            text(row.contact_name),
            text(one.account_name),
            str(one.score),
            one.reason,
            f"msp-xero accounts link {row.contact_id} {one.account_id}",
        )
        for row in rows
        for one in found.by_contact.get(row.contact_id, ())
    ]
    if lines:
        show.table(columns, lines)
        show.say()
    if found.clear:
        best = max(one.score for one in found.clear.values())
        show.say(
            f"{plural(len(found.clear), 'contact')} with a suggestion that no other comes near (best score "
            f"{best}): `msp-xero accounts suggest --accept-above SCORE` links all from a score on, "
            "`--accept CONTACT` one."
        )
    if alone := sum(row.contact_id not in found.by_contact for row in rows):
        show.say(
            f"{plural(alone, 'contact')} without an account of a similar name: see "
            "`msp-xero accounts list --unmapped`; `msp-xero accounts create CONTACT` has an account created."
        )


def _accept(project: Project, wanted: list[str], score: int | None, *, dry_run: bool, as_json: bool) -> None:
    from msp_xero.directory.suggest import CLEAR, read_suggestions  # noqa: PLC0415 - see above

    with project.deciding() as ledger:
        rows = {row.contact_id: row for row in links.account_links(ledger)}
        found = read_suggestions(ledger)
        named = [the_contact(ledger, name) for name in wanted]
        chosen = {one: _acceptable(found, rows[one]) for one in named}
        if score is not None:
            chosen |= {one: best for one, best in found.clear.items() if best.score >= score}
        decisions = [
            Decision(
                place=f"contact {contact_id}",
                contact_id=contact_id,
                action=links.LINK,
                account_id=one.account_id,
                evidence={"score": one.score, "reason": one.reason},
            )
            for contact_id, one in sorted(chosen.items())
        ]
        applied = decide(ledger, decisions, dry_run=dry_run)
    if applied.problems:
        raise MspXeroError("nothing was linked: " + "; ".join(applied.problems))
    unclear = [
        contact_id
        for contact_id, ranked in found.by_contact.items()
        if score is not None and ranked[0].score >= score and contact_id not in chosen
    ]
    if as_json:
        made = [
            {"contact_id": one, "contact_name": rows[one].contact_name, **show.plain(suggestion)}
            for one, suggestion in sorted(chosen.items())
        ]
        show.data({"linked": made, "too_close": sorted(unclear), "dry_run": dry_run})
        return
    if chosen:
        columns = [Column("Contact", wraps=True), Column("Account", wraps=True), Column("Account id")]
        columns += [Column("Score", right=True), Column("Why", wraps=True)]
        show.table(
            columns,
            [
                (
                    text(rows[one].contact_name),
                    text(made.account_name),
                    made.account_id,
                    str(made.score),
                    made.reason,
                )
                for one, made in sorted(chosen.items(), key=lambda pair: (-pair[1].score, pair[0]))
            ],
        )
        show.say()
    verb = "would be linked" if dry_run else "linked. The next run bills what waited for their accounts"
    show.say(f"{plural(len(chosen), 'contact')} {verb}.")
    if unclear:
        show.say(
            f"{plural(len(unclear), 'contact')} of that score left to you, because another account or "
            f"another contact comes within {CLEAR} points: see `msp-xero accounts suggest`."
        )


def _acceptable(found: Suggestions, row: AccountLink) -> Suggestion:
    """Return the suggestion that a person may accept by naming the contact alone."""
    if clear := found.clear.get(row.contact_id):
        return clear
    subject = f"contact {row.contact_name!r} ({row.contact_id})"
    if row.account_id is not None:
        raise MspXeroError(f"{subject} is linked to account {row.account_id} already")
    ranked = found.by_contact.get(row.contact_id)
    if not ranked:
        raise MspXeroError(f"there is no suggestion for {subject}; link it with `msp-xero accounts link`")
    named = " or ".join(f"{one.account_name} ({one.account_id}, {one.score})" for one in ranked[:2])
    raise MspXeroError(
        f"{subject} is not clear: {named}, or another contact wants the same account; "
        "link it with `msp-xero accounts link CONTACT ACCOUNT`"
    )


def _suggested(row: AccountLink, found: Suggestions) -> dict[str, Any]:
    return {
        "contact_id": row.contact_id,
        "contact_name": row.contact_name,
        "clear": row.contact_id in found.clear,
        "accounts": [show.plain(one) for one in found.by_contact.get(row.contact_id, ())],
    }

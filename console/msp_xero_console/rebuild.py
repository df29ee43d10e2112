"""``msp-xero rebuild``: an empty ledger filled from Xero, after the ledger was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msp_xero.billing.memory import tell_apart
from msp_xero.errors import MspXeroError
from msp_xero.ledger import views
from msp_xero.ledger.rebuilding import IN_DOUBT

from msp_xero_console import billing, show
from msp_xero_console.command import AsJson, command, command_group, needs_person
from msp_xero_console.project import Project  # noqa: TC001 - Typer evaluates annotations
from msp_xero_console.show import Column
from msp_xero_console.words import number, plural, text
from msp_xero_console.worklogs import shared_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msp_xero.billing.rebuild import Named, Rebuilt

app = command_group("Fill an empty ledger from Xero after the ledger was lost.")

_SHOWN = 5
NOT_IN_XERO = (
    "Gone for good, because Xero does not know them: the exclusions that people made, links made by hand "
    "(but with write_link_to the accounts themselves tell theirs), the history before today, and what an "
    "organisation that this connection billed before was billed: its worklogs would be billed again here. "
    "Rebuild from that one first, then `msp-xero reinitialise`, then rebuild from this one."
)
BEFORE_BILLING = (
    "Bring the links back: `meltano run --full-refresh accounts worklog-types`, then by hand what is left.",
    "Deliver all worklogs, bill none: `TARGET_XERO_INVOICES_PUSH=false meltano run --full-refresh worklogs`.",
    "Exclude again what people had excluded: `msp-xero worklogs exclude ID --reason TEXT`.",
    "Look at what would be billed: `msp-xero invoices preview`. Then bill: `msp-xero invoices push`.",
)


@command(app)
def rebuild(
    project: Project,
    *,
    only_prefix: Annotated[
        bool,
        typer.Option(
            "--only-prefix",
            help="Leave out invoices with our marks whose number does not begin with number_prefix: "
            "only where another installation makes those.",
        ),
    ] = False,
    another: Annotated[
        str | None,
        typer.Option(
            "--another",
            metavar="ID",
            help=f"Rebuild nothing: this worklog, held {IN_DOUBT} or waiting, is another one than what is "
            "billed under its id. The next run bills it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fill an empty ledger from Xero: which worklogs are on which invoice.

    Only after the ledger was lost and no backup is left. Reads every sales invoice, sends nothing. Ends
    with 3 when something needs a person.
    """
    if another is not None:
        _tell_apart(project, another, as_json=as_json)
        return
    rebuilt = billing.rebuild(project, only_prefix=only_prefix, progress=_progress)
    if as_json:
        show.data({**show.plain(rebuilt), "outcome": rebuilt.outcome, "next": [NOT_IN_XERO, *BEFORE_BILLING]})
    else:
        _draw(rebuilt)
    if rebuilt.needs_person:
        needs_person()


def _progress(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _draw(rebuilt: Rebuilt) -> None:
    show.say(
        f"The ledger is rebuilt: {plural(rebuilt.worklogs, 'worklog')} on "
        f"{plural(rebuilt.invoices, 'invoice')} count as billed, of {number(rebuilt.read)} sales invoices in "
        f"Xero. The next invoice gets number {number(rebuilt.next_number)}."
    )
    if rebuilt.on_record:
        show.say(
            "Passed over, because the ledger has them from before the connection left this organisation and "
            f"came back: {plural(rebuilt.on_record, 'invoice')}."
        )
    findings = list(_findings(rebuilt))
    if findings:
        show.heading("Look at these before you bill again")
        columns = [Column("How many", right=True), Column("What", wraps=True), Column("Which", wraps=True)]
        show.table(columns, findings)
    show.heading("Before you bill again")
    show.say(NOT_IN_XERO)
    for step, sentence in enumerate(BEFORE_BILLING, start=1):
        show.say(f"{step}. {sentence}")


def _findings(rebuilt: Rebuilt) -> Iterator[tuple[str, str, str]]:
    if rebuilt.unmarked.count:
        yield _finding(
            rebuilt.unmarked,
            "invoices with lines that name no worklog. If somebody removed the mark, the worklog is billed "
            "again: exclude it.",
        )
    if rebuilt.twice.count:
        yield _finding(
            rebuilt.twice,
            "worklogs on two live invoices, or on two lines of one: is one a copy? The line on the invoice "
            "in brackets does not count.",
        )
    if rebuilt.missing.count:
        yield _finding(
            rebuilt.missing,
            "numbers that no invoice here has. Refused ones leave small gaps. If an organisation before this "
            "one has them, rebuild from that one first, or its worklogs are billed again.",
        )
    if rebuilt.gone.count:
        yield _finding(
            rebuilt.gone,
            f"voided or deleted invoices, whose {plural(rebuilt.on_gone, 'worklog')} count as billed. "
            "To bill them again: `msp-xero invoices release NUMBER`.",
        )
    if rebuilt.other_numbers.count:
        yield _finding(
            rebuilt.other_numbers,
            "invoices with our marks and another prefix. They count as billed. If another installation made "
            "them, rebuild a new ledger with --only-prefix.",
        )
    if rebuilt.in_doubt:
        yield (
            number(rebuilt.in_doubt),
            f"worklogs held {IN_DOUBT}: their id in another module is billed.",
            f"`msp-xero worklogs list --reason {IN_DOUBT}`",
        )


def _finding(named: Named, what: str) -> tuple[str, str, str]:
    shown = ", ".join(text(name) for name in named.first[:_SHOWN])
    return number(named.count), what, f"{shown} and more" if named.count > _SHOWN else shown


def _tell_apart(project: Project, wanted: str, *, as_json: bool) -> None:
    with project.deciding() as ledger:
        rows = [row for row in views.find_worklogs(ledger, wanted) if row.state in {"open", "held"}]
        found = [row for row in rows if row.reason_code == IN_DOUBT] or rows
        if len(found) > 1:
            raise shared_id(found, wanted)
        if not found:
            raise MspXeroError(
                f"there is no worklog {wanted} that waits; `msp-xero worklogs list --state held` and "
                "`--state open` show them"
            )
        state = tell_apart(ledger, found[0].row)
    if as_json:
        show.data({"worklog": found[0].label, "state": state})
    else:
        show.say(
            f"Worklog {found[0].label} is another one than the billed one: the next run bills it if nothing "
            "else keeps it."
        )

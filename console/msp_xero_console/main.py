"""The command line ``msp-xero``: which commands there are. Each subject has a module of its own."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

_COMMANDS = {
    "status": "Show the last runs, where every worklog is, and what needs a person.",
    "doctor": "Check settings, connections and books, and say what to do. Only looks.",
    "login": "Connect a Xero web or PKCE app through the browser.",
    "accounts": "Link Xero contacts and ServiceDesk Plus accounts.",
    "types": "Link Xero items and ServiceDesk Plus worklog types.",
    "worklogs": "List, explain, exclude and export worklogs, billed or not.",
    "invoices": "List invoices, preview and push what is next.",
    "reconcile": "Settle unknown outcomes and refresh the states of invoices. Sends nothing.",
    "rebuild": "Fill an empty ledger from Xero after the ledger was lost.",
    "reinitialise": "Start a connection over with another Xero organisation. Billed worklogs stay billed.",
    "bookmarks": "Keep Meltano's bookmarks in git.",
}
_OVERVIEW = """Bill what technicians logged: ServiceDesk Plus MSP to Xero.

Run it in the folder of your Meltano project: it reads its settings there. Start with `msp-xero status`.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something needs a person.
"""


class _Commands(TyperGroup):
    """Imports the module of a command when the command is called, so that the others cost nothing."""

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        subject = importlib.import_module(f"msp_xero_console.{name}")
        return name, typer.main.get_command(subject.app), rest


app = typer.Typer(
    cls=_Commands,
    help=_OVERVIEW,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer hands it over by position
    if wanted:
        try:
            typer.echo(f"msp-xero {version('msp-xero')}")
        except PackageNotFoundError:
            typer.echo("msp-xero, not installed: run from its source")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hold the options of the program itself."""


def _list_commands() -> None:
    for name, summary in _COMMANDS.items():
        # Only the name and the summary are used: see _Commands.
        app.command(name, help=summary)(_options)


_list_commands()
app.callback(help=_OVERVIEW)(_options)


def main() -> None:
    """Run the command line."""
    app(prog_name="msp-xero")


if __name__ == "__main__":
    main()

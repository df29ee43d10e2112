"""What all commands share: the options that name the project, and how a command ends.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something needs a person.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, NoReturn, ParamSpec, TypeAlias

import typer
from msp_xero.errors import MspXeroError

from msp_xero_console.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

P = ParamSpec("P")
_Body: TypeAlias = Callable[Concatenate[Project, P], None]

FAILED = 1
NEEDS_PERSON = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most rows to show.")]

_DAY: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)

_ENVIRONMENT = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        metavar="NAME",
        help="Meltano environment; default: MELTANO_ENVIRONMENT, or the project's default.",
        rich_help_panel="Project",
    ),
]
_CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="JSON file with settings, instead of the Meltano project around this folder.",
        rich_help_panel="Project",
    ),
]
_SHARED = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    for name, kind in (("environment", _ENVIRONMENT), ("config", _CONFIG))
]


def read_day(written: str) -> date:
    """Return the day that a person wrote.

    Raises:
        BadParameter: it is written in another way, or there is no such day.
    """
    if found := _DAY.fullmatch(written.strip()):
        with contextlib.suppress(ValueError):
            return date(*map(int, found.groups()))
    raise typer.BadParameter(f"{written!r} is no day that can be read; write the day as 2026-11-01")


def command_group(summary: str) -> typer.Typer:
    """Return an application for one subject's commands."""
    return typer.Typer(
        help=summary, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
    )


def command(app: typer.Typer, name: str | None = None) -> Callable[[_Body[P]], _Body[P]]:
    """Register a function as a command that is handed the project it works on."""

    def register(body: _Body[P]) -> _Body[P]:
        @functools.wraps(body)
        def run(*, environment: str | None, config: Path | None, **values: Any) -> None:
            with plain_errors():
                if config is not None and environment is not None:
                    raise typer.BadParameter(
                        "a file of settings knows no environments; leave out one of --config and -e",
                        param_hint="-e",
                    )
                body(Project.find(environment=environment, config=config), **values)  # type: ignore[call-arg]

        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([*keywords, *_SHARED])  # type: ignore[attr-defined]
        app.command(name)(run)
        return body

    return register


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End with one line on standard error and exit code 1, never with a traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except MspXeroError as error:
        fail(str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        fail(f"{error.strerror or type(error).__name__}: {error.filename}" if error.filename else str(error))
    except Exception as error:  # noqa: BLE001 - the last line of defence: every end is one line
        # What the plugins share pulls in the Singer SDK, which only a fault of the program is worth.
        from msp_xero.singer.cli import describe_unexpected  # noqa: PLC0415

        fail(describe_unexpected(error))


def fail(sentence: str) -> NoReturn:
    """Print the one error line and end the command with exit code 1."""
    sys.stdout.flush()
    typer.echo(f"msp-xero: error: {sentence}", err=True)
    raise typer.Exit(FAILED)


def needs_person() -> NoReturn:
    """End the command: it is done, but something needs a person."""
    raise typer.Exit(NEEDS_PERSON)

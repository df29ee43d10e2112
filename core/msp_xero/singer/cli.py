"""How a plugin ends: one clear error line, no traceback, no customer text."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from msp_xero.errors import MspXeroError

if TYPE_CHECKING:
    from singer_sdk.plugin_base import PluginBase

    P = TypeVar("P", bound=type[PluginBase])

DEBUG_VARIABLE = "MSP_XERO_DEBUG"


class _PlainCommand(SingerCommand):
    """A Singer command that ends with one line when it fails."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, ConfigValidationError):
            raise
        except MspXeroError as error:
            fail(str(self.name), str(error), error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: every end is one line
            fail(str(self.name), describe_unexpected(error), error)


def plain_errors(plugin: P) -> P:
    """Class decorator: the plugin's command ends with ``<plugin>: error: <sentence>`` and exit code 1.

    The SDK would print a traceback whose last line may hold a whole record. Set ``MSP_XERO_DEBUG=1``
    to see tracebacks while developing.
    """
    build = plugin.get_singer_command.__func__  # type: ignore[attr-defined]

    def get_singer_command(cls: type[PluginBase]) -> click.Command:
        command: click.Command = build(cls)
        plain = _PlainCommand(command.name, logger=cls.logger)
        plain.__dict__.update(command.__dict__)
        return plain

    plugin.get_singer_command = classmethod(get_singer_command)  # type: ignore[method-assign,assignment]
    return plugin


def describe_unexpected(error: BaseException) -> str:
    """Say where a fault of the program happened, without the text of the error: it may hold a record."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return (
        f"unexpected {type(error).__name__}{where}. This is a fault of the program: "
        f"please report it; {DEBUG_VARIABLE}=1 shows the details"
    )


def fail(name: str, sentence: str, error: BaseException) -> None:
    """Print the one error line and leave with exit code 1."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    click.echo(f"{name}: error: {sentence}", err=True)
    sys.exit(1)

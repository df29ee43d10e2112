"""How a plugin ends: one clear error line, no traceback, no customer text."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from msp_xero.errors import MspXeroError, SettingError
from msp_xero.singer.settings import check_settings, wrong_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.plugin_base import PluginBase

    P = TypeVar("P", bound=type[PluginBase])

DEBUG_VARIABLE = "MSP_XERO_DEBUG"


class _PlainCommand(SingerCommand):
    """A Singer command that ends with one line when it fails; with one for each setting that is wrong."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with self._ending_plainly():  # the SDK discovers and tests while it reads its options
            return super().parse_args(ctx, args)

    @override
    def invoke(self, ctx: click.Context) -> Any:
        with self._ending_plainly():
            return super().invoke(ctx)

    @contextlib.contextmanager
    def _ending_plainly(self) -> Iterator[None]:
        try:
            yield
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except SettingError as error:
            fail(str(self.name), error, *map(str, (error, *error.others)))
        except MspXeroError as error:
            fail(str(self.name), error, str(error))
        except Exception as error:  # noqa: BLE001 - the last line of defence: every end is one line
            fail(str(self.name), error, describe_unexpected(error))


def plain_errors(plugin: P) -> P:
    """Class decorator: the plugin's command ends with ``<plugin>: error: <sentence>`` and exit code 1.

    The SDK would print a traceback whose last line may hold a whole record, and the values of settings
    that are wrong. Set ``MSP_XERO_DEBUG=1`` to see tracebacks while developing.
    """
    _check_settings_plainly(plugin)
    build = plugin.get_singer_command.__func__  # type: ignore[attr-defined]

    def get_singer_command(cls: type[PluginBase]) -> click.Command:
        command: click.Command = build(cls)
        plain = _PlainCommand(command.name, logger=cls.logger)
        plain.__dict__.update(command.__dict__)
        return plain

    plugin.get_singer_command = classmethod(get_singer_command)  # type: ignore[method-assign,assignment]
    return plugin


def _check_settings_plainly(plugin: type[PluginBase]) -> None:
    """Let a plugin name every setting that is wrong, and never show a value."""
    fill_in_defaults = plugin._validate_config  # noqa: SLF001 - the SDK has no public place for it

    def validate(self: PluginBase, *, raise_errors: bool = True) -> list[str]:
        # Null means "not set", which the SDK's own validation does not know.
        self._config = {name: value for name, value in self._config.items() if value is not None}
        self.append_builtin_config(self.config_jsonschema)
        if raise_errors:
            check_settings(self._config, self.config_jsonschema)
            return fill_in_defaults(self)
        wrong = [str(error) for error in wrong_settings(self._config, self.config_jsonschema)]
        fill_in_defaults(self, raise_errors=False)
        return wrong

    plugin._validate_config = validate  # type: ignore[method-assign]  # noqa: SLF001


def describe_unexpected(error: BaseException) -> str:
    """Say where a fault of the program happened, without the text of the error: it may hold a record."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return (
        f"unexpected {type(error).__name__}{where}. This is a fault of the program: "
        f"please report it; {DEBUG_VARIABLE}=1 shows the details"
    )


def fail(name: str, error: BaseException, *sentences: str) -> NoReturn:
    """Print an error line for each sentence and leave with exit code 1."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    for sentence in sentences:
        click.echo(f"{name}: error: {sentence}", err=True)
    sys.exit(1)

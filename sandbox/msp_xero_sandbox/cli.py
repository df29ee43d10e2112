"""The command ``msp-xero-sandbox``: starts both systems in one process until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.assembly import assemble
from msp_xero_sandbox.server import Server, Sites, address, listen
from msp_xero_sandbox.settings import Settings, parse_latency, parse_scale, parse_switch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from msp_xero_sandbox.assembly import Sandbox


def _typed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show the sentence of a ValueError instead of only naming the function."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="msp-xero-sandbox",
        description="A local Xero and a local ServiceDesk Plus MSP, for demonstrations and tests.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--host", help=f"address to listen on (default {defaults.host})")
    add("--xero-port", type=int, help=f"0 takes a free one (default {defaults.xero_port})")
    add("--sdp-port", type=int, help=f"0 takes a free one (default {defaults.sdp_port})")
    add("--seed", type=int, help=f"the same seed gives the same data (default {defaults.seed})")
    add(
        "--scale",
        type=_typed(parse_scale),
        help=f"small, medium, large or a number of worklogs (default {defaults.scale})",
    )
    add(
        "--latency-ms",
        dest="latency_seconds",
        type=_typed(parse_latency),
        metavar="A[,B]",
        help="delay of every answer, between A and B milliseconds",
    )
    add("--data", type=Path, metavar="FILE", help="JSON file with rows that replace the story's")
    add(
        "--set",
        dest="switches",
        type=_typed(parse_switch),
        action="append",
        metavar="NAME=VALUE",
        help="a switch, such as xero.day_limit=1000; may be repeated",
    )
    return parser


def settings_from(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; what is not given keeps its default."""
    given = vars(_parser().parse_args(arguments))
    return Settings(**{**given, "switches": tuple(given.get("switches", ()))})


async def _serve(settings: Settings) -> None:
    sandbox = assemble(settings)
    with contextlib.ExitStack() as opened:
        listeners = [
            opened.enter_context(listen(settings.host, port))
            for port in (settings.xero_port, settings.sdp_port)
        ]
        await _serve_on(listeners, sandbox)


async def _serve_on(listeners: list[socket.socket], sandbox: Sandbox) -> None:
    ports = [listener.getsockname()[1] for listener in listeners]
    line = f"msp-xero-sandbox ready xero={address(listeners[0])} sdp={address(listeners[1])}"
    server = Server(
        Sites(dict(zip(ports, [sandbox.xero, sandbox.sdp], strict=True))),
        ready=lambda: print(line, flush=True),  # noqa: T201 - the one line that scripts wait for
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await server.serve(listeners)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGTERM or SIGINT; returns the exit status."""
    settings = settings_from(arguments)
    try:
        asyncio.run(_serve(settings))
    except (OSError, ValueError) as error:
        print(f"msp-xero-sandbox: {error}", file=sys.stderr)  # noqa: T201 - a command's own message
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How often a call is made again, and what a broken connection tells about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    stop_never,
    wait_exponential,
    wait_random,
)
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from msp_xero.edges.deadline import is_unfinished
from msp_xero.errors import Throttled, Unavailable
from msp_xero.xero.budget import LONGEST_WAIT
from msp_xero.xero.errors import SYSTEM

if TYPE_CHECKING:
    from msp_xero.edges.clock import Clock

ATTEMPTS = 5

_backoff = wait_exponential(multiplier=0.5, max=15.0) + wait_random(0.0, 1.0)
_concurrent = wait_random(0.25, 2.0)  # xero-api §2: that breach comes without Retry-After


def repeating(
    clock: Clock, *, writes: bool, attempts: int = ATTEMPTS, patience: float | None = None
) -> Retrying:
    """Return the policy of repeating one call, waiting on ``clock``.

    tenacity is used directly because stamina, which is built on it, cannot be given a clock.

    Args:
        clock: does the waiting.
        writes: True repeats only what was certainly not processed: refused by a limit or never sent.
        attempts: how many calls are made at most.
        patience: seconds after which no further attempt begins; None for as long as the attempts take.
    """
    longest = LONGEST_WAIT if patience is None else min(patience, LONGEST_WAIT)

    def again(error: BaseException) -> bool:
        if isinstance(error, Throttled):
            return error.retry_after is None or error.retry_after <= longest
        return isinstance(error, Unavailable) and (not writes or not error.sent)

    return Retrying(
        sleep=clock.sleep,
        stop=stop_after_attempt(attempts) | (stop_never if patience is None else stop_before_delay(patience)),
        wait=_wait,
        retry=retry_if_exception(again),
        reraise=True,
    )


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Throttled):
        # A pause that Xero named is kept by the budget, for all calls.
        return 0.0 if error.retry_after is not None else _concurrent(state)
    return _backoff(state)


def broken(error: requests.RequestException, *, address: str, timeout: float) -> Unavailable:
    """Return the error for a call that got no answer, knowing whether it can have been processed.

    Args:
        error: what the HTTP library raised.
        address: method and URL without query.
        timeout: seconds, for the text.
    """
    sent = not _never_sent(error)
    if not sent:
        problem, advice = "cannot be reached", "Check the network and the address"
    elif isinstance(error, requests.Timeout):
        problem, advice = f"did not answer within {timeout:g} seconds", "Try again later"
    elif is_unfinished(error):
        problem, advice = "the answer did not come to its end in time", "Try again later"
    elif isinstance(error, requests.exceptions.SSLError):
        problem, advice = "the TLS connection cannot be trusted", "Check the address and this machine's time"
    else:
        problem, advice = "the connection broke before the whole answer had come", "Try again later"
    return Unavailable(problem, system=SYSTEM, address=address, advice=advice, sent=sent)


def _never_sent(error: requests.RequestException) -> bool:
    """Tell whether no connection was made at all (refused, no such host, connect timeout)."""
    if isinstance(error, requests.exceptions.ProxyError):
        return False
    cause: object = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, HTTPError) and isinstance(cause, (NewConnectionError, ConnectTimeoutError))

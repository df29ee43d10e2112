"""The ladder of errors: each class names the decision, not the status code.

Every message is one plain sentence for the person who has to act: what happened, where, what to
do. Messages never hold secrets, request bodies or texts that a customer or technician wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class MspXeroError(Exception):
    """The base of all errors that a run can end with."""


class SettingError(MspXeroError):
    """A setting is missing or wrong. ``setting`` is its name as the user writes it.

    ``others`` holds the errors of further settings that were found in the same look.
    """

    others: tuple[SettingError, ...] = ()

    def __init__(self, setting: str, problem: str, example: str | None = None) -> None:
        self.setting = setting
        self.problem = problem
        hint = f" Example: {setting}: {example}" if example else ""
        end = "" if problem.endswith("?") else "."
        super().__init__(f"Setting {setting}: {problem}{end}{hint}")


class LedgerError(MspXeroError):
    """The ledger cannot be used (locked, newer than this program, another organisation, disk full)."""


class BilledElsewhere(LedgerError):
    """Invoices in Xero, which this ledger does not know, bill worklogs that wait here."""


class InputError(MspXeroError):
    """A Singer message that can be neither stored nor safely left out."""


class RemoteError(MspXeroError):
    """One of the two systems did not do what it was asked.

    Attributes:
        system: ``Xero`` or ``ServiceDesk Plus MSP``.
        address: method and URL without query and secrets.
        status: the HTTP status, or None when there was no answer.
    """

    def __init__(
        self, problem: str, *, system: str, address: str, status: int | None = None, advice: str = ""
    ) -> None:
        self.system = system
        self.address = address
        self.status = status
        self.problem = problem
        self.advice = advice
        super().__init__(f"{system}: {problem} ({address}).{' ' + advice if advice else ''}")


class Unavailable(RemoteError):
    """No usable answer: connection refused or reset, timeout, 5xx, cut or non-JSON body.

    For a read it can be asked again. For a write the outcome is unknown: it may have been done.
    ``sent`` is False only when it is certain that the request never left (connection refused).
    """

    def __init__(  # noqa: PLR0913 - an error carries its circumstances
        self,
        problem: str,
        *,
        system: str,
        address: str,
        status: int | None = None,
        advice: str = "",
        sent: bool = True,
    ) -> None:
        super().__init__(problem, system=system, address=address, status=status, advice=advice)
        self.sent = sent


class Throttled(RemoteError):
    """Too many calls; nothing was processed. ``retry_after`` is in seconds, None when not told."""

    def __init__(
        self, problem: str, *, system: str, address: str, retry_after: float | None = None, limit: str = ""
    ) -> None:
        advice = "" if retry_after is None else f"{system} asks to wait {retry_after:.0f} seconds"
        super().__init__(problem, system=system, address=address, status=429, advice=advice)
        self.retry_after = retry_after
        self.limit = limit


class DayLimitReached(RemoteError):
    """The day's calls are used up (or only the reserve is left). ``resume_at`` is aware UTC or None."""

    def __init__(self, *, system: str, address: str, resume_at: datetime | None, advice: str = "") -> None:
        when = f" until {resume_at:%Y-%m-%d %H:%M} UTC" if resume_at else ""
        super().__init__(
            f"the daily call limit is reached{when}",
            system=system,
            address=address,
            status=429,
            advice=advice or "The next run goes on where this one stopped",
        )
        self.resume_at = resume_at


class AccessRefused(RemoteError):
    """Credentials, scope, tenant or role are not enough; trying again never helps."""


class NotLicensed(AccessRefused):
    """The licence of the installation does not have it, whoever asks."""


class Missing(RemoteError):
    """The row does not exist (404), or the path does not exist on this installation."""


class NoAddress(Missing):
    """A web server says that the address does not exist, not the system itself: it knows of no row."""

    def as_no_answer(self) -> Unavailable:
        """Return what it is where the system itself has to answer: no usable answer."""
        return Unavailable(
            self.problem, system=self.system, address=self.address, status=self.status, advice=self.advice
        )


class Rejected(RemoteError):
    """The request was understood and refused for its content.

    Attributes:
        messages: the system's own words, one per violation.
        codes: the system's own codes where it gives any (SDP ``messages[].status_code``).
        fields: names of the fields that were refused, where told.
    """

    def __init__(  # noqa: PLR0913 - an error carries its circumstances
        self,
        *,
        system: str,
        address: str,
        status: int | None,
        messages: Sequence[str],
        codes: Sequence[int] = (),
        fields: Sequence[str] = (),
    ) -> None:
        self.messages = list(messages)
        self.codes = list(codes)
        self.fields = list(fields)
        super().__init__(
            "; ".join(self.messages) or f"refused with code {', '.join(map(str, codes)) or status}",
            system=system,
            address=address,
            status=status,
        )

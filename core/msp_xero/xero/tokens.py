"""Access tokens as values, and the file that keeps them between runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout

from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A token is renewed this long before its end, or in its last quarter if it lives shorter (xero-api §1.2).
_LEEWAY = timedelta(seconds=120)

# After a rotation the previous refresh token still works for this long (xero-api §1.3).
GRACE = timedelta(minutes=30)

# An unused refresh token ends after this long; each refresh brings a new one (xero-api §1.3).
LIFE = timedelta(days=60)

# Nobody asks again about a refresh token that Xero refused so short a time ago.
_REFUSAL_HOLDS = timedelta(seconds=60)

_ROOM = 16_384  # bytes; a store of a few logins is smaller

_EXAMPLE = ".msp-xero/xero-token.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and what is needed to get the next one.

    Attributes:
        access_token: sent as Bearer; never shown.
        issued_at: aware UTC, by our clock.
        expires_at: aware UTC, by our clock.
        refresh_token: None for client_credentials; never shown.
        previous_refresh_token: the one before, for the time of grace.
        scope: the granted scopes, separated by spaces.
        refresh_issued_at: when the refresh token came; aware UTC.
        refused_at: when Xero refused the refresh token; aware UTC, None while it has not.
        logged_in_at: when a person connected; aware UTC.
        tenant_id: the organisation that was chosen then; None when none was.
        tenant_name: its name at that time.
    """

    access_token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)
    previous_refresh_token: str | None = field(default=None, repr=False)
    scope: str = ""
    refresh_issued_at: datetime | None = None
    refused_at: datetime | None = None
    logged_in_at: datetime | None = None
    tenant_id: str | None = None
    tenant_name: str = ""

    @property
    def ends_at(self) -> datetime | None:
        """When the login ends unless it is used before; None for a token without a refresh token."""
        return None if self.refresh_token is None else (self.refresh_issued_at or self.issued_at) + LIFE

    def was_just_refused(self, now: datetime) -> bool:
        """Tell whether Xero refused this login so recently that asking again is no use."""
        return self.refused_at is not None and abs(now - self.refused_at) < _REFUSAL_HOLDS

    def is_stale(self, now: datetime) -> bool:
        """Tell whether the token should be renewed before another call; ``now`` is aware UTC."""
        leeway = min(_LEEWAY, (self.expires_at - self.issued_at) / 4)
        return now >= self.expires_at - leeway

    def refresh_tokens(self, now: datetime) -> list[str]:
        """Return the refresh tokens worth trying, best first."""
        candidates = [self.refresh_token]
        if now - self.issued_at < GRACE:
            candidates.append(self.previous_refresh_token)
        return [candidate for candidate in candidates if candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """What the file holds: one token per connection."""

    version: int = 1
    tokens: dict[str, Token] = field(default_factory=dict)


class DamagedStore(SettingError):
    """The file is there and can be read, but holds no tokens."""


class TokenStore:
    """A small file of tokens, shared by all processes of an installation.

    A rotated refresh token is worth the whole connection: lose it and a person has to log in again. So the
    file is replaced in one step, is flushed to the disk before a token is used, is readable by its owner
    only, and is changed by one process at a time.

    Args:
        path: the file; directory and file are created when needed.
        lock_seconds: how long to wait for another process that is renewing a token.
    """

    def __init__(self, path: Path, *, lock_seconds: float = 420.0) -> None:
        self.path = path
        self._lock_seconds = lock_seconds

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other processes and threads out; not reentrant.

        Raises:
            SettingError: the directory cannot be written, or another process keeps the lock.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(f"{self.path}.lock", timeout=self._lock_seconds, mode=0o600)
            lock.acquire()
        except Timeout as error:
            raise SettingError(
                "token_store", f"another process has held {self.path}.lock for {self._lock_seconds:g} seconds"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error
        try:
            yield
        finally:
            lock.release()

    def load(self, name: str) -> Token | None:
        """Return the token of a connection, None when there is none.

        Raises:
            SettingError: the file exists and cannot be read as a token store.
        """
        return self._contents().tokens.get(name)

    def has_logins(self) -> bool:
        """Tell whether the file holds the login of any app; raises as :meth:`load` does."""
        return any(token.refresh_token for token in self._contents().tokens.values())

    def prove_writable(self) -> None:
        """Make sure that a token could be stored; to be called inside :meth:`locked`.

        A refresh token or a person's consent is spent by asking, so the place for the answer comes first: a
        folder that became read-only, or a full disk, must cost neither.

        Raises:
            SettingError: it could not.
        """
        try:
            with tempfile.NamedTemporaryFile(prefix=".xero-token-", dir=self.path.parent) as probe:
                probe.write(bytes(_ROOM))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise self._unusable(error) from error

    def set_aside(self) -> Path | None:
        """Rename a file that cannot be read as a token store; to be called inside :meth:`locked`.

        Returns:
            Its new name; None when the file is sound or absent.

        Raises:
            SettingError: the file cannot be renamed, or cannot be read for another reason.
        """
        try:
            self._contents()
        except DamagedStore:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            try:
                self.path.replace(aside)
            except OSError as error:
                raise self._unusable(error) from error
            return aside
        return None

    def save(self, name: str, token: Token) -> None:
        """Store a token durably; to be called inside :meth:`locked`.

        Raises:
            SettingError: the file cannot be written.
        """
        try:
            known = self._contents().tokens
        except SettingError:
            if token.refresh_token is None:
                known = {}  # a damaged cache holds nothing that cannot be had again
            else:
                raise
        # Tokens that are over and cannot be renewed are of no use to anyone.
        kept = {
            key: old for key, old in known.items() if old.refresh_token or old.expires_at > token.issued_at
        }
        self._replace(msgspec.json.encode(_Contents(tokens={**kept, name: token})))

    def _contents(self) -> _Contents:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Contents)
        except FileNotFoundError:
            return _Contents()
        except OSError as error:
            raise self._unusable(error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Not chained: the parser's text may quote a token.
            raise DamagedStore(
                "token_store",
                f"{self.path} is not a token file or is damaged; msp-xero login begins a new one",
            ) from None

    def _replace(self, raw: bytes) -> None:
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".xero-token-", dir=self.path.parent)  # mode 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(raw)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)  # noqa: PTH105 - the name is a str
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108 - the name is a str
                raise
            _flush_directory(self.path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> SettingError:
        reason = error.strerror or type(error).__name__
        return SettingError("token_store", f"{self.path} cannot be used ({reason})", _EXAMPLE)


def _flush_directory(directory: Path) -> None:
    """Make the replacement itself survive a power cut, where the system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Access tokens as values, and the file that keeps them between runs."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout
from typing_extensions import override

from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A token is renewed this long before its end, or in its last quarter if it lives shorter (xero-api §1.2).
_LEEWAY = timedelta(seconds=120)

# After a rotation the previous refresh token still works for this long (xero-api §1.3).
GRACE = timedelta(minutes=30)

# An unused refresh token ends after this long; each refresh brings a new one (xero-api §1.3).
LIFE = timedelta(days=60)

# Nobody asks again about a refresh token that Xero refused so short a time ago.
_REFUSAL_HOLDS = timedelta(seconds=60)

_ROOM = 16_384  # bytes; a store of a few logins is smaller

_TEMPORARY = ".xero-token-"  # how the names of our temporary files begin
_ABANDONED = 3600.0  # seconds; a temporary file lives for moments, unless its process was killed

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
    only, and is changed by one process at a time. Where root uses it, all stays with its owner: a look as
    root must not lock the nightly run out. A link is followed to the file that it stands for.

    Args:
        path: the file; directory and file are created when needed.
        lock_seconds: how long to wait for another process that is renewing a token.
    """

    def __init__(self, path: Path, *, lock_seconds: float = 420.0) -> None:
        self.path = Path(os.path.realpath(path))
        self._lock_seconds = lock_seconds

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other processes and threads out; not reentrant.

        Raises:
            SettingError: the directory cannot be written, or another process keeps the lock.
        """
        try:
            self._make_folder()
            lock = FileLock(f"{self.path}.lock", timeout=self._lock_seconds, mode=0o600)
            lock.acquire()
        except Timeout as error:
            raise SettingError(
                "token_store", f"another process has held {self.path}.lock for {self._lock_seconds:g} seconds"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._give_lock_to_owner()
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
            with tempfile.NamedTemporaryFile(prefix=_TEMPORARY, dir=self.path.parent) as probe:
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
            descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self.path.parent)  # mode 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    _give(file.fileno(), self._owner())
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
        _sweep(self.path.parent)

    def _make_folder(self) -> None:
        folder = self.path.parent
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if missing and _is_root():
            owner = missing[-1].parent.stat()
            for made in missing:
                os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _owner(self) -> tuple[int, int]:
        """Return whose the store is: who made the file, or else whose folder it is."""
        with contextlib.suppress(OSError):
            file = self.path.stat()
            if file.st_uid:
                return file.st_uid, file.st_gid
        folder = self.path.parent.stat()
        return folder.st_uid, folder.st_gid

    def _give_lock_to_owner(self) -> None:
        if not _is_root():
            return
        # By descriptor, and no link: a chown by name could be led to somebody else's file.
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{self.path}.lock", os.O_RDONLY | os.O_NOFOLLOW)
            try:
                _give(descriptor, self._owner())
            finally:
                os.close(descriptor)

    def _unusable(self, error: OSError) -> SettingError:
        reason = error.strerror or type(error).__name__
        return SettingError("token_store", f"{self.path} cannot be used ({reason})", _EXAMPLE)


class UnwrittenStore(TokenStore):
    """The store of somebody who only looks: new tokens are kept in memory, no file is made or changed.

    Only for tokens that can always be had again (client_credentials). A login's rotated token that is not
    written is lost.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._kept: dict[str, Token] = {}
        self._lock = threading.Lock()

    @override
    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._lock:
            yield

    @override
    def load(self, name: str) -> Token | None:
        return self._kept.get(name) or super().load(name)

    @override
    def save(self, name: str, token: Token) -> None:
        assert token.refresh_token is None
        self._kept[name] = token


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _give(descriptor: int, owner: tuple[int, int]) -> None:
    """Let a file that root has just made belong to the owner of the store."""
    if not _is_root():
        return
    found = os.fstat(descriptor)
    if found.st_uid == 0 and found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
        os.fchown(descriptor, *owner)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: half-written copies hold tokens too."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > _ABANDONED:
                left.unlink()


def _flush_directory(directory: Path) -> None:
    """Make the replacement itself survive a power cut, where the system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msp_xero.errors import SettingError
from msp_xero.xero.tokens import Token, TokenStore

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def token(name="a", *, life=1800, issued=NOW, **more):
    return Token(access_token=name, issued_at=issued, expires_at=issued + timedelta(seconds=life), **more)


@pytest.fixture
def store(tmp_path):
    return TokenStore(tmp_path / "new" / "token.json", lock_seconds=0.2)


def save(store, name, value):
    with store.locked():
        store.save(name, value)


def test_a_token_is_stale_two_minutes_before_its_end():
    assert not token().is_stale(NOW + timedelta(seconds=1679))
    assert token().is_stale(NOW + timedelta(seconds=1680))


def test_a_short_token_is_stale_in_its_last_quarter():
    assert not token(life=60).is_stale(NOW + timedelta(seconds=44))
    assert token(life=60).is_stale(NOW + timedelta(seconds=45))


def test_the_previous_refresh_token_counts_for_thirty_minutes():
    rotated = token(refresh_token="new", previous_refresh_token="old")
    assert rotated.refresh_tokens(NOW + timedelta(minutes=29)) == ["new", "old"]
    assert rotated.refresh_tokens(NOW + timedelta(minutes=30)) == ["new"]
    assert token().refresh_tokens(NOW) == []


def test_secrets_are_not_in_the_repr():
    text = repr(token("SECRET-1", refresh_token="SECRET-2", previous_refresh_token="SECRET-3"))
    assert "SECRET" not in text


def test_what_is_saved_is_loaded_and_others_are_kept(store):
    assert store.load("one") is None
    first, second = token("1", refresh_token="r", scope="a b"), token("2", refresh_token="s")
    save(store, "one", first)
    save(store, "two", second)
    assert TokenStore(store.path).load("one") == first
    assert store.load("two") == second


def test_tokens_that_are_over_and_cannot_be_renewed_are_dropped(store):
    save(store, "gone", token(life=10))
    save(store, "login", token(life=10, refresh_token="r"))
    save(store, "now", token(issued=NOW + timedelta(minutes=5)))
    assert store.load("gone") is None
    assert store.load("login") is not None


def test_the_file_is_for_its_owner_only_and_nothing_else_is_left(store):
    save(store, "one", token())
    save(store, "one", token("b"))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert {path.name for path in store.path.parent.iterdir()} <= {"token.json", "token.json.lock"}


def test_a_crash_while_writing_leaves_the_old_token(store, monkeypatch):
    save(store, "one", token("old", refresh_token="r"))
    monkeypatch.setattr(
        "msp_xero.xero.tokens.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    with pytest.raises(SettingError, match=r"token_store: .*No space"):
        save(store, "one", token("new", refresh_token="s"))
    assert store.load("one").access_token == "old"
    assert len(list(store.path.parent.glob(".xero-token-*"))) == 0


def test_a_second_holder_is_refused_with_the_name_of_the_file(store):
    with store.locked(), pytest.raises(SettingError, match=r"token\.json\.lock"):
        save(TokenStore(store.path, lock_seconds=0.05), "one", token())


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"tokens": 3}', b'{"tokens":{"one":{"access_token":"SECRET"}}}']
)
def test_a_damaged_file_is_named_and_not_quoted(store, content):
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    with pytest.raises(SettingError, match="not a token file") as caught:
        store.load("one")
    assert "SECRET" not in str(caught.value)
    with pytest.raises(SettingError):
        save(store, "one", token(refresh_token="r"))
    assert store.path.read_bytes() == content


def test_a_damaged_cache_is_replaced(store):
    store.path.parent.mkdir()
    store.path.write_bytes(b"{")
    save(store, "one", token())
    assert store.load("one") == token()


def test_a_place_that_cannot_be_written_is_a_setting_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SettingError, match="token_store"),
        TokenStore(tmp_path / "file" / "token.json").locked(),
    ):
        pass


# ------------------------------------------------------- whose it is, and where

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
SERVICE = 65534


def owners(folder):
    return {path.name: path.stat().st_uid for path in folder.iterdir()}


@as_root
@pytest.mark.parametrize("known", ["nothing", "a store", "a store that root took before"])
def test_what_root_writes_stays_with_the_owner_of_the_store(store, known):
    folder = store.path.parent
    folder.mkdir(mode=0o700)
    os.chown(folder, SERVICE, SERVICE)
    if known != "nothing":
        store.path.write_bytes(b'{"version":1,"tokens":{}}')
        os.chown(store.path, *((SERVICE, SERVICE) if known == "a store" else (0, 0)))
    save(store, "one", token())
    assert set(owners(folder).values()) == {SERVICE}
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


@as_root
def test_folders_that_root_makes_belong_to_the_owner_of_the_one_around_them(tmp_path):
    os.chown(tmp_path, SERVICE, SERVICE)
    save(TokenStore(tmp_path / "state" / "prod" / "token.json"), "one", token())
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {SERVICE}


@as_root
def test_a_lock_that_is_a_name_of_another_file_is_not_given_away(store, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("")
    store.path.parent.mkdir()
    os.chown(store.path.parent, SERVICE, SERVICE)
    os.link(precious, f"{store.path}.lock")
    save(store, "one", token())
    assert precious.stat().st_uid == 0


def test_a_link_stays_one_and_its_file_gets_the_token(store, tmp_path):
    save(store, "one", token("old", refresh_token="r"))
    link = tmp_path / "link.json"
    link.symlink_to(store.path)
    save(TokenStore(link), "one", token("new", refresh_token="s"))
    assert link.is_symlink()
    assert store.load("one").access_token == "new"
    assert not Path(f"{link}.lock").exists(), "either name is one lock"


def test_what_killed_processes_left_is_swept_and_nothing_younger(store):
    save(store, "one", token())
    old, young = (store.path.with_name(f".xero-token-{name}") for name in ("old", "young"))
    for left in (old, young):
        left.write_bytes(b"half a token")
    long_ago = old.stat().st_mtime - 3700
    os.utime(old, (long_ago, long_ago))
    save(store, "one", token("b"))
    assert not old.exists()
    assert young.exists()

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

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

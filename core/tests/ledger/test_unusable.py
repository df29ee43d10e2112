"""A ledger that cannot be used ends in one sentence that names it, not in a fault of the program."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger import Ledger, store
from msp_xero.ledger.looking import look_at
from sqlalchemy import make_url

TOO_LONG = 30.0  # seconds; PostgreSQL is given up long before


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingError, match=r"ledger_url: the folder .* cannot be made"):
        Ledger.open(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "ledger.db").write_text("garbage, and long enough to be read as a page" * 20)
    with pytest.raises(LedgerError, match=r"ledger\.db cannot be used: file is not a database"):
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def silent():
    """A server that takes connections and says nothing; after a while it hangs up, so that no test hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TOO_LONG)
        taken = []

        def serve():
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        hang_up = threading.Timer(TOO_LONG, lambda: [one.shutdown(socket.SHUT_RDWR) for one in taken])
        hang_up.start()
        yield f"postgresql://anna:hidden@127.0.0.1:{listener.getsockname()[1]}/ledger"
        hang_up.cancel()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


def open_it(url):
    Ledger.open(url).close()


def look(url):
    with look_at(url):
        pass


@pytest.mark.parametrize("use", [open_it, look])
def test_a_database_server_that_says_nothing_is_given_up(silent, monkeypatch, use):
    monkeypatch.setattr(store, "CONNECT_SECONDS", 2)  # the least that libpq knows
    started = time.monotonic()
    with pytest.raises(LedgerError, match=r"cannot be used: .*timeout") as caught:
        use(silent)
    assert time.monotonic() - started < TOO_LONG
    assert "hidden" not in str(caught.value)


def test_the_url_of_the_ledger_may_say_otherwise(silent):
    started = time.monotonic()
    with pytest.raises(LedgerError, match=r"cannot be used: .*timeout"):
        open_it(f"{silent}?connect_timeout=2")
    assert time.monotonic() - started < TOO_LONG
    wanted = store.patience(make_url(f"{silent}?connect_timeout=2&keepalives_idle=7"))
    assert wanted == {"keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}

from __future__ import annotations

import shutil

import pytest
from msp_xero.errors import LedgerError
from msp_xero.ledger import Ledger, views
from msp_xero.ledger.looking import look_at
from msp_xero.ledger.models import BillingConnection
from msp_xero.ledger.store import HEAD_REVISION, make_engine
from sqlalchemy import text, update


def set_revision(url, revision):
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_a_look_reads_and_cannot_write(ledger_url):
    Ledger.open(ledger_url).close()
    with look_at(ledger_url) as look:
        assert (look.revision, look.is_older) == (HEAD_REVISION, False)
        assert views.connection_view(look.ledger).name == "default"
        with pytest.raises(LedgerError), look.ledger.write() as session:
            session.execute(update(BillingConnection).values(name="other"))
    with look_at(ledger_url) as look:
        assert views.connection_view(look.ledger).name == "default"


def test_another_connection_has_no_rows_yet(ledger_url):
    Ledger.open(ledger_url).close()
    with look_at(ledger_url, connection="other") as look:
        assert (look.revision, look.ledger) == (HEAD_REVISION, None)


def test_an_older_ledger_stays_older_and_a_newer_one_is_refused(ledger_url):
    Ledger.open(ledger_url).close()
    set_revision(ledger_url, "0000")
    for _ in range(2):
        with look_at(ledger_url) as look:
            assert (look.revision, look.is_older, look.ledger) == ("0000", True, None)
    set_revision(ledger_url, "9999")
    with pytest.raises(LedgerError, match="newer than this program"), look_at(ledger_url):
        pass


def test_where_there_is_no_file_none_is_made(tmp_path):
    with look_at(f"sqlite:///{tmp_path}/new/ledger.db") as look:
        assert (look.revision, look.ledger) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_nobody_has_open_keeps_its_bytes_and_gets_no_neighbours(tmp_path):
    url = f"sqlite:///{tmp_path}/plain.db"
    Ledger.open(url).close()
    before = (tmp_path / "plain.db").read_bytes()
    with look_at(url) as look:
        views.connection_view(look.ledger)
        assert {one.name for one in tmp_path.iterdir() if one.is_file()} == {"plain.db"}
    assert (tmp_path / "plain.db").read_bytes() == before


def test_a_log_without_its_index_is_read_and_gets_none(tmp_path):
    """A restored backup of both files: SQLite would leave an index beside them that belongs to the looker."""
    with Ledger.open(f"sqlite:///{tmp_path}/used.db") as used, used.write() as session:
        session.execute(update(BillingConnection).values(organisation_name="In the log"))
        session.commit()
        (tmp_path / "restored").mkdir()
        for name in ("used.db", "used.db-wal"):
            shutil.copyfile(tmp_path / name, tmp_path / "restored" / name)
    before = {one.name: one.read_bytes() for one in (tmp_path / "restored").iterdir()}
    assert before["used.db-wal"]
    with look_at(f"sqlite:///{tmp_path}/restored/used.db") as look:
        assert views.connection_view(look.ledger).organisation_name == "In the log"
        assert {one.name for one in (tmp_path / "restored").iterdir()} == before.keys()
    assert {one.name: one.read_bytes() for one in (tmp_path / "restored").iterdir()} == before

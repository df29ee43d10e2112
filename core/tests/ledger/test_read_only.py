"""A ledger that this user may read and not write is looked at all the same, and nothing is left beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger import Ledger, reading, views
from msp_xero.ledger.looking import look_at
from msp_xero.ledger.models import BillingConnection
from sqlalchemy import update

NOBODY = 65534


@pytest.fixture
def there(tmp_path):
    """A ledger that nobody has open, alone in its folder."""
    folder = tmp_path / "copies"
    folder.mkdir()
    with Ledger.open(f"sqlite:///{folder}/ledger.db") as ledger, ledger.write() as session:
        session.execute(update(BillingConnection).values(organisation_name="Kōwhai"))
    return folder / "ledger.db"


@pytest.fixture
def protected(there, monkeypatch):
    """Rights mean nothing to root, so that what is asked for them says what it would say to others."""

    def protect(*paths):
        monkeypatch.setattr(reading.os, "access", lambda path, _mode: path not in paths)

    return protect


def organisation(url):
    with Ledger.open_existing(url) as ledger:
        return views.connection_view(ledger).organisation_name


@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_it_is_read_and_nothing_is_left_beside_it(there, protected, what):
    protected(*{"file": [there], "folder": [there.parent], "both": [there, there.parent]}[what])
    before = there.read_bytes()
    url = f"sqlite:///{there}"
    assert organisation(url) == "Kōwhai"
    with Ledger.open_existing(url) as ledger:
        said = r"ledger sqlite:///.*/ledger\.db cannot be used: .*readonly database\. This user may read it"
        with pytest.raises(LedgerError, match=said), ledger.write() as session:
            session.execute(update(BillingConnection).values(name="other"))
        assert [one.name for one in there.parent.iterdir()] == ["ledger.db"]
    assert there.read_bytes() == before


def test_a_log_that_was_copied_along_is_read_too(there, protected, tmp_path):
    with Ledger.open(f"sqlite:///{there}") as ledger, ledger.write() as session:
        session.execute(update(BillingConnection).values(organisation_name="In the log"))
        session.commit()
        copies = tmp_path / "restored"
        copies.mkdir()
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copyfile(there.parent / name, copies / name)
    protected(copies / "ledger.db", copies)
    assert organisation(f"sqlite:///{copies}/ledger.db") == "In the log"
    assert sorted(one.name for one in copies.iterdir()) == ["ledger.db", "ledger.db-wal"]
    assert [one.name for one in tmp_path.parent.glob("*/msp-xero-look-*")] == []


def test_one_in_use_in_a_folder_of_somebody_else_is_written_as_before(there, protected):
    """Whoever has it open made the log, and a group may write that without writing the folder."""
    with Ledger.open(f"sqlite:///{there}") as ledger, ledger.write() as session:
        session.execute(update(BillingConnection).values(organisation_name="In use"))
        session.commit()
        protected(there.parent)
        with Ledger.open_existing(f"sqlite:///{there}") as mine, mine.write() as other:
            other.execute(update(BillingConnection).values(organisation_name="Mine"))
    assert organisation(f"sqlite:///{there}") == "Mine"


def test_an_older_one_that_cannot_be_upgraded_says_what_to_do(there, protected):
    with sqlite3.connect(there) as database:
        database.execute("UPDATE alembic_version SET version_num = '0010'")
    database.close()
    protected(there)
    with pytest.raises(LedgerError, match=r"of version 0010.* This user may read it and not write it"):
        Ledger.open_existing(f"sqlite:///{there}")


def test_another_user_reads_it_under_real_rights(there):
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root, with setpriv, can act as somebody without rights")
    for folder in there.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    there.chmod(0o444)
    there.parent.chmod(0o555)
    read = (
        "import sys; from msp_xero.ledger import Ledger, views; "
        "ledger = Ledger.open_existing(sys.argv[1]); "
        "print(views.connection_view(ledger).name, ledger.connection_id); ledger.close()"
    )
    somebody = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*somebody, sys.executable, "-c", read, f"sqlite:///{there}"],
        capture_output=True,
        text=True,
        check=False,
    )
    there.parent.chmod(0o755)
    if "Permission denied" in done.stderr and "msp_xero" not in done.stderr.splitlines()[-1]:
        pytest.skip("somebody without rights cannot read this installation of Python")
    assert (done.stdout, done.returncode) == ("default 1\n", 0), done.stderr
    assert [one.name for one in there.parent.iterdir()] == ["ledger.db"]


def look(url):
    with look_at(url):
        pass


@pytest.mark.parametrize("use", [Ledger.open, Ledger.open_existing, look])
def test_a_folder_is_no_ledger(tmp_path, use):
    with pytest.raises(SettingError, match=r"ledger_url: .* is there, and is no file"):
        use(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("use", [Ledger.open_existing, look])
def test_looking_for_a_ledger_makes_no_folder(tmp_path, use):
    use(f"sqlite:///{tmp_path}/no/such/ledger.db")
    assert list(tmp_path.iterdir()) == []

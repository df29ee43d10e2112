"""Opening the ledger, its tables, its transactions, and what it says when the database will not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msp_xero.errors import LedgerError, SettingError
from msp_xero.ledger import Fence, Ledger, foreign, migrations, store
from msp_xero.ledger.models import Base, BillingConnection, ForeignLine, Invoice, InvoiceLine, Worklog
from msp_xero.ledger.staging import stage_lines
from msp_xero.ledger.store import make_engine
from sqlalchemy import create_engine, event, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError


@pytest.fixture
def empty_url(databases, tmp_path):
    return databases.empty(tmp_path)


def test_a_fresh_upgrade_has_exactly_the_tables_of_the_models(empty_url):
    with Ledger.open(empty_url) as ledger, ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_tables_hold_what_alembic_does_not_compare(ledger):
    tables = inspect(ledger.engine)
    checks = {check["name"] for check in tables.get_check_constraints("worklog")}
    assert checks == {"ck_worklog_state_known"}
    [live] = [i for i in tables.get_indexes("invoice_line") if i["name"] == "uq_invoice_line_live_worklog"]
    assert live["unique"]


def test_opening_twice_changes_nothing(ledger_url):
    with Ledger.open(ledger_url) as first, Ledger.open(ledger_url) as second:
        assert (first.connection_id, first.generation) == (second.connection_id, second.generation)
    with Ledger.open(ledger_url, connection="other") as other:
        assert other.connection_id != first.connection_id


OPENER = """
import sys
from msp_xero.ledger import Ledger
sys.stdin.readline()
with Ledger.open(sys.argv[1]) as ledger:
    print(ledger.connection_id)
"""


def test_processes_that_open_a_new_ledger_at_once_all_succeed(empty_url):
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for opener in openers:
        opener.stdin.write("go\n")
        opener.stdin.flush()
    assert [opener.communicate(timeout=100)[0].strip() for opener in openers] == ["1", "1", "1"]
    with Ledger.open(empty_url) as ledger, ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(BillingConnection)) == 1


def test_a_new_ledger_is_made_in_one_transaction(empty_url):
    """Else another process could find some of its tables and make the others beside us."""
    engine, commits = make_engine(empty_url), []
    event.listen(engine, "commit", commits.append)
    migrations.upgrade(engine)
    engine.dispose()
    assert len(commits) == 1


def set_revision(url, revision):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(ledger_url):
    set_revision(ledger_url, "9999")
    for opens in (Ledger.open, Ledger.open_existing):
        with pytest.raises(LedgerError, match=r"version 9999, newer than .*update msp-xero"):
            opens(ledger_url)


def test_reading_where_there_is_no_ledger_makes_none(empty_url, tmp_path):
    assert Ledger.open_existing(empty_url) is None
    assert list(tmp_path.glob("*.db")) == []
    assert Ledger.open_existing(f"sqlite:///{tmp_path}/no/such/folder/ledger.db") is None


def test_reading_a_connection_that_is_not_there_is_nothing(ledger_url):
    assert Ledger.open_existing(ledger_url, connection="other") is None
    with Ledger.open_existing(ledger_url) as ledger:
        assert ledger.connection_id


def test_reading_an_older_ledger_brings_it_up_to_date(ledger_url, monkeypatch):
    upgraded = []
    monkeypatch.setattr(store, "_upgrade", lambda _engine, revision: upgraded.append(revision))
    set_revision(ledger_url, "0000")
    with Ledger.open_existing(ledger_url):
        assert upgraded == ["0000"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("no url", "it is not a database URL"),
        ("", "it is not a database URL"),
        ("mysql://localhost/x", "only SQLite and PostgreSQL"),
    ],
)
def test_a_wrong_url_names_the_setting(url, problem):
    with pytest.raises(SettingError, match=rf"Setting ledger_url: {problem}"):
        Ledger.open(url)


def test_a_plain_postgresql_url_gets_our_driver():
    assert make_engine("postgresql://somebody@nowhere/x").url.drivername == "postgresql+psycopg"


def test_what_is_written_is_written_wholly_or_not_at_all(ledger):
    with pytest.raises(ZeroDivisionError), ledger.write() as session:  # noqa: PT012 - half of it is written
        ledger.connection(session).next_number = 99
        session.flush()
        raise ZeroDivisionError
    with ledger.read() as session:
        assert ledger.connection(session).next_number == 1


def test_a_reader_sees_one_moment(ledger):
    with ledger.read() as session:
        before = session.scalar(select(BillingConnection.next_number))
        writer = threading.Thread(target=set_next_number, args=(ledger, 77))
        writer.start()
        writer.join()
        assert session.scalar(select(BillingConnection.next_number)) == before
    with ledger.read() as session:
        assert session.scalar(select(BillingConnection.next_number)) == 77


def set_next_number(ledger, number):
    with ledger.write() as session:
        ledger.connection(session).next_number = number


def test_writers_of_one_connection_take_turns_so_that_no_number_is_taken_twice(ledger):
    def take(_):
        with ledger.write() as session:
            row = ledger.connection(session)
            row.next_number += 1
            return row.next_number

    with ThreadPoolExecutor(5) as pool:
        taken = list(pool.map(take, range(25)))
    assert sorted(taken) == list(range(2, 27))


# The database's own failures


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.05)


def test_a_locked_sqlite_file_is_one_plain_error(sqlite_databases, tmp_path, impatient):
    url = sqlite_databases.fresh(tmp_path)
    refused = pytest.raises(LedgerError, match=r"the ledger sqlite.*cannot be used: database is locked")
    with Ledger.open(url) as holder, Ledger.open(url) as ledger, holder.write(), refused:
        set_next_number(ledger, 5)


def test_a_locked_postgresql_connection_is_one_plain_error(postgres_databases, tmp_path, monkeypatch):
    url = postgres_databases.fresh(tmp_path)
    monkeypatch.setattr(store, "_BUSY_SECONDS", 1)
    refused = pytest.raises(LedgerError, match=r"cannot be used: canceling statement due to lock timeout")
    with Ledger.open(url) as holder, Ledger.open(url) as ledger, holder.write(), refused:
        set_next_number(ledger, 5)


def make_read_only(ledger):
    statement = {
        "sqlite": "PRAGMA query_only=ON",
        "postgresql": "SET default_transaction_read_only = on",
    }[ledger.engine.dialect.name]
    ledger.engine.dispose()

    @event.listens_for(ledger.engine, "connect")
    def prepare(dbapi, _record):
        dbapi.execute(statement)
        if ledger.engine.dialect.name == "postgresql":
            dbapi.commit()


def test_a_read_only_database_is_one_plain_error(ledger):
    make_read_only(ledger)
    with pytest.raises(LedgerError, match=r"cannot be used: .*(readonly|read-only)"):
        set_next_number(ledger, 5)


def test_a_full_disk_is_one_plain_error_and_loses_nothing_that_was_stored(sqlite_databases, tmp_path, line):
    with Ledger.open(sqlite_databases.fresh(tmp_path)) as ledger:
        stage_lines(ledger, [line("1")], settle_reasons=frozenset())

        @event.listens_for(ledger.engine, "connect")
        def fill(dbapi, _record):
            pages = dbapi.execute("PRAGMA page_count").fetchone()[0]
            dbapi.execute(f"PRAGMA max_page_count={pages}")

        ledger.engine.dispose()
        many = [line(str(n), description="x" * 4000) for n in range(2, 99)]
        with pytest.raises(LedgerError, match="cannot be used: database or disk is full"):
            stage_lines(ledger, many, settle_reasons=frozenset())
        with ledger.read() as session:
            assert session.scalars(select(Worklog.worklog_id)).all() == ["1"]


def test_a_role_without_rights_is_one_plain_error(postgres_databases, tmp_path):
    with Ledger.open(postgres_databases.fresh(tmp_path)) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(text("DROP ROLE IF EXISTS reader"))
            connection.execute(text("CREATE ROLE reader"))
        ledger.engine.dispose()

        @event.listens_for(ledger.engine, "connect")
        def prepare(dbapi, _record):
            dbapi.execute("SET ROLE reader")
            dbapi.commit()

        with pytest.raises(LedgerError, match="cannot be used: permission denied"):
            set_next_number(ledger, 5)


def test_a_server_that_is_down_is_one_plain_error_without_the_password():
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        Ledger.open("postgresql+psycopg://somebody:hidden-word@127.0.0.1:1/x")
    assert "hidden-word" not in str(caught.value)


# The first promise, in the database itself


def an_invoice(ledger, session, number):
    """Store an invoice and return its id."""
    today, zero = date(2026, 11, 22), Decimal(0)
    texts = dict.fromkeys(("account_id", "contact_id", "reference", "marker", "wanted_status"), "x")
    money = dict.fromkeys(("subtotal", "total_tax", "total"), zero)
    days = {"invoice_date": today, "due_date": today, "planned_at": ledger.clock.now()}
    values = {"number": number, "currency": "NZD", "line_amount_types": "Exclusive", "generation": 1}
    row = {"connection_id": ledger.connection_id, "line_count": 1, "minutes": 1}
    return session.scalar(insert(Invoice).returning(Invoice.id), row | texts | money | days | values)


def put_on(ledger, number, worklog_row, *, live=True):
    one = Decimal(1)
    texts = dict.fromkeys(("description", "item_code", "account_code", "tax_type"), "x")
    money = dict.fromkeys(("quantity", "unit_price", "amount", "tax"), one)
    with ledger.write() as session:
        place = {"invoice_id": an_invoice(ledger, session, number), "position": 1, "live": live}
        session.execute(
            insert(InvoiceLine), {"worklog_row": worklog_row, "revision": 1} | place | texts | money
        )


def test_the_database_itself_refuses_a_second_live_line_of_a_worklog(ledger, deliver, line):
    deliver(line("1"), line("2"))
    with ledger.read() as session:
        first, second = session.scalars(select(Worklog.id).order_by(Worklog.id))
    put_on(ledger, "A", first)
    put_on(ledger, "B", second)
    put_on(ledger, "C", first, live=False)
    with pytest.raises(IntegrityError):
        put_on(ledger, "D", first)
    with pytest.raises(IntegrityError):
        put_on(ledger, "A", second, live=False)


# What waits to be billed


def test_what_waits_is_told_but_not_what_is_billed_or_excluded_by_a_person(
    ledger, deliver, line, monkeypatch
):
    monkeypatch.setattr(store, "_READ_BATCH", 2)
    deliver(*(line(str(n)) for n in range(8)))
    with ledger.write() as session:
        rows = {row.worklog_id: row for row in session.scalars(select(Worklog))}
        rows["1"].state = "held"
        rows["2"].state, rows["2"].reason_code = "excluded", "EXCLUDED_BY_RULE"
        rows["3"].state, rows["3"].reason_code = "excluded", "EXCLUDED_BY_PERSON"
        rows["4"].state = "planned"
        rows["5"].state = "invoiced"
    assert [source["worklog_id"] for source in ledger.unbilled_sources()] == ["0", "1", "2", "6", "7"]


def test_a_line_whose_source_does_not_name_it_is_not_told_or_it_would_come_back_as_another(
    deliver, line, ledger
):
    deliver(
        line("1", source={}),
        line("2", source={"worklog_id": "77", "module": "request"}),
        line("3", source={"worklog_id": "3"}),
        line("4"),
    )
    assert [source["worklog_id"] for source in ledger.unbilled_sources()] == ["4"]


# The settle lock

HOLDER = """
import sys, time
from msp_xero.ledger import Ledger
with Ledger.open(sys.argv[1]) as ledger, ledger.settling(wait_seconds=0) as fence:
    print("held", fence.epoch, flush=True)
    time.sleep(120)
"""


@pytest.fixture
def other_process(ledger_url):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, ledger_url], stdout=subprocess.PIPE, text=True)
    try:
        word, epoch = process.stdout.readline().split()
        assert word == "held"
        process.epoch = int(epoch)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_settle_is_refused_while_another_process_settles(ledger, other_process):
    refused = pytest.raises(LedgerError, match="another settle of this connection is running")
    with refused, ledger.settling(wait_seconds=0):
        pass
    with ledger.write():
        pass  # staging goes on


def test_a_settle_waits_its_turn_for_as_long_as_it_is_told(ledger_url, other_process):
    with Ledger.open(ledger_url) as ledger:
        threading.Timer(0.5, other_process.kill).start()
        with ledger.settling(wait_seconds=60) as fence:
            assert fence.epoch == other_process.epoch + 1


def test_a_killed_holder_holds_no_lock(ledger, other_process):
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    deadline = time.monotonic() + 20
    while True:
        try:
            with ledger.settling(wait_seconds=0) as fence:
                assert fence.epoch == other_process.epoch + 1
                return
        except LedgerError:
            assert time.monotonic() < deadline


def test_connections_settle_side_by_side(ledger, ledger_url):
    with (
        Ledger.open(ledger_url, connection="other") as other,
        ledger.settling(),
        other.settling(wait_seconds=0),
    ):
        pass


def test_a_settle_whose_connection_was_started_over_writes_nothing_and_says_so(ledger):
    with ledger.settling() as fence:
        with ledger.write() as session:
            session.execute(update(BillingConnection).values(generation=BillingConnection.generation + 1))
        with pytest.raises(LedgerError, match="was started over"), ledger.write(fence):
            raise AssertionError("it may write")


def test_a_holder_that_stalled_cannot_write_any_more(ledger):
    with ledger.settling() as fence:
        with ledger.write(fence) as session:
            ledger.connection(session).next_number = 5
        with ledger.write() as session:  # what a second settle does after the lock was lost
            ledger.connection(session).settle_epoch += 1
        with pytest.raises(LedgerError, match="took over"), ledger.write(fence) as session:
            ledger.connection(session).next_number = 99
    with ledger.read() as session:
        assert ledger.connection(session).next_number == 5


def test_a_fence_of_the_past_is_no_proof(ledger):
    with ledger.settling() as first:
        pass
    with ledger.settling(), pytest.raises(LedgerError, match="took over"), ledger.write(first):
        pass
    with pytest.raises(LedgerError, match="took over"), ledger.write(Fence(0)):
        pass


def break_all_sessions(ledger):
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with ledger.engine.connect() as connection:
        connection.execute(text(statement))


def test_a_settle_whose_lock_session_breaks_shows_its_own_error(postgres_databases, tmp_path):
    def settle():
        with ledger.settling():
            break_all_sessions(ledger)
            raise ZeroDivisionError

    with Ledger.open(postgres_databases.fresh(tmp_path)) as ledger, pytest.raises(ZeroDivisionError):
        settle()


# An older ledger


THEN = "2026-11-01 00:00:00"
OLD_ROWS = {
    "connection": {"id": 1, "name": "default", "generation": 1, "next_number": 7, "settle_epoch": 3}
    | {"created_at": THEN},
    "worklog": {"id": 1, "connection_id": 1, "worklog_id": "301", "ordinal": 0, "module": "request"}
    | {"minutes": 30, "decision": "bill", "source": "{}", "line_digest": "", "state": "invoiced"}
    | {"revision": 1, "first_seen_at": THEN, "last_seen_at": THEN},
    "invoice": {"id": 1, "connection_id": 1, "generation": 1, "number": "SDP-00001", "account_id": "7"}
    | {"contact_id": "c", "currency": "NZD", "invoice_date": "2026-11-01", "due_date": "2026-12-01"}
    | {"reference": "", "marker": "", "wanted_status": "DRAFT", "line_amount_types": "Exclusive"}
    | {"subtotal": 0, "total_tax": 0, "total": 0, "line_count": 1, "minutes": 30, "state": "created"}
    | {"planned_at": THEN},
    "invoice_line": {"id": 1, "invoice_id": 1, "worklog_row": 1, "revision": 1, "position": 1, "live": True}
    | {"description": "x", "quantity": 0, "unit_price": 0, "amount": 0, "tax": 0, "item_code": ""}
    | {"account_code": "", "tax_type": ""},
}


TOLD_APART = {
    "foreign_line": {"id": 1, "connection_id": 1, "generation": 1, "invoice_id": "x", "number": "INV-1"}
    | {"module": "task", "worklog_id": "301", "digest": "d", "is_ours": False, "is_tried": True}
    | {"is_another": True},
    "event": {"id": 1, "connection_id": 1, "at": THEN, "actor": "a", "entity": "worklog", "entity_id": 1}
    | {"action": "told_apart"},
}


def make_old(url, revision, rows=OLD_ROWS):
    """Make the tables of an older revision, with a row or several in each that matters."""
    from alembic import command  # noqa: PLC0415 - only here
    from alembic.config import Config  # noqa: PLC0415
    from msp_xero.ledger import migrations  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    engine = make_engine(url)
    with engine.connect().execution_options(msp_xero_write=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for table, some in rows.items():
            for values in some if isinstance(some, list) else [some]:
                names, given = ", ".join(values), ", ".join(f":{name}" for name in values)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({given})"), values)
        connection.commit()
    engine.dispose()


@pytest.mark.parametrize("open_", [Ledger.open, Ledger.open_existing], ids=["open", "open_existing"])
def test_a_ledger_of_the_first_release_is_upgraded_with_its_rows(empty_url, open_):
    make_old(empty_url, "0001")
    with open_(empty_url) as ledger, ledger.read() as session:
        row = ledger.connection(session)
        assert (row.next_number, row.settle_epoch, row.bookmarks) == (7, 3, None)
        worklog = session.scalars(select(Worklog)).one()
        assert (worklog.worklog_id, worklog.rebuilt, worklog.told_apart) == ("301", False, False)
        assert session.scalars(select(InvoiceLine.live)).one() is True
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == store.HEAD_REVISION
    with open_(empty_url) as ledger, ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_what_a_person_told_apart_is_kept_for_the_worklog_that_they_named_and_markers_are_tried_anew(
    empty_url,
):
    more = {
        "worklog": OLD_ROWS["worklog"] | {"id": 2, "ordinal": 1, "module": "change"},
        "event": TOLD_APART["event"] | {"id": 2, "entity_id": 2, "action": "held"},
    }
    make_old(empty_url, "0008", OLD_ROWS | TOLD_APART)
    engine = make_engine(empty_url)
    with engine.connect().execution_options(msp_xero_write=True) as connection:
        for table, values in more.items():
            given = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({given})"), values)
        connection.commit()
    engine.dispose()
    with Ledger.open(empty_url) as ledger, ledger.read() as session:
        assert foreign.told_apart_from(session, [1, 2]) == {1: {("x", "task", "d")}}
        assert session.scalars(select(ForeignLine.is_tried)).all() == [False]


def test_bookmarks_are_kept_as_they_were(ledger):
    bookmarks = {"request": {"last_updated": "2026-11-01T00:00:00Z", "pages": [1, 2]}}
    with ledger.write() as session:
        ledger.connection(session).bookmarks = bookmarks
    with ledger.read() as session:
        assert ledger.connection(session).bookmarks == bookmarks

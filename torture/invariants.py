"""The promises as checks of one world: each raises :class:`~torture.world.Surprise` when it is broken."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msp_xero.ledger.audit import replay

from torture import office
from torture.people import keys_on
from torture.world import SDP_KEY, XERO_SECRET, Surprise

if TYPE_CHECKING:
    from collections.abc import Collection

    from msp_xero_sandbox.xero.rows import Invoice

    from torture.parts import Environment
    from torture.people import People
    from torture.world import World

_GONE: Final = ("VOIDED", "DELETED")
_SETTLED: Final = ("created", "paid", "voided", "deleted")
_UNIT: Final = Decimal("0.0001")
_SECRETS: Final = (SDP_KEY, XERO_SECRET, "eyJ")
"""The key, the secret, and how every access token begins: it is a JWT."""
_CUSTOMER_TEXT: Final = "Confidential"


class Books:
    """What Xero's invoices looked like when a person last had to do with them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, object] = {}
        self.look()

    def look(self) -> None:
        """Take Xero's invoices as they are for right: a person has just changed some."""
        self._seen = {key: _fingerprint(one) for key, one in _invoices(self._world).items()}

    def check(self) -> None:
        """Nobody but a person changes an invoice that is there."""
        now = _invoices(self._world)
        for key, before in self._seen.items():
            if key not in now or _fingerprint(now[key]) != before:
                raise Surprise("untouched", f"the program changed invoice {now[key].number} in Xero")
        self.look()


def _invoices(world: World) -> dict[str, Invoice]:
    """Return the invoices of all organisations by their ids."""
    return {key: one for each in world.organisations for key, one in each.app.rows.invoices.items()}


def _fingerprint(invoice: Invoice) -> object:
    lines = [
        (line.get("Description"), line.get("Quantity"), line.get("UnitAmount")) for line in invoice.lines
    ]
    return (
        invoice.number, invoice.reference, invoice.status, invoice.contact_id, invoice.updated,
        invoice.totals, invoice.day, invoice.due_date, lines,
    )  # fmt: skip


def check_always(world: World, people: People) -> None:
    """What has to be true at any moment, also in the middle of trouble."""
    _check_once(people)
    _check_budget(world)
    _check_secrets(world)


def _check_once(people: People) -> None:
    """No worklog is on two live invoices of ours, under whatever module; a person's copy does not count."""
    seen: dict[str, str] = {}
    for invoice in people.ours_everywhere():
        if invoice.status in _GONE:
            continue
        for _, key in keys_on(invoice):
            if key in seen:
                raise Surprise("never twice", f"worklog {key} is on {seen[key]} and on {invoice.number}")
            seen[key] = invoice.number


def _check_budget(world: World) -> None:
    # A call that is committed late is counted late, where the client cannot see it.
    world.is_crowded |= world.xero.adapter.committed_late > 0
    for call in world.xero.log.fresh():
        if (call.fault or "").startswith(("rate_", "duplicate")):
            # It was told of a limit that was not there, and when that would end; or Xero counted twice what
            # it had called once.
            world.is_crowded = True
        if call.status == 429 and call.fault is None and not world.is_crowded:
            raise Surprise("budget", f"{call.method} {call.path} went over a limit of Xero's")


def _check_secrets(world: World) -> None:
    heard = world.workshop.ears.heard
    for text in (*heard, *world.errors):
        if any(secret in text for secret in _SECRETS):
            raise Surprise("secrets", "a secret was logged")
        if _CUSTOMER_TEXT in text:
            raise Surprise("secrets", "a customer's text was logged")
    heard.clear()


def check_at_rest(world: World, people: People, *, jobs: Collection[str] = (), rebuilt: bool = False) -> None:
    """What has to be true when everything is repaired and enough quiet runs have passed.

    Args:
        world: the world at rest.
        people: who knows what was changed by hand.
        jobs: what ran, and now ran without trouble.
        rebuilt: whether the ledger was rebuilt, so that it may hold worklogs in doubt.
    """
    with contextlib.closing(sqlite3.connect(world.here.ledger_path)) as connection:
        connection.row_factory = sqlite3.Row
        books = _Ledger(connection)
    _check_directory(world)
    _check_first_syncs(books, jobs)
    _check_places(world, books)
    _check_causes(world, books, rebuilt=rebuilt)
    if not rebuilt:
        _check_hours(world, books)
    _check_agreement(world, people, books)
    _check_audit(books)


def _check_directory(world: World) -> None:
    """No account and no worklog type was made twice."""
    for kind in ("accounts", "worklog_types"):
        names = Counter(row["name"] for row in world.sdp_app.store[kind].rows.values())
        if twice := [name for name, count in names.items() if count > 1]:
            raise Surprise("never twice", f"{kind} {twice} are in ServiceDesk Plus twice")


def _check_first_syncs(books: _Ledger, jobs: Collection[str]) -> None:
    """A first sync does not go on for ever: while it does, new contacts and items are taken for old ones."""
    [connection] = map(dict, books.connections)
    for job in jobs:
        if connection.get(f"{job.replace('-', '_')}_synced_at", "not synced") is None:
            raise Surprise("never stuck", f"the first sync of {job} is not over")


class _Ledger:
    """The ledger's rows as they are stored, read without the program."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connections = connection.execute("SELECT * FROM connection").fetchall()
        self.worklogs = connection.execute("SELECT * FROM worklog ORDER BY id").fetchall()
        self.invoices = connection.execute("SELECT * FROM invoice ORDER BY id").fetchall()
        self.lines = connection.execute(
            "SELECT l.*, w.worklog_id, w.module FROM invoice_line l JOIN worklog w ON w.id = l.worklog_row"
            " ORDER BY l.invoice_id, l.position"
        ).fetchall()
        self.events = connection.execute(
            "SELECT entity, entity_id, action, data FROM event ORDER BY id"
        ).fetchall()


def _check_places(world: World, books: _Ledger) -> None:
    """Every delivered worklog is in exactly one place, and none is under way any more."""
    # After a rebuild, one that was moved since is held beside the billed one until a person decides.
    in_doubt = {row["id"] for row in books.worklogs if row["reason_code"] == "ID_ON_INVOICE"}
    places = Counter(row["worklog_id"] for row in books.worklogs if row["id"] not in in_doubt)
    if missing := world.here.delivered - places.keys():
        raise Surprise(
            "never lost", f"worklogs {sorted(missing)[:3]} were delivered and are not in the ledger"
        )
    there = {row["id"] for row in world.sdp_app.store["worklogs"].rows.values()}
    if missing := there - places.keys():
        raise Surprise("never lost", f"worklogs {sorted(missing)[:3]} of ServiceDesk Plus never arrived")
    # What a rebuild found, and is not delivered any more, is no copy: the worklog is in another module now.
    met = Counter(
        row["worklog_id"] for row in books.worklogs if row["id"] not in in_doubt and not row["rebuilt"]
    )
    if twice := [key for key, count in met.items() if count > 1]:
        raise Surprise("never lost", f"worklogs {twice[:3]} are in the ledger twice")
    live = Counter(line["worklog_row"] for line in books.lines if line["live"])
    for row in books.worklogs:
        if row["state"] not in {"invoiced", "held", "excluded"}:
            raise Surprise("never stuck", f"worklog {row['worklog_id']} is still {row['state']}")
        if row["state"] != "invoiced" and not row["reason_code"]:
            raise Surprise("never silent", f"worklog {row['worklog_id']} is {row['state']} without a reason")
        if live[row["id"]] != (row["state"] == "invoiced"):
            raise Surprise(
                "never lost", f"worklog {row['worklog_id']} is {row['state']} on {live[row['id']]} lines"
            )


def _check_causes(world: World, books: _Ledger, *, rebuilt: bool) -> None:
    """What is held has its cause in the two systems as they are: nothing waits that could be billed."""
    there = {row["id"]: row for row in world.sdp_app.store["worklogs"].rows.values()}
    items = len(world.xero_app.rows.items)
    for row in books.worklogs:
        worklog = there.get(row["worklog_id"])
        if row["state"] != "held" or worklog is None:
            continue
        causes = {
            "ACCOUNT_UNMAPPED": row["account_id"] == office.ACCOUNTS[3],
            "TYPE_MISSING": worklog["type_id"] is None,
            "TYPE_NOT_SYNCED": worklog["type_id"] == office.TYPES[3]
            or _has_no_item(world, worklog["type_id"]),
            "ITEM_GONE": items < len(office.KINDS),
            "ID_ON_INVOICE": rebuilt,
            "CHANGED_AFTER_BILLING": row["rebuilt"],
        }
        if not causes.get(row["reason_code"], False):
            raise Surprise(
                "never silent", f"{row['worklog_id']} is held {row['reason_code']} without a cause"
            )


def _has_no_item(world: World, type_id: str | None) -> bool:
    """Tell whether no item of an organisation that is billed since has the name of a worklog type."""
    if type_id is None or len(world.organisations) == 1:
        return False
    names = {item["Name"] for item in world.xero_app.rows.items.values()}
    return world.sdp_app.store["worklog_types"].rows[type_id]["name"] not in names


def _check_hours(world: World, books: _Ledger) -> None:
    """Counted here, without the program: hours are minutes over sixty, and what waits is as it is in SDP."""
    there = {row["id"]: row for row in world.sdp_app.store["worklogs"].rows.values()}
    by_row = {row["id"]: row for row in books.worklogs}
    for row in books.worklogs:
        worklog = there.get(row["worklog_id"])
        if worklog is not None and row["state"] != "invoiced" and row["minutes"] != worklog["minutes"]:
            raise Surprise("never lost", f"{row['worklog_id']} waits with other minutes than it has")
    if world.settings.get("mapper"):
        return  # the charge decides, and its hours are one lump
    for line in books.lines:
        row = by_row[line["worklog_row"]]
        hours = (Decimal(row["minutes"]) / 60).quantize(_UNIT, rounding=ROUND_HALF_UP)
        if line["live"] and not row["changed"] and line["quantity"] != _stored(hours):
            raise Surprise("never wrong by a cent", f"{row['worklog_id']}: not the hours of its minutes")


def _check_agreement(world: World, people: People, books: _Ledger) -> None:
    """Ledger and Xero agree on every invoice, line and cent."""
    in_xero, here_and_now = _invoices(world), world.xero_app.rows.invoices
    numbers = {row["number"] for row in books.invoices}
    ours = {one.invoice_id for one in people.ours_everywhere()}
    known = {row["xero_id"]: row for row in books.invoices if row["xero_id"]}
    if unknown := ours - known.keys():
        # What was billed by a ledger that was lost, or by another one, and cannot be billed here.
        gone = {row["id"] for row in books.invoices if row["state"] in {"voided", "deleted"}}
        at_rest = {line["worklog_id"] for line in books.lines if line["live"] and line["invoice_id"] in gone}
        at_rest |= {row["worklog_id"] for row in books.worklogs if row["reason_code"] == "EXCLUDED_BY_PERSON"}
        here = {row["worklog_id"] for row in books.worklogs} - at_rest
        # Without a number that begins as ours do now, one that came late or from another ledger bills what is
        # on one that is gone; a run says so as soon as somebody releases that.
        is_late = any(one.adapter.committed_late for one in world.organisations)
        live = [
            one.number
            for one in (in_xero[key] for key in unknown)
            if one.status not in _GONE
            and not (
                (world.is_disturbed or is_late or one.invoice_id not in here_and_now)
                and not (one.invoice_id in here_and_now and one.number.startswith(world.number_prefix))
                and _bills_what_is_at_rest(one, here)
            )
        ]
        if live:
            raise Surprise("agreement", f"Xero has {live}, which the ledger does not know")
    for row in books.invoices:
        if row["state"] not in (*_SETTLED, "rejected"):
            raise Surprise("never stuck", f"invoice {row['number']} is still {row['state']}")
        if row["state"] == "rejected":
            continue
        invoice = in_xero.get(row["xero_id"])
        if invoice is None:
            raise Surprise(
                "agreement", f"Xero has no invoice {row['number']}, which the ledger counts as {row['state']}"
            )
        expected = {"PAID": "paid", "VOIDED": "voided", "DELETED": "deleted"}.get(invoice.status, "created")
        # What a person did just before the connection left an organisation, nobody looks at any more.
        if row["state"] != expected and invoice.invoice_id in here_and_now:
            raise Surprise(
                "agreement", f"invoice {row['number']} is {invoice.status} in Xero and {row['state']} here"
            )
        # Another ledger may have sent it first, with hours that were edited since: that is told.
        is_told = row["reason"] is not None and row["xero_total"] == _stored(invoice.totals.total)
        if invoice.invoice_id not in people.touched and not (world.is_disturbed and is_told):
            lines = [line for line in books.lines if line["invoice_id"] == row["id"]]
            _check_cents(row, lines, invoice, numbers)


def _bills_what_is_at_rest(invoice: Invoice, here: set[str]) -> bool:
    """Tell whether an invoice bills worklogs, and none that could be billed here.

    Those that ServiceDesk Plus has are in the ledger, but may be excluded by a person, or on an invoice that
    is gone and that nobody has released.
    """
    billed = {one for _, one in keys_on(invoice)}
    return bool(billed) and billed.isdisjoint(here)


def _plain(number: str, numbers: set[str]) -> str:
    """Return a number without the mark that a rebuild puts behind one which the ledger has already."""
    plain, mark, _ = number.rpartition(" (")
    return plain if mark and plain in numbers else number


def _check_cents(row: sqlite3.Row, lines: list[sqlite3.Row], invoice: Invoice, numbers: set[str]) -> None:
    ours = (
        _plain(row["number"], numbers),
        row["contact_id"],
        row["subtotal"],
        row["total_tax"],
        row["total"],
        row["xero_total"],
    )
    totals = invoice.totals
    theirs = (
        invoice.number, invoice.contact_id, _stored(totals.sub_total), _stored(totals.total_tax),
        _stored(totals.total), _stored(totals.total),
    )  # fmt: skip
    if ours != theirs:
        raise Surprise("never wrong by a cent", f"{row['number']}: {ours} in the ledger, {theirs} in Xero")
    mine = [
        (line["description"], line["quantity"], line["unit_price"], line["amount"], line["tax"])
        for line in lines
    ]
    xeros = [
        (
            line.get("Description"), _stored(line["Quantity"]), _stored(line["UnitAmount"]),
            _stored(line["LineAmount"]), _stored(line["TaxAmount"]),
        )
        for line in invoice.lines
    ]  # fmt: skip
    if mine != xeros:
        raise Surprise("never wrong by a cent", f"lines of {row['number']} differ")


def _stored(value: Decimal) -> int:
    return int(Decimal(value) / _UNIT)


def _check_audit(books: _Ledger) -> None:
    """The audit log, read from the beginning, leads to the states that the ledger is in."""
    decode = msgspec.json.decode
    replayed = replay(
        (event["entity"], event["entity_id"], event["action"], event["data"] and decode(event["data"]))
        for event in books.events
    )
    actual = {("worklog", row["id"]): row["state"] for row in books.worklogs}
    actual |= {("invoice", row["id"]): row["state"] for row in books.invoices}
    for key in actual.keys() | replayed.keys():
        state = actual.get(key, "not there")
        if replayed.get(key) != state:
            raise Surprise("audit", f"{key[0]} {key[1]} is {state}, but its history says {replayed.get(key)}")


_LASTING: Final = {
    **dict.fromkeys(("worklog", "invoice", "invoice_line", "push_batch", "event"), "*"),
    "account_link": "contact_id, account_id, state, how, written_digest, problem",
    "worklog_type_link": "item_id, type_id, state, how, written_digest, problem, gone_at",
}
"""Columns that a run without news leaves as they are; when a contact or item was last seen may move."""


def ledger_digest(at: Environment) -> list[tuple[Any, ...]]:
    """Return all that a run without news must leave as it is."""
    with contextlib.closing(sqlite3.connect(at.ledger_path)) as connection:
        return [
            (table, *row)
            for table, columns in _LASTING.items()
            for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY id")  # noqa: S608 - fixed names
        ]

"""What people do in both systems and at the console while the program runs, or between its runs."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from msp_xero.billing.document import worklog_of
from msp_xero.errors import MspXeroError
from msp_xero.ledger import decisions
from msp_xero.ledger.account_decisions import UNLINK, Decision, decide
from msp_xero.ledger.links import LINK

from torture import office

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msp_xero.ledger import Ledger
    from msp_xero_sandbox.xero.rows import Invoice

    from torture.script import Step
    from torture.world import World

T = TypeVar("T")
_LIVE = ("DRAFT", "SUBMITTED", "AUTHORISED", "PAID")


class People:
    """Carries out the steps of people in one world, and remembers what they touched.

    Attributes:
        touched: ids of Xero invoices that a person changed.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.touched: set[str] = set()
        self._extended: set[str] = set()
        self._booked = 0

    def do(self, step: Step) -> None:
        """Carry out one step; nothing happens when there is no row for it."""
        act: Callable[[Step], None] = getattr(self, f"_{step['do']}")
        with contextlib.suppress(_NothingThere):
            act(step)

    def repair_everything(self) -> None:
        """Undo what keeps worklogs from being billed, as people do when they read why."""
        self._world.xero_change("organisation", "edit", PeriodLockDate=None)
        self._world.xero_app.rows.organisation.pop("PeriodLockDate", None)
        rows = self._world.xero_app.rows
        for contact in list(rows.contacts.values()):
            if contact["ContactStatus"] == "ARCHIVED" and not contact.get("MergedToContactID"):
                self._world.xero_change("contact", "edit", contact["ContactID"], ContactStatus="ACTIVE")
        for item in list(rows.items.values()):
            if not item["IsSold"]:
                self._world.xero_change("item", "edit", item["ItemID"], IsSold=True)
        for account in list(rows.accounts.values()):
            self._world.xero_change("account", "edit", account["Code"], Status="ACTIVE")
        for tax_type in list(rows.tax_rates):
            self._world.xero_change("tax_rate", "edit", tax_type, Status="ACTIVE")

    def free_numbers(self) -> None:
        """Give invoices of people's own another number that have one of ours, as the console asks for."""
        with contextlib.closing(sqlite3.connect(self._world.here.ledger_path)) as connection:
            query = "SELECT number FROM invoice WHERE state = 'conflict'"
            numbers = [row[0] for row in connection.execute(query)]
        for number in numbers:
            holder = self._world.xero_app.rows.number_holder(number, case_sensitive=False)
            if holder is not None and not holder.client_id:
                self._touch("edit", holder, InvoiceNumber=f"OWN-{number}")

    def withdraw(self, invoice: Invoice) -> None:
        """Void an invoice, or delete it as long as it is a draft."""
        self._touch("void" if invoice.status == "AUTHORISED" else "delete", invoice)

    def withdraw_copies(self, error: str) -> bool:
        """Void or delete copies that an error line names; return whether there were any.

        People made them, or a call came so late that its invoice had been withdrawn by then.
        """
        invoices = self._world.xero_app.rows.invoices.values()
        named = [one for one in invoices if one.status in _LIVE and one.number in error]
        withdrawn = {one.number for one in invoices if one.status not in _LIVE}
        is_late = self._world.xero.adapter.committed_late > 0
        copies = [one for one in named if not one.client_id or (is_late and one.number in withdrawn)]
        for invoice in copies:
            self.withdraw(invoice)
        return bool(copies)

    def has_added_to(self, error: str) -> bool:
        """Tell whether people put lines on an invoice of ours that an error line names."""
        return any(one.invoice_id in self._extended and one.number in error for one in self.our_invoices())

    def exclude_what_is_billed_there(self, error: str) -> None:
        """Exclude what waits and is on invoices that an error line names, wherever they stand."""
        on_them = {
            worklog_id
            for organisation in self._world.organisations
            for invoice in organisation.app.rows.invoices.values()
            if invoice.number in error
            for _, worklog_id in keys_on(invoice)
        }
        with contextlib.closing(sqlite3.connect(self._world.here.ledger_path)) as connection:
            query = "SELECT id, worklog_id FROM worklog WHERE state IN ('open', 'held') ORDER BY id"
            waiting = connection.execute(query).fetchall()
        for row in [row for row, worklog_id in waiting if worklog_id in on_them]:
            self._decide(functools.partial(decisions.exclude_worklog, row=row, reason="billed there"))

    # ------------------------------------------------------------------ at the service desk

    def _book(self, step: Step) -> None:
        account = office.ACCOUNTS[step["account"]]
        self._booked += 1
        values: dict[str, Any] = {
            "parent": self._ticket(step["on"], account),
            "type_id": None if step["kind"] is None else office.TYPES[step["kind"]],
            "minutes": step["minutes"],
            "description": f"Confidential note {self._booked}",
            "start_time": self._world.clock.epoch_ms() - 60_000 * step["minutes"],
            "is_billable": step["billable"],
            "owner_id": office.TECHNICIANS[self._booked % 2],
        }
        self._world.sdp_change("worklog", "add", **values)
        self._world.clock.advance(1.0)

    def _ticket(self, on: str, account: str) -> str:
        match on:
            case "new":
                made = self._world.sdp_change("request", "add", title="Another ticket", account_id=account)
                return f"requests/{made['id']}"
            case "task":
                return "projects/51/tasks/2001"
            case "general":
                made = self._world.sdp_change("task", "add", title="Errand", account_id=account)
                return f"tasks/{made['id']}"
        return f"requests/1{int(account) - 300:03d}"

    def _edit_worklog(self, step: Step) -> None:
        row = self._a_worklog(step)
        change: dict[str, Any] = (
            {"minutes": 5 + step["value"] % 100},
            {"description": f"Confidential correction {step['value']}"},
            {"type_id": office.TYPES[step["value"] % 4]},
            {"owner_id": office.TECHNICIANS[step["value"] % 2]},
            {"is_billable": False},
        )[step["value"] % 5]
        self._world.sdp_change("worklog", "edit", row["id"], **change)

    def _delete_worklog(self, step: Step) -> None:
        self._world.sdp_change("worklog", "delete", self._a_worklog(step)["id"])

    def _move_worklog(self, step: Step) -> None:
        row = self._a_worklog(step)
        parent = (
            "projects/51/tasks/2001" if step["value"] % 4 == 0 else f"requests/100{1 + step['value'] % 4}"
        )
        self._world.sdp_change("worklog", "move", row["id"], parent=parent)

    def _move_ticket(self, step: Step) -> None:
        requests = list(self._world.sdp_app.store["requests"].rows)
        account = office.ACCOUNTS[step["value"] % 4]
        self._world.sdp_change("request", "edit", _one(requests, step), account_id=account)

    def _close_ticket(self, step: Step) -> None:
        requests = list(self._world.sdp_app.store["requests"].rows)
        self._world.sdp_change("request", "edit", _one(requests, step), status="Closed")

    def _a_worklog(self, step: Step) -> dict[str, Any]:
        return _one(list(self._world.sdp_app.store["worklogs"].rows.values()), step)

    # ------------------------------------------------------------------ at the books

    def our_invoices(self) -> list[Invoice]:
        """Return the invoices that the program made in the present organisation, whatever became of them."""
        invoices = self._world.xero_app.rows.invoices.values()
        return [invoice for invoice in invoices if invoice.client_id]

    def ours_everywhere(self) -> list[Invoice]:
        """Return those of all organisations."""
        organisations = (one.app.rows.invoices.values() for one in self._world.organisations)
        return [invoice for invoices in organisations for invoice in invoices if invoice.client_id]

    def _an_invoice(self, step: Step, statuses: Sequence[str] = _LIVE) -> Invoice:
        return _one([invoice for invoice in self.our_invoices() if invoice.status in statuses], step)

    def _touch(self, action: str, invoice: Invoice, **values: Any) -> None:
        self._world.xero_change("invoice", action, invoice.invoice_id, **values)
        self.touched.add(invoice.invoice_id)

    def _edit_lines(self, step: Step) -> None:
        invoice = self._an_invoice(step, ("DRAFT", "SUBMITTED", "AUTHORISED"))
        lines = [dict(line) for line in invoice.lines]
        for line in lines:
            line.pop("LineAmount", None)
            line.pop("TaxAmount", None)
        lines[0]["UnitAmount"] = lines[0]["UnitAmount"] + 1
        self._touch("edit", invoice, LineItems=lines)

    def _unmark(self, step: Step) -> None:
        """Somebody rewrites the reference, and with it takes our marker away."""
        self._touch("edit", self._an_invoice(step), Reference=f"As discussed {step['value']}")

    def _renumber(self, step: Step) -> None:
        """Somebody gives one of ours another number; while a write is on its way that is a limit."""
        if self._world.xero.adapter.next_due() is not None:
            return
        number = f"INV-9{step['value']:03d}"
        if not self._world.xero_app.rows.invoices_numbered(number):
            self._touch("edit", self._an_invoice(step), InvoiceNumber=number)

    def _void_or_delete(self, step: Step) -> None:
        self.withdraw(self._an_invoice(step, ("DRAFT", "SUBMITTED", "AUTHORISED")))

    def _approve(self, step: Step) -> None:
        self._touch("edit", self._an_invoice(step, ("DRAFT", "SUBMITTED")), Status="AUTHORISED")

    def _pay(self, step: Step) -> None:
        invoice = self._an_invoice(step, ("AUTHORISED",))
        if invoice.amount_due > 0:
            self._touch("pay", invoice)

    def _copy(self, step: Step) -> None:
        """Somebody copies one of our invoices in Xero; reference and texts are copied with it."""
        invoice = self._an_invoice(step)
        lines = [
            {name: line[name] for name in ("Description", "Quantity", "UnitAmount") if name in line}
            for line in invoice.lines
        ]
        self._add_invoice(
            f"CPY-{step['value']:04d}", Reference=invoice.reference, LineItems=lines, Status="DRAFT"
        )

    def _put_together(self, step: Step) -> None:
        """Somebody puts the lines of one draft of ours, marks included, onto another, and deletes it.

        While a write is on its way that is a limit: it may make the deleted one again.
        """
        if self._world.xero.adapter.next_due() is not None:
            return
        first = self._an_invoice(step, ("DRAFT", "SUBMITTED"))
        drafts = [one for one in self.our_invoices() if one.status in {"DRAFT", "SUBMITTED"}]
        others = [
            one for one in drafts if one is not first and one.line_amount_types == first.line_amount_types
        ]
        second = _one(others, {"pick": step["value"]})
        names = ("Description", "Quantity", "UnitAmount", "AccountCode", "TaxType")
        added = [{name: line[name] for name in names if name in line} for line in second.lines]
        lines = [
            {name: value for name, value in line.items() if name not in {"LineAmount", "TaxAmount"}}
            for line in first.lines
        ]
        self._touch("edit", first, LineItems=[*lines, *added])
        self._extended.add(first.invoice_id)
        self.withdraw(second)

    def _void_copy(self, step: Step) -> None:
        """Somebody sees that a copy was none of a good idea."""
        invoices = self._world.xero_app.rows.invoices.values()
        copies = [one for one in invoices if not one.client_id and one.status == "DRAFT" and keys_on(one)]
        self.withdraw(_one(copies, step))

    def _take_number(self, step: Step) -> None:
        """Somebody gives an invoice of their own the number that ours would get next."""
        with contextlib.closing(sqlite3.connect(self._world.here.ledger_path)) as connection:
            (sequence,) = connection.execute("SELECT next_number FROM connection").fetchone()
        line = {"Description": "Cabling", "Quantity": 1, "UnitAmount": 250}
        self._add_invoice(
            f"{self._world.number_prefix}{sequence + step['value'] % 2:05d}",
            LineItems=[line],
            Reference="By hand",
        )

    def _add_invoice(self, number: str, **values: Any) -> None:
        if self._world.xero_app.rows.number_holder(number, case_sensitive=False):
            return
        contact = {"ContactID": self._world.xero_contacts[3]}
        made = self._world.xero_change("invoice", "add", InvoiceNumber=number, Contact=contact, **values)
        # A copy of ours carries our mark: where ours is gone it is adopted, with whatever the person gave it.
        self.touched.add(made["InvoiceID"])

    def _new_contact(self, step: Step) -> None:
        self._world.xero_change("contact", "add", Name=f"New customer {step['pick']}", IsCustomer=True)

    def _new_item(self, step: Step) -> None:
        sales = {"UnitPrice": Decimal("99.5000"), "AccountCode": "200", "TaxType": "OUTPUT2"}
        code = f"ITM-{step['pick']}"
        self._world.xero_change(
            "item", "add", Code=code, Name=f"New work {step['pick']}", IsSold=True, SalesDetails=sales
        )

    def _archive_contact(self, step: Step) -> None:
        self._world.xero_change("contact", "archive", self._world.xero_contacts[step["pick"] % 3])

    def _merge_contact(self, step: Step) -> None:
        loser, winner = (
            self._world.xero_contacts[step["pick"] % 3],
            self._world.xero_contacts[3 + step["value"] % 2],
        )
        contacts = self._world.xero_app.rows.contacts
        if contacts[loser]["ContactStatus"] == "ACTIVE":
            moved = [invoice.invoice_id for invoice in self.our_invoices() if invoice.contact_id == loser]
            self._world.xero_change("contact", "merge", loser, into=winner)
            self.touched.update(moved)

    def _rename_item(self, step: Step) -> None:
        code = f"NEW-{step['value']}"
        if self._world.xero_app.rows.item_by_code(code) is None:
            self._world.xero_change(
                "item", "edit", self._an_item(step), Code=code, Name=f"Renamed {step['value']}"
            )

    def _delete_item(self, step: Step) -> None:
        if step["value"] % 3 == 0:  # rarely: it cannot be undone
            self._world.xero_change("item", "delete", self._an_item(step))

    def _price_item(self, step: Step) -> None:
        item = self._world.xero_app.rows.items[self._an_item(step)]
        price = item["SalesDetails"]["UnitPrice"] + step["value"]
        self._world.xero_change(
            "item", "edit", item["ItemID"], SalesDetails={**item["SalesDetails"], "UnitPrice": price}
        )

    def _unsell_item(self, step: Step) -> None:
        self._world.xero_change("item", "edit", self._an_item(step), IsSold=False)

    def _an_item(self, step: Step) -> str:
        return _one(list(self._world.xero_app.rows.items), step)

    def _lock_period(self, _step: Step) -> None:
        day = (self._world.clock.now() + timedelta(days=2)).date()
        self._world.xero_change("organisation", "edit", PeriodLockDate=day.isoformat())

    def _archive_account(self, _step: Step) -> None:
        self._world.xero_change("account", "archive", "200")

    def _delete_tax_rate(self, _step: Step) -> None:
        self._world.xero_change("tax_rate", "delete", "OUTPUT2")

    # ------------------------------------------------------------------ at the console

    def _exclude(self, step: Step) -> None:
        row = self._a_row(
            "SELECT id FROM worklog WHERE state IN ('open','held','excluded') ORDER BY id", step
        )
        self._decide(lambda ledger: decisions.exclude_worklog(ledger, row, "goodwill"))

    def _include(self, step: Step) -> None:
        row = self._a_row("SELECT id FROM worklog WHERE state = 'excluded' ORDER BY id", step)
        self._decide(lambda ledger: decisions.include_worklog(ledger, row))

    def _release(self, step: Step) -> None:
        gone = "SELECT number FROM invoice WHERE state IN ('voided','deleted') ORDER BY id"
        number = self._a_row(gone, step)
        self._decide(lambda ledger: decisions.release_invoice(ledger, number))

    def a_planned_row(self, step: Step) -> int | None:
        """Return the row of a worklog whose invoice is planned; None when there is none."""
        with contextlib.suppress(_NothingThere):
            return int(self._a_row("SELECT id FROM worklog WHERE state = 'planned' ORDER BY id", step))
        return None

    def _relink(self, step: Step) -> None:
        """Somebody sees that an account goes to the wrong contact, and links it to another one."""
        account, contacts = office.ACCOUNTS[step["pick"] % 3], self._world.xero_contacts
        right = (contacts[step["pick"] % 3], *contacts[3:])[step["value"] % 3]
        with contextlib.closing(sqlite3.connect(self._world.here.ledger_path)) as connection:
            query = (
                "SELECT contact_id FROM account_link WHERE account_id = ? AND generation ="
                " (SELECT generation FROM connection)"
            )
            linked = connection.execute(query, (account,)).fetchone()
        wrong = [] if linked is None or linked[0] == right else [linked[0]]
        decided = [Decision(place="1", contact_id=one, action=UNLINK) for one in wrong]
        decided.append(Decision(place="2", contact_id=right, action=LINK, account_id=account))
        self._decide(lambda ledger: decide(ledger, decided))

    def _a_row(self, query: str, step: Step) -> Any:
        with contextlib.closing(sqlite3.connect(self._world.here.ledger_path)) as connection:
            return _one([row[0] for row in connection.execute(query)], step)

    def _decide(self, decision: Callable[[Ledger], object]) -> None:
        with contextlib.suppress(MspXeroError), self._world.at_the_console() as ledger:
            decision(ledger)


class _NothingThere(Exception):
    """There is no row that the step could be about."""


def _one(rows: Sequence[T], step: Step) -> T:
    if not rows:
        raise _NothingThere
    number: int = step["pick"]
    return rows[number % len(rows)]


def keys_on(invoice: Invoice) -> list[tuple[str, str]]:
    """Return ``(module, worklog id)`` of every line of an invoice in Xero that names one."""
    keys = (worklog_of(line.get("Description")) for line in invoice.lines)
    return [key for key in keys if key is not None]

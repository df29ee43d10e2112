"""The Invoices endpoint: write, list, read, e-mail, history (xero-api §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.wire import Answer
from msp_xero_sandbox.xero.answers import not_found, validation
from msp_xero_sandbox.xero.batch import Kind, write
from msp_xero_sandbox.xero.dates import bare_wire_time
from msp_xero_sandbox.xero.foreign import foreign_invoice
from msp_xero_sandbox.xero.invoice_check import WriteCall
from msp_xero_sandbox.xero.invoice_views import invoice_summary, invoice_view
from msp_xero_sandbox.xero.invoice_writing import InvoiceWriter, spell
from msp_xero_sandbox.xero.listing import Spec
from msp_xero_sandbox.xero.request import canonical_names
from msp_xero_sandbox.xero.rows import ACCREC, Invoice
from msp_xero_sandbox.xero.where import Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from msp_xero_sandbox.xero.request import Request
    from msp_xero_sandbox.xero.rows import Row
    from msp_xero_sandbox.xero.state import State

KIND = Kind(plural="Invoices", id_name="InvoiceID", flag="HasErrors")
_SPELL_NOTE = canonical_names("Details")
_LONGEST_NOTE = 2500


def _spec(contacts: Mapping[str, Row]) -> Spec[Invoice]:
    def contact(name: str) -> Field[Invoice]:
        return Field("string", lambda invoice: contacts[invoice.contact_id].get(name))

    fields: dict[str, Field[Invoice]] = {
        "invoiceid": Field("guid", lambda invoice: invoice.invoice_id),
        "invoicenumber": Field("string", lambda invoice: invoice.number),
        "type": Field("string", lambda invoice: invoice.type),
        "status": Field("string", lambda invoice: invoice.status),
        "reference": Field("string", lambda invoice: invoice.reference or None),
        "date": Field("time", lambda invoice: invoice.day),
        "duedate": Field("time", lambda invoice: invoice.due_date),
        "updateddateutc": Field("time", lambda invoice: invoice.updated),
        "amountdue": Field("number", lambda invoice: invoice.amount_due),
        "amountpaid": Field("number", lambda invoice: invoice.amount_paid),
        "subtotal": Field("number", lambda invoice: invoice.totals.sub_total),
        "totaltax": Field("number", lambda invoice: invoice.totals.total_tax),
        "total": Field("number", lambda invoice: invoice.totals.total),
        "currencycode": Field("string", lambda invoice: invoice.currency_code),
        "lineamounttypes": Field("string", lambda invoice: invoice.line_amount_types),
        "senttocontact": Field("bool", lambda invoice: invoice.sent_to_contact),
        "brandingthemeid": Field("guid", lambda invoice: invoice.branding_theme_id),
        "url": Field("string", lambda invoice: invoice.url),
        "contact.contactid": Field("guid", lambda invoice: invoice.contact_id),
        "contact.name": contact("Name"),
        "contact.contactnumber": contact("ContactNumber"),
        "contact.contactstatus": contact("ContactStatus"),
    }
    return Spec(
        fields=fields, row_id=lambda invoice: invoice.invoice_id, updated=lambda invoice: invoice.updated
    )


class Invoices:
    """The Invoices endpoint."""

    def __init__(self, state: State, told: Iterable[Mapping[str, Any]], request_time: Any) -> None:
        self._state = state
        self._spec = _spec(state.rows.contacts)
        self._emails: dict[date, int] = {}
        for row in told:
            state.rows.put_invoice(foreign_invoice(state, row, request_time))

    def serve(self, request: Request) -> dict[str, Any] | Answer:
        """Answer a read or a write."""
        match request.call.method, request.path:
            case "GET", (_,):
                return self._list(request)
            case "PUT" | "POST", (_,):
                return self._write(request, [spell(each) for each in request.elements(KIND.plural, dict)])
            case method, (_, key, *rest) if (invoice := self._state.rows.invoice(key)) is not None:
                return self._serve_one(request, method, invoice, [part.lower() for part in rest])
        raise not_found()

    def _serve_one(
        self, request: Request, method: str, invoice: Invoice, rest: list[str]
    ) -> dict[str, Any] | Answer:
        match method, rest:
            case "GET", []:
                return self._one(request, invoice)
            case "POST", []:
                element = spell(request.elements(KIND.plural, dict)[0])
                return self._write(request, [{**element, "InvoiceID": invoice.invoice_id}])
            case "POST", ["email"]:
                return self._email(request, invoice)
            case "GET", ["history"]:
                return {"HistoryRecords": [_note_view(note) for note in invoice.history]}
            case "PUT", ["history"]:
                return self._add_notes(request, invoice)
            case "GET", ["onlineinvoice"]:
                return _online(invoice)
        raise not_found()

    def _one(self, request: Request, invoice: Invoice) -> dict[str, Any] | Answer:
        if "application/pdf" in request.call.headers.get("accept", ""):
            return Answer(headers={"content-type": "application/pdf"}, body=b"%PDF-1.4\n%%EOF\n")
        return {KIND.plural: [invoice_view(invoice, self._state.rows, request.places)]}

    def _write(self, request: Request, elements: list[Row]) -> dict[str, Any]:
        writer = InvoiceWriter(WriteCall(self._state, request))
        return write(
            elements, writer.make, KIND, request, echo_all=self._state.switches.elements_echo == "all"
        )

    def _list(self, request: Request) -> dict[str, Any]:
        summary = request.flag("summaryonly")
        paged = summary or bool({"page", "pagesize", "statuses"} & request.params.keys())
        page = self._state.listed(self._candidates(request), self._spec, request, paged=paged)
        rows = self._state.rows
        if paged and not summary:
            shown = [
                invoice_view(invoice, rows, request.places, whole_contact=False) for invoice in page.rows
            ]
        else:
            shown = [invoice_summary(invoice, rows, with_empty_lines=not summary) for invoice in page.rows]
        return {**({"pagination": page.pagination} if page.pagination else {}), KIND.plural: shown}

    def _candidates(self, request: Request) -> Iterable[Invoice]:
        """Return the invoices that the list parameters name, through an index where there is one."""
        rows = self._state.rows
        found: Iterable[Invoice] = rows.invoices.values()
        if (ids := request.values("ids")) is not None:
            found = [rows.invoices[each.lower()] for each in ids if each.lower() in rows.invoices]
        if (numbers := request.values("invoicenumbers")) is not None:
            wanted = {number.lower() for number in numbers}
            if ids is None:
                found = [invoice for number in sorted(wanted) for invoice in rows.invoices_numbered(number)]
            else:
                found = [invoice for invoice in found if invoice.number.lower() in wanted]
        if (contact_ids := request.values("contactids")) is not None:
            wanted = {each.lower() for each in contact_ids}
            found = [invoice for invoice in found if invoice.contact_id in wanted]
        if (statuses := request.values("statuses")) is not None:
            wanted = {status.upper() for status in statuses}
            found = [invoice for invoice in found if invoice.status in wanted]
        if request.flag("createdbymyapp"):
            found = [invoice for invoice in found if invoice.client_id == request.client_id]
        if term := request.params.get("searchterm", "").casefold():
            found = [
                each for each in found if term in each.number.casefold() or term in each.reference.casefold()
            ]
        return found

    def _email(self, request: Request, invoice: Invoice) -> Answer:
        if invoice.type != ACCREC or invoice.status not in {"SUBMITTED", "AUTHORISED", "PAID"}:
            raise validation(message="The document cannot be emailed in its current status.")
        if not self._state.rows.contacts[invoice.contact_id].get("EmailAddress"):
            raise validation(message="The contact must have an email address.")
        limit, day = self._state.switches.email_day_limit, request.now.date()
        if limit is not None and self._emails.get(day, 0) >= limit:
            raise validation(message="The daily email limit has been reached.")
        self._emails[day] = self._emails.get(day, 0) + 1
        invoice.sent_to_contact = True
        return Answer(status=204)

    def _add_notes(self, request: Request, invoice: Invoice) -> dict[str, Any]:
        notes = request.elements("HistoryRecords", _SPELL_NOTE)
        for note in notes:
            details = note.get("Details")
            if not isinstance(details, str) or not 0 < len(details) <= _LONGEST_NOTE:
                raise validation(message=f"Details must have 1 to {_LONGEST_NOTE} characters.")
        added = [
            {
                "Changes": "Note",
                "Details": note["Details"],
                "DateUTC": request.now,
                "User": "System Generated",
            }
            for note in notes
        ]
        invoice.history += added
        shown = [_note_view(note) for note in added]
        for view in shown:
            # A note that was just added does not say who and what yet (xero-api §4.9).
            del view["Changes"], view["User"]
        return {"HistoryRecords": shown}


def _online(invoice: Invoice) -> dict[str, Any]:
    if invoice.status == "DRAFT" or invoice.type != ACCREC:
        raise validation(message="Online invoices are available for approved sales invoices only.")
    return {
        "OnlineInvoices": [{"OnlineInvoiceUrl": f"https://in.xero.com/{invoice.invoice_id.replace('-', '')}"}]
    }


def _note_view(note: Row) -> Row:
    moment = note["DateUTC"]
    return {
        "Changes": note["Changes"],
        "DateUTCString": moment.strftime("%Y-%m-%dT%H:%M:%S"),
        "DateUTC": bare_wire_time(moment),
        "User": note["User"],
        "Details": note["Details"],
        "ValidationErrors": [],
    }

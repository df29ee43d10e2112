"""What happens next with an invoice, and what a person can do when it waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.reasons import INVOICE_NEXT

from msp_xero_console.words import moment, money, plural, text

if TYPE_CHECKING:
    from msp_xero.ledger.rows import InvoiceRow

_CONFLICT = (
    "Compare both: `msp-xero invoices show {number}` has ours. If the one in Xero is ours, and somebody has "
    "rewritten it, put our mark {mark} back into its reference and run again: it is taken over as it is. If "
    "this ledger is an old copy, restore the newest one. If neither, renumber the other invoice in Xero (a "
    "voided one keeps its number, too) and run again: ours goes out under {number}. Other accounts are "
    "billed meanwhile."
)

_UNANSWERED = (
    "If it stays, look for what is special about it, such as a text. An hour after it was sent last, "
    "`msp-xero worklogs exclude ID` of a worklog on it takes it back, if Xero still has not got it; with "
    "`include ID` the next run bills the worklog anew, as it is then."
)

_WITHDRAWN = (
    "it is not in Xero; its worklogs wait for another invoice: `msp-xero worklogs show ID` says where."
)


def what_next(invoice: InvoiceRow) -> str:
    """Say what the next run does about an invoice, or what a person has to do."""
    if invoice.state == "planned" and invoice.reason_code == "DAY_LIMIT":
        return f"{INVOICE_NEXT['planned']} {text(invoice.reason)}"
    if invoice.state == "planned" and invoice.reason:
        return f"{text(invoice.reason)} {INVOICE_NEXT['planned']} {_UNANSWERED}"
    if invoice.state == "conflict":
        mark = invoice.reference.rpartition(" ")[2]
        return f"{INVOICE_NEXT['conflict']} {_CONFLICT.format(number=invoice.number, mark=mark)}"
    if invoice.state == "rejected" and not invoice.reason_code:  # Xero had no part in it
        return _WITHDRAWN
    return INVOICE_NEXT[invoice.state]


def since_when(invoice: InvoiceRow) -> str:
    """Say when an unsettled invoice was last sent, and how often; nothing if it never was."""
    if invoice.sent_at is None:
        return ""
    return f" since {moment(invoice.sent_at)}, sent {plural(invoice.attempts or 0, 'time')}"


def differs(invoice: InvoiceRow) -> str:
    """Return one paragraph about an invoice that is not in Xero as it was sent."""
    why = f" {text(invoice.reason)}" if invoice.reason else ""
    advice = f"Compare `msp-xero invoices show {invoice.number}` with Xero: nothing is corrected by itself."
    return f"{invoice.number} is not in Xero as it was sent: {in_both(invoice)}.{why} {advice}"


def in_both(invoice: InvoiceRow) -> str:
    """Return the total that was sent and, if that is another one, the one in Xero."""
    sent = money(invoice.total, invoice.currency)
    if invoice.xero_total in {None, invoice.total}:
        return sent
    return f"{sent}; Xero says {money(invoice.xero_total, invoice.currency)}"


def full_story(invoice: InvoiceRow) -> str:
    """Return one paragraph: the state, since when, why, and what happens next."""
    why = f" {text(invoice.reason)}" if invoice.reason and invoice.state != "planned" else ""
    return f"{invoice.number} is {invoice.state}{since_when(invoice)}: {what_next(invoice)}{why}"

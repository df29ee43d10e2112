"""The open questions about Xero (sections: fact sheet xero-api)."""

from __future__ import annotations

from typing import Final

from msp_xero_console.live import xero_reads
from msp_xero_console.live.probe import Probe
from msp_xero_console.live.xero_reads import XeroGround

_SHEET: Final = "Xero"
_DEMO: Final = "In a Demo Company: "

XERO_PROBES: Final[tuple[Probe[XeroGround], ...]] = (
    Probe(
        name="xero-connections",
        section=f"{_SHEET} 1.2, 1.4",
        question="Does GET /connections list the organisation of a Custom Connection?",
        run=xero_reads.connections,
    ),
    Probe(
        name="xero-organisation",
        section=f"{_SHEET} 7",
        question="What do the organisation and its list of allowed actions tell?",
        run=xero_reads.organisation,
    ),
    Probe(
        name="xero-limits",
        section=f"{_SHEET} 2",
        question="Which limits do the headers tell, and how large is the day's?",
        run=xero_reads.limits,
        steps="X-Rate-Limit-Problem shows only on a breach: note its spelling on the first 429, and whether "
        "a window began with its first call.",
    ),
    Probe(
        name="xero-not-modified",
        section=f"{_SHEET} 4.8",
        question="What does If-Modified-Since get when nothing changed: 304 or an empty list?",
        run=xero_reads.not_modified,
    ),
    Probe(
        name="xero-null-guard",
        section=f"{_SHEET} 4.7",
        question="Does a filter on a member that can be null need a guard?",
        run=xero_reads.null_guard,
    ),
    Probe(
        name="xero-number-case",
        section=f"{_SHEET} 4.2, 11",
        question="Is case a part of an invoice number?",
        run=xero_reads.number_case,
        steps="The look-up is asked; whether two numbers may differ in case shows only by sending both.",
    ),
    Probe(
        name="xero-paging",
        section=f"{_SHEET} 4.7",
        question="Is a page of more than 1,000 rows cut, and does a page tell how many there are?",
        run=xero_reads.paging,
    ),
    Probe(
        name="xero-zero-lines",
        section=f"{_SHEET} 10",
        question="Do lines of 0.00 come back without AccountCode and TaxType?",
        run=xero_reads.zero_lines,
    ),
    Probe(
        name="xero-contact-names",
        section=f"{_SHEET} 5",
        question="Can two active contacts have one name, and which members does a contact have?",
        run=xero_reads.contact_names,
    ),
    Probe(
        name="xero-missing-scope",
        section=f"{_SHEET} 1.5",
        question="How is a missing scope worded?",
        run=xero_reads.missing_scope,
        steps="insufficient_scope has two spellings; whether items can be written with accounting.invoices "
        "alone shows only by writing one. The product writes none.",
    ),
    Probe(
        name="xero-missing-row",
        section=f"{_SHEET} 8",
        question="What does an id that does not exist get?",
        run=xero_reads.missing_row,
    ),
    Probe(
        name="xero-wrong-secret",
        section=f"{_SHEET} 1.3",
        question="Does a wrong client secret get 400 or 401?",
        steps="Run `msp-xero doctor` once with a wrong client_secret: both are understood.",
    ),
    Probe(
        name="xero-idempotency",
        section=f"{_SHEET} 3",
        question="Does a key belong to the app or the token, where does the text of a conflict stand, are "
        "refusals replayed?",
        steps=f"{_DEMO}send one invoice twice with one key and different bodies; again after a new token; a "
        "refused one twice, its cause mended between.",
    ),
    Probe(
        name="xero-lists-lag",
        section=f"{_SHEET} 4.7",
        question="Do lists show an invoice at once after it was made?",
        steps=f"{_DEMO}make a draft and ask for its number in a loop; note the seconds until it shows.",
    ),
    Probe(
        name="xero-invoice-rules",
        section=f"{_SHEET} 4",
        question="How are odd drafts answered: five decimals, a wrong total, an unknown account or tracking "
        "option, a negative total, a locked date?",
        steps=f"{_DEMO}send one such draft each with summarizeErrors=false, and note status and messages.",
    ),
    Probe(
        name="xero-error-shapes",
        section=f"{_SHEET} 4.6",
        question="Where do messages about a line stand, and which elements does a refused call show?",
        steps=f"{_DEMO}send a good and a bad invoice in one call with summarizeErrors=true.",
    ),
    Probe(
        name="xero-archived-contact",
        section=f"{_SHEET} 5",
        question="What does an invoice for an archived contact get, and can one be brought back?",
        steps=f"{_DEMO}archive a contact, send a draft for it, then POST it with ContactStatus ACTIVE.",
    ),
    Probe(
        name="xero-first-invoice",
        section=f"{_SHEET} 5",
        question="Does a first draft make its contact a customer?",
        steps=f"{_DEMO}make a contact and a draft for it, then read IsCustomer.",
    ),
    Probe(
        name="xero-plan",
        section=f"{_SHEET} 2, 4.6",
        question="How many invoices may be approved and e-mailed, and how large may a call be?",
        steps="These depend on the plan. All are told by a refusal, which holds the invoice with its reason.",
    ),
    Probe(
        name="xero-second-login",
        section=f"{_SHEET} 1.3",
        question="Does a new login of the same user to the same app end the one before?",
        steps="Log in to a Demo Company with two environments that have the same client_id, one after the "
        "other; after half an hour run `msp-xero doctor` in the first.",
    ),
)

__all__ = ["XERO_PROBES", "XeroGround"]

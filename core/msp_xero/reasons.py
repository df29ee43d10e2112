"""Every reason code: what it means, who can do something about it, and how.

Codes are stable: configurations, scripts and the ledger hold them. ``python -m msp_xero.reasons``
prints this table as the page ``docs/reasons.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

BILLING = "Billing person"
XERO = "Whoever keeps the books in Xero"
DESK = "Technician or service desk"
INTEGRATOR = "Integrator"
NOBODY = "Nobody"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a worklog is not on an invoice."""

    code: str
    sentence: str
    who: str
    how: str


_ALL = (
    Reason(
        "ACCOUNT_UNMAPPED",
        "The account is not linked to a Xero contact.",
        BILLING,
        "Link it: `msp-xero accounts link CONTACT ACCOUNT`. `msp-xero accounts list --accounts` shows all "
        "such accounts, `msp-xero accounts list --unmapped` the contacts that are free.",
    ),
    Reason(
        "ACCOUNT_UNRESOLVED",
        "ServiceDesk Plus does not say which account the worklog belongs to.",
        DESK,
        "Give the request, problem, change, project or task an account (a project: a site of one).",
    ),
    Reason(
        "ACCOUNT_IGNORED",
        "The account is linked to a contact that was set to be ignored.",
        BILLING,
        "If it is to be billed after all: `msp-xero accounts link CONTACT ACCOUNT`. "
        "If never: exclude the worklogs.",
    ),
    Reason(
        "CONTACT_ARCHIVED",
        "The linked Xero contact is archived or gone.",
        XERO,
        "Restore the contact in Xero, or link the account to another one.",
    ),
    Reason(
        "TYPE_MISSING",
        "The worklog has no worklog type, and no default type is set.",
        INTEGRATOR,
        "Set `default_worklog_type` for all such worklogs, or have the technician choose a type.",
    ),
    Reason(
        "TYPE_NOT_SYNCED",
        "The worklog type is not linked to a Xero item.",
        BILLING,
        "Create an item of that name in Xero and run `meltano run worklog-types`, "
        "or link one: `msp-xero types link ITEM TYPE`.",
    ),
    Reason(
        "TYPE_IGNORED",
        "A person decided that the worklog type needs no Xero item.",
        BILLING,
        "If it is to be billed after all: `msp-xero types link ITEM TYPE`. "
        "If never: exclude the worklogs (`msp-xero worklogs exclude ID --reason TEXT`).",
    ),
    Reason(
        "ID_GIVEN_ANEW",
        "ServiceDesk Plus has given the id of its account or worklog type to another one since it was read.",
        BILLING,
        "If ServiceDesk Plus still has the worklog: have it edited there, or run once "
        "`meltano run --full-refresh worklogs`; it is billed by what is told then. "
        "What is held after that has to be edited. If it has it no more: "
        "bill it by hand and `msp-xero worklogs exclude ID --reason TEXT`.",
    ),
    Reason(
        "ITEM_GONE",
        "The Xero item of the worklog type was deleted.",
        XERO,
        "Link the type to another item: `msp-xero types link ITEM TYPE`.",
    ),
    Reason(
        "ITEM_NOT_SOLD",
        "The Xero item is not set to be sold.",
        XERO,
        'Tick "I sell this item" on the item in Xero.',
    ),
    Reason(
        "ITEM_WITHOUT_PRICE",
        "The Xero item has no sales price.",
        XERO,
        "Enter a sales price on the item in Xero, or bill by the worklog's charge (`rate_source`).",
    ),
    Reason(
        "CHARGE_NOT_VISIBLE",
        "Billing goes by the worklog's charge, and ServiceDesk Plus does not show it.",
        INTEGRATOR,
        "Give the technician of the API key the right to see costs, or set `rate_source: item_price`.",
    ),
    Reason(
        "ACCOUNT_CODE_INVALID",
        "There is no revenue account that can be used for the line.",
        XERO,
        "Set a sales account on the item in Xero, or the fallback `account_code`; it has to be active.",
    ),
    Reason(
        "TAX_TYPE_INVALID",
        "There is no tax rate that can be used for the line.",
        XERO,
        "Set a tax rate for sales on the item in Xero, or the fallback `tax_type`; it has to be active.",
    ),
    Reason(
        "PERIOD_LOCKED",
        "Xero's books are locked for the date of the invoice.",
        XERO,
        "Move the lock date in Xero; the next run bills what waited.",
    ),
    Reason(
        "CURRENCY_NOT_ENABLED",
        "The currency of the invoice is not enabled in Xero.",
        XERO,
        "Add the currency in Xero, or change `currency_code`.",
    ),
    Reason(
        "TOO_LONG",
        "The description is longer than Xero takes.",
        DESK,
        "Shorten the worklog's description, or have the integrator shorten `description_template`.",
    ),
    Reason(
        "NEGATIVE_AMOUNT",
        "The amount is below zero.",
        DESK,
        "Correct the worklog's charge; write a credit note in Xero by hand if one is owed.",
    ),
    Reason(
        "INVALID_RECORD",
        "The worklog arrived with values that cannot be right.",
        DESK,
        "See what is wrong with `msp-xero worklogs show ID` and correct it where it was entered: in "
        "ServiceDesk Plus, or in the system that another tap reads.",
    ),
    Reason(
        "EXCLUDED_BY_RULE",
        "A rule of the configuration says that it is not billed.",
        INTEGRATOR,
        "Nothing to do, unless the rule is wrong: change the rule and run again.",
    ),
    Reason(
        "EXCLUDED_BY_PERSON",
        "A person decided that it is not billed.",
        BILLING,
        "Nothing to do, unless it is to be billed after all: `msp-xero worklogs include ID`.",
    ),
    Reason(
        "CHANGED_AFTER_BILLING",
        "It, or a rule for it, changed after it was put on an invoice that stands no more; its newest terms "
        "are not here yet.",
        INTEGRATOR,
        "Run `meltano run worklogs`: it judges the worklog by its newest copy. If it stays, ServiceDesk "
        "Plus has it no more, or in another module: once that one is billed, `msp-xero worklogs exclude ID "
        "--reason TEXT`.",
    ),
    Reason(
        "ID_ON_INVOICE",
        "The ledger was rebuilt, and a worklog with this id in another module is on an invoice, or was "
        "excluded since: this may be the same one, moved.",
        BILLING,
        "If it is the same work and billed: `msp-xero worklogs exclude ID --reason TEXT`. "
        "If it is another: `msp-xero rebuild --another ID`.",
    ),
    Reason(
        "REJECTED_BY_XERO",
        "Xero refused the invoice.",
        XERO,
        "Read Xero's words with `msp-xero worklogs show ID` and correct the cause. It is tried again when "
        "something about it changes, or after a day; `msp-xero invoices push` tries at once.",
    ),
    Reason(
        "NUMBER_CONFLICT",
        "The invoice's number belongs to another invoice in Xero.",
        INTEGRATOR,
        "Find out who else uses the prefix, and set another `number_prefix`.",
    ),
    Reason(
        "DAY_LIMIT",
        "Xero's calls of the day were used up.",
        NOBODY,
        "The next run carries on once the limit is lifted. If it happens often: run less often.",
    ),
)

REASONS = {reason.code: reason for reason in _ALL}

_OF_ANOTHER_TAP = {
    reason.code: reason
    for reason in (
        Reason(
            "ACCOUNT_UNRESOLVED",
            "The line does not say which account it belongs to.",
            INTEGRATOR,
            "Have its mapper give `account_id`, the id of an account of ServiceDesk Plus.",
        ),
        Reason(
            "TOO_LONG",
            "The description is longer than Xero takes.",
            INTEGRATOR,
            "Have it shortened where the time was entered, or by its mapper.",
        ),
        Reason(
            "NEGATIVE_AMOUNT",
            "The amount is below zero.",
            INTEGRATOR,
            "Have it corrected where the time was entered; write a credit note in Xero by hand if one is "
            "owed.",
        ),
        Reason(
            "INVALID_RECORD",
            "The line arrived with values that cannot be right.",
            INTEGRATOR,
            "Have it corrected where the time was entered, or by its mapper, and delivered again.",
        ),
        Reason(
            "CHANGED_AFTER_BILLING",
            "It changed after it was put on an invoice that stands no more; its newest terms are not here "
            "yet.",
            INTEGRATOR,
            "Have its tap deliver it again. If that has it no more: "
            "`msp-xero worklogs exclude ID --reason TEXT`.",
        ),
    )
}
"""What is to be said in another way of a line that ServiceDesk Plus does not tell."""

INVOICE_NEXT = {
    "planned": "the next run sends it.",
    "sending": "it was sent, and no answer came; the next run looks it up in Xero before anything else.",
    "unknown": "Xero's answer was lost. The next run looks the number up: it adopts the invoice if it is "
    "there, and sends it again only if it is proven missing.",
    "conflict": "an invoice in Xero has its number and is not known for ours; a person has to look "
    "(NUMBER_CONFLICT).",
    "rejected": "Xero refused it, so it is not there. The worklogs that Xero blames are held with its words; "
    "the next run plans the others anew.",
    "created": "it is in Xero.",
    "paid": "it is in Xero, and paid.",
    "voided": "a person voided it in Xero; `msp-xero invoices release` bills its worklogs again.",
    "deleted": "a person deleted it in Xero; `msp-xero invoices release` bills its worklogs again.",
}
"""What each state of an invoice means and what happens next."""


def explain(code: str | None, *, of_sdp: bool = True) -> Reason:
    """Return the reason of a code; one that this version does not know explains itself.

    Args:
        code: the code, None where none was recorded.
        of_sdp: False for one line of another tap: who can do something about it is somebody else.
    """
    fallback = Reason(
        code or "UNKNOWN",
        "No reason was recorded.",
        INTEGRATOR,
        "Look at it with `msp-xero worklogs show ID`.",
    )
    reason = REASONS.get(code or "", fallback)
    return reason if of_sdp else _OF_ANOTHER_TAP.get(reason.code, reason)


def markdown() -> str:
    """Return the page of all reason codes."""
    rows = "\n".join(f"| `{r.code}` | {r.sentence} | {r.who} | {r.how} |" for r in _ALL)
    return (
        "# Reason codes\n\n"
        "Why a worklog is not on an invoice. The codes are stable. `msp-xero status` shows which of them "
        "occur and the money at stake; `msp-xero worklogs list --reason CODE` shows the worklogs.\n\n"
        "<!-- Generated by `python -m msp_xero.reasons`. -->\n\n"
        "| code | what it means | who fixes it | how |\n| --- | --- | --- | --- |\n"
        f"{rows}\n"
    )


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - printing is what it is for

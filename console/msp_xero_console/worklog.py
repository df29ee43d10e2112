"""One worklog on the screen: where it is, why, its invoice lines and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msp_xero.reasons import explain

from msp_xero_console import show
from msp_xero_console.show import Column
from msp_xero_console.words import NOTHING, day, hours, moment, money, printable, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msp_xero.ledger.rows import Happening, WorklogDetail, WorklogRow

_WHERE = {
    "open": "open: the next run bills it",
    "held": "held: it waits until its reason is gone; every run tries again",
    "excluded": "excluded: it is not billed",
    "planned": "planned: it is on an invoice that is about to be sent",
    "invoiced": "invoiced",
}
_HAPPENED = {
    "delivered": "delivered",
    "open": "became billable",
    "held": "held",
    "excluded": "excluded",
    "included": "included again",
    "planned": "put on an invoice",
    "invoiced": "invoiced",
    "created": "created in Xero",
    "adopted": "found in Xero and adopted",
    "rejected": "refused by Xero",
    "planned_again": "proven missing in Xero; to be sent again",
    "released": "released from its invoice",
    "withdrawn": "taken back: its invoice was planned, and is not in Xero",
    "changed_after_billing": "changed after billing",
    "as_billed_again": "changed back to what was billed",
    "rebuilt": "found on an invoice in Xero when the ledger was rebuilt",
    "recognised": "delivered again after the rebuild, and recognised",
    "id_given_anew": "waits for its next delivery: another account or type has its id now",
    "told_apart": "told apart by a person: another worklog than the billed one of its id",
    "unknown": "sent, but Xero's answer was lost",
    "conflict": "an invoice that is not known for ours has its number",
}

_LIFTED_BY_AN_ITEM = ("TYPE_NOT_SYNCED", "TYPE_IGNORED", "ITEM_GONE")


def draw_worklog(detail: WorklogDetail, currency: str | None) -> None:
    """Print everything about a worklog."""
    row = detail.worklog
    show.heading(f"Worklog {row.label}")
    show.facts(_facts(detail, row.currency or currency))
    if detail.description:
        show.heading(
            "Text on the invoice" if row.state in ("planned", "invoiced") else "Text for the invoice"
        )
        show.say(printable(detail.description))
    if row.changed:
        show.heading("Changed after billing")
        columns = [Column("What"), Column("As billed", wraps=True), Column("As it is now", wraps=True)]
        show.table(columns, [(name, *(text(value) for value in pair)) for name, pair in row.changed.items()])
    if detail.lines:
        show.heading("Invoice lines")
        columns = [Column("Invoice"), Column("Line", right=True), Column("Hours", right=True)]
        columns += [Column("Price", right=True), Column("Amount", right=True), Column("Tax", right=True)]
        lines = [
            (
                line.invoice_number,
                str(line.position),
                f"{line.quantity.normalize():f}",
                money(line.unit_price),
                money(line.amount),
                money(line.tax),
                line.invoice_state if line.live else f"{line.invoice_state}, released",
                text(line.organisation),
            )
            for line in detail.lines
        ]
        columns += [Column("State"), Column("Organisation", wraps=True)]
        show.table(columns, lines)
    draw_history(detail.history)


def draw_history(history: list[Happening]) -> None:
    """Print entries of the audit log, oldest first."""
    if not history:
        return
    show.heading("History")
    columns = [Column("When"), Column("Who"), Column("What", wraps=True), Column("Run", right=True)]
    show.table(
        columns,
        [
            (moment(one.at), text(one.actor), _happening(one), str(one.run_id) if one.run_id else NOTHING)
            for one in history
        ],
    )


def _facts(detail: WorklogDetail, currency: str | None) -> list[tuple[str, str]]:
    row = detail.worklog
    pairs = [("Where", _place(row))]
    if row.reason_code:
        reason = explain(row.reason_code, of_sdp=detail.of_sdp)
        pairs += [("Why", f"{row.reason_code}: {text(row.reason or reason.sentence)}")]
        if since := _linked_since(detail):
            pairs += [("Since then", since)]
        elif row.state != "excluded" or row.excluded_by == "rule":
            pairs += [("Who and how", f"{reason.who}: {reason.how}")]
    if row.excluded_by:
        pairs += [("Excluded by", text(row.excluded_by))]
    parent = f"{row.module} {row.parent_display_id or row.parent_id or ''}".strip()
    rate = f" at {money(detail.unit_price, currency)}" if detail.unit_price is not None else ""
    return [
        *pairs,
        ("Account", f"{text(row.account_name)} ({row.account_id})" if row.account_id else NOTHING),
        ("Belongs to", f"{parent}: {text(row.parent_title)}" if row.parent_title else parent),
        ("Technician", text(row.technician_name)),
        ("Type", text(row.type_name)),
        ("Date", day(row.work_date)),
        ("Time", f"{hours(row.minutes)}{rate}"),
        ("Money", _stake(row, currency)),
        ("Billable mark", {None: "not set", True: "yes", False: "no"}[row.is_billable]),
        ("First delivered", moment(detail.first_seen_at)),
        ("Last change seen", moment(detail.last_seen_at)),
    ]


def _linked_since(detail: WorklogDetail) -> str | None:
    """Say that what a worklog is held for is done, and only the next run is to come; None: it is not."""
    row = detail.worklog
    if row.state != "held":
        return None
    if row.reason_code == "ACCOUNT_UNMAPPED" and detail.contact_name is not None:
        to = f"The account is linked to contact {text(detail.contact_name)}"
    elif row.reason_code in _LIFTED_BY_AN_ITEM and detail.item_name is not None:
        to = f"The worklog type is linked to item {text(detail.item_name)}"
    else:
        return None
    return f"{to} now; the next run bills it if nothing else keeps it."


def _stake(row: WorklogRow, currency: str | None) -> str:
    if row.money is not None:
        return money(row.money, currency)
    # One that is held may have no item, and one that is excluded gets none.
    return "not known yet: the item's price" if row.state == "open" else "no price yet"


def _place(row: WorklogRow) -> str:
    place = _WHERE[row.state]
    return f"{place} {row.invoice_number}" if row.invoice_number and row.state == "invoiced" else place


def _happening(one: Happening) -> str:
    data: Mapping[str, Any] = one.data or {}
    sentence = _HAPPENED.get(one.action, one.action.replace("_", " "))
    if one.action == "delivered" and data.get("state") in ("held", "excluded"):
        sentence += f", {data['state']}"
    if data.get("reason_code"):
        sentence += f": {data['reason_code']}"
    if data.get("reason"):
        sentence += f": {text(data['reason'])}"
    if number := data.get("number") or one.invoice_number:
        sentence += f": {number}"
    if data.get("fields"):
        sentence += f": {', '.join(map(str, data['fields']))}"
    return sentence

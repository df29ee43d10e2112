"""A person stops a push because it is wrong: whatever was wrong, only what is right now leaves."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from msp_xero.billing.preflight import SETTLE_REASONS
from msp_xero.billing.settings import BillingSettings
from msp_xero.billing.settle import settle
from msp_xero.ledger.decisions import exclude_worklog, include_worklog
from msp_xero.ledger.links import ignore_contact, ignore_type, link_type, unlink_account, unlink_type
from msp_xero.ledger.models import Worklog
from msp_xero.ledger.staging import stage_lines
from sqlalchemy import select


def invoices(world):
    return sorted(world.ours(), key=lambda row: row["InvoiceNumber"])


def sold(world, name):
    """Return what each of our invoices has in a member of its lines."""
    return [{line[name] for line in row["LineItems"]} for row in invoices(world)]


def item_of(world, code):
    return next(item for item in world.rows["items"] if item["Code"] == code)


TERMS = {"account_code": "200", "tax_type": "OUTPUT2"}


@pytest.mark.parametrize(
    ("before", "name"),
    [({"tax_type": "ZERORATEDOUTPUT"}, "TaxType"), ({"account_code": "270"}, "AccountCode")],
)
def test_a_corrected_account_or_tax_type_counts(stopped, sqlite_world, before, name):
    sqlite_world.item = item_of(sqlite_world, "LEG-1")  # has neither: the settings decide
    world = stopped(**{**TERMS, **before})
    world.settle(**TERMS)
    right = set(TERMS.values())
    assert sold(world, name)[0] == set(before.values())
    assert all(found <= right for found in sold(world, name)[1:])
    world.assert_exactly_once(9)


def test_corrected_tracking_counts(stopped):
    world = stopped(tracking={"Region": "North"})
    world.settle(tracking={"Region": "South"})
    regions = [{line["Tracking"][0]["Option"] for line in row["LineItems"]} for row in invoices(world)]
    assert regions == [{"North"}, {"South"}, {"South"}]


def test_a_corrected_due_date_counts(stopped):
    world = stopped(due_days=3)
    world.settle(due_days=30)
    dates = [(row["DueDateString"][:10], row["DateString"][:10]) for row in invoices(world)]
    assert [(date.fromisoformat(due) - date.fromisoformat(day)).days for due, day in dates] == [3, 30, 30]


def test_a_corrected_reference_counts(stopped):
    world = stopped(reference_template="Wrok of {{ contact_name }}")
    world.settle(reference_template="Work of {{ contact_name }}")
    assert [row["Reference"][:5] for row in invoices(world)] == ["Wrok ", "Work ", "Work "]


def test_work_without_a_day_goes_out_on_the_next_day_as_it_was_planned(sqlite_world):
    world = sqlite_world
    world.deliver(*(world.line(n, work_date=None) for n in range(9)))
    one_by_one = BillingSettings(batch_size=1, concurrency=1)
    settle(world.ledger, world.client(), one_by_one, stop_requested=lambda: world.writes() == 1)
    world.clock.advance(86_400)
    world.settle()
    assert [row["InvoiceNumber"] for row in invoices(world)] == ["SDP-00001", "SDP-00002", "SDP-00003"]


def test_fewer_lines_on_an_invoice_count(stopped):
    world = stopped()
    world.settle(max_lines_per_invoice=2)
    assert [len(row["LineItems"]) for row in invoices(world)] == [3, 2, 1, 2, 1]


def test_the_tax_rate_of_now_counts(stopped):
    world = stopped()
    world.person("tax_rate", "edit", "OUTPUT2", EffectiveRate=Decimal(20), DisplayTaxRate=Decimal(20))
    world.settle()
    assert [row["InvoiceNumber"] for row in invoices(world)] == ["SDP-00001", "SDP-00004", "SDP-00005"]
    assert len({row["TotalTax"] for row in invoices(world)}) == 2
    world.assert_exactly_once(9)


def test_the_price_of_now_counts(stopped):
    world = stopped()
    item, price = world.item, world.item["SalesDetails"]["UnitPrice"]
    world.person(
        "item", "edit", item["ItemID"], SalesDetails={**item["SalesDetails"], "UnitPrice": price + 1}
    )
    world.settle()
    assert sold(world, "UnitAmount") == [{price}, {price + 1}, {price + 1}]
    world.assert_exactly_once(9)


def test_a_type_that_is_linked_to_another_item_counts(stopped):
    world = stopped()
    right, type_id = item_of(world, "CON-1"), f"type-{world.item['Code']}"
    unlink_type(world.ledger, right["ItemID"])
    unlink_type(world.ledger, world.item["ItemID"])
    link_type(world.ledger, right["ItemID"], type_id)
    world.settle()
    assert sold(world, "ItemCode") == [{world.item["Code"]}, {"CON-1"}, {"CON-1"}]


def test_a_type_that_is_ignored_now_bills_nothing(stopped):
    world = stopped()
    unlink_type(world.ledger, world.item["ItemID"])
    ignore_type(world.ledger, f"type-{world.item['Code']}")
    world.settle()
    assert len(world.ours()) == 1
    assert set(world.reasons().values()) == {None, "TYPE_IGNORED"}


def test_a_period_that_is_locked_now_is_not_sent_to_be_refused(stopped):
    world = stopped()
    world.person("organisation", "edit", PeriodLockDate=world.time.now().date().isoformat())
    world.clock.advance(86_400)
    settled = world.settle()
    assert (settled.rejected, settled.invoices) == (0, 2)
    assert len({row["DateString"] for row in invoices(world)}) == 2


def by_charge(world, *numbers):
    return [world.line(n, unit_price=Decimal(200), amount=Decimal("150.00")) for n in numbers]


def test_a_rule_of_the_mapper_that_was_corrected_counts(stopped):
    """What is taken back is held until the mapper has made it anew: the very next run does."""
    world = stopped()
    again = by_charge(world, *range(9))
    world.deliver(*again)
    world.settle()
    assert set(world.reasons().values()) == {None, "CHANGED_AFTER_BILLING"}
    world.deliver(*again)
    world.settle()
    assert sold(world, "UnitAmount")[1:] == [{Decimal(200)}, {Decimal(200)}]
    world.assert_exactly_once(9)


def test_a_rule_that_excludes_now_counts(stopped):
    world = stopped()
    never = {"decision": "exclude", "reason_code": "EXCLUDED_BY_RULE", "reason": "Not billable."}
    for _ in range(2):
        world.deliver(*(world.line(n, **never) for n in range(9)))
        world.settle()
    assert len(world.ours()) == 1
    assert world.states() == {"invoiced": 3, "excluded": 6}


def test_what_is_taken_back_for_a_setting_is_not_planned_on_the_terms_of_the_old_rules(stopped):
    world = stopped(invoice_status="AUTHORISED")
    again = by_charge(world, *range(9))
    for _ in range(2):
        world.deliver(*again)
        world.settle(invoice_status="DRAFT")
    assert [row["Status"] for row in invoices(world)] == ["AUTHORISED", "DRAFT", "DRAFT"]
    assert sold(world, "UnitAmount")[1:] == [{Decimal(200)}, {Decimal(200)}]


def test_a_rule_that_is_put_back_takes_nothing_back(stopped):
    world = stopped()
    world.deliver(*by_charge(world, *range(9)))
    world.deliver(*(world.line(n) for n in range(9)))
    world.settle()
    assert [row["InvoiceNumber"] for row in invoices(world)] == ["SDP-00001", "SDP-00002", "SDP-00003"]


def test_what_was_sent_is_not_judged_by_other_rules(stopped):
    world = stopped()
    world.settle()
    world.deliver(*by_charge(world, *range(9)))
    world.settle()
    assert len(world.ours()) == 3
    with world.ledger.read() as session:
        kept = session.execute(select(Worklog.newest, Worklog.changed).distinct()).all()
    assert kept == [(None, None)]


def test_the_mapper_is_given_what_never_left_and_nothing_else_that_is_planned(stopped):
    world = stopped()
    unsent = {str(1000 + n) for n in range(9) if n % 3}
    assert {source["worklog_id"] for source in world.ledger.unbilled_sources()} == unsent
    world.fail({"kind": "reset_before", "match": {"method": "PUT"}, "times": 100})
    world.settle()
    assert list(world.ledger.unbilled_sources()) == []


def test_an_account_is_not_billed_to_a_contact_that_is_ignored(sqlite_world):
    """The linked contact was merged into one about which a person decided otherwise."""
    world = sqlite_world
    linked, ignored = world.contacts[0]["ContactID"], world.contacts[8]["ContactID"]
    world.link_accounts_from(8, 9)
    unlink_account(world.ledger, ignored)
    ignore_contact(world.ledger, ignored)
    world.person("contact", "merge", linked, into=ignored)
    world.deliver(world.line(1, account=0))
    world.settle()
    assert set(world.reasons().values()) == {"ACCOUNT_IGNORED"}


def test_an_item_whose_link_a_person_took_away_bills_nothing_by_its_name(sqlite_world):
    """As worklogs do that took the default worklog type: they know its name only."""
    world = sqlite_world
    unlink_type(world.ledger, world.item["ItemID"])
    world.deliver(world.line(1, account=0, type_id=None))
    world.settle()
    assert (world.ours(), set(world.reasons().values())) == ([], {"TYPE_NOT_SYNCED"})


def judged(world, *lines):
    """Store what the mapper made anew of the ledger's own worklogs."""
    return stage_lines(world.ledger, lines, settle_reasons=SETTLE_REASONS, from_ledger=True)


def test_what_the_mapper_made_of_an_older_copy_takes_no_edit_back(stopped):
    """One job's mapper reads the ledger, another one's tap delivers an edit, then the first one stores."""
    world = stopped()
    source = {"worklog_id": "1002", "module": "request", "minutes": 90}
    world.deliver(world.line(2, minutes=90, source=source))
    judged(world, world.line(2))
    world.settle()
    assert world.reasons()["1002"] == "CHANGED_AFTER_BILLING"
    [again] = [source for source in world.ledger.unbilled_sources() if source["worklog_id"] == "1002"]
    assert again["minutes"] == 90


def test_a_moved_worklog_is_not_billed_twice_after_an_older_copy_came_late(sqlite_world):
    """Where no creation time is told the start stands in: edited, then moved, before its invoice left."""
    world = sqlite_world

    def copy(start, module="problem"):
        source = {"worklog_id": "1000", "module": module, "minutes": 45, "technician_id": "9"}
        return world.line(0, module=module, created_time=start, source=source | {"start_time": start})

    nine, ten = "2026-11-01T09:00:00.000Z", "2026-11-01T10:00:00.000Z"
    world.deliver(copy(nine))
    settle(world.ledger, world.client(), BillingSettings(), stop_requested=lambda: True)
    world.deliver(copy(ten))
    judged(world, copy(nine))
    world.settle()
    world.deliver(copy(ten, "change"))
    world.settle()
    assert len([line for row in world.ours() for line in row["LineItems"]]) == 1


@pytest.mark.parametrize("touched", ["parent_status", "parent_updated_time", "parent_changed_time"])
def test_a_ticket_that_was_only_touched_takes_nothing_back(stopped, touched):
    world = stopped()
    line = world.line(2)
    world.deliver(world.line(2, source=line.source | {touched: "2026-11-22T09:30:00.000Z"}))
    world.settle()
    assert [row["InvoiceNumber"] for row in invoices(world)] == ["SDP-00001", "SDP-00002", "SDP-00003"]
    world.assert_exactly_once(9)


def test_what_a_person_included_is_not_taken_back_for_nothing(sqlite_world):
    world = sqlite_world
    world.deliver(world.line(0))
    with world.ledger.read() as session:
        row = session.scalar(select(Worklog.id))
    exclude_worklog(world.ledger, row, "why")
    include_worklog(world.ledger, row)
    settle(world.ledger, world.client(), BillingSettings(), stop_requested=lambda: True)
    judged(world, world.line(0))
    world.settle()
    world.assert_exactly_once(1)


@pytest.mark.parametrize("edit", [{"account_name": "Renamed"}, {"unit_price": Decimal(200)}, {"minutes": 90}])
def test_a_line_of_another_tap_in_a_module_of_ours_goes_out_as_it_was_planned(sqlite_world, edit):
    """Only that tap could deliver it again, and may never do so."""
    world = sqlite_world

    def theirs(number, **changes):
        source = {"minutes": changes.get("minutes", 45), "account_id": str(number % 3)}
        return world.line(number, module="task", source=source, **changes)

    world.deliver(*(theirs(number) for number in range(9)))
    settle(world.ledger, world.client(), BillingSettings(), stop_requested=lambda: True)
    world.deliver(theirs(2, **edit))
    with world.ledger.read() as session:
        kept = session.scalar(select(Worklog.newest).where(Worklog.worklog_id == "1002"))
    assert (kept is None) == ("account_name" in edit), "released, it would wait for that tap for nothing"
    world.settle()
    assert world.states() == {"invoiced": 9}

"""The contract itself: it covers what the product calls, and it can fail."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import contract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract import Contract

Json = dict[str, Any]


@pytest.fixture
def xero() -> Contract:
    found = contract.load()
    if found is None:
        pytest.skip(contract.WHY_ABSENT)
    return found


@pytest.fixture
def calls(first_run: Path) -> list[Json]:
    """Every call of a first run of the three jobs."""
    return json.loads((first_run / "billed" / "calls.json").read_text())["xero"]


def test_every_kind_of_call_that_the_product_makes_is_covered(xero: Contract, calls: list[Json]) -> None:
    xero.covered.clear()
    assert xero.problems(calls) == []
    assert xero.covered >= {
        "GET /Organisation",
        "GET /Accounts",
        "GET /TaxRates",
        "GET /Items",
        "GET /Contacts",
        "GET /Invoices",
        "PUT /Invoices",
    }
    paths = {call["path"] for call in calls}
    assert {path for path in paths if not path.startswith(contract.API)} == {"/connect/token"}
    assert all(call["request_body"] is not None and call["response_body"] is not None for call in calls)


def test_exemptions_are_few_and_each_has_a_reason(xero: Contract, calls: list[Json]) -> None:
    names = [exemption.name for exemption in contract.EXEMPTIONS]
    assert len(names) == len(set(names)) <= 7
    assert all(exemption.section and len(exemption.why) > 20 for exemption in contract.EXEMPTIONS)
    xero.used.clear()
    xero.problems(calls)
    # A first run needs only these two: all else is judged as the file has it.
    assert xero.used == {"identity", "tenant"}


def change_sent(change: Callable[[Json], Any]) -> Callable[[Json], None]:
    def apply(call: Json) -> None:
        body = json.loads(call["request_body"])
        change(body["Invoices"][0])
        call["request_body"] = json.dumps(body)

    return apply


def change_answered(change: Callable[[Json], Any]) -> Callable[[Json], None]:
    def apply(call: Json) -> None:
        body = json.loads(call["response_body"])
        change(body["Invoices"][0])
        call["response_body"] = json.dumps(body)

    return apply


SENT_WRONG = {
    "enum": (lambda one: one.update(LineAmountTypes="NO_TAX"), "NO_TAX"),
    "status": (lambda one: one.update(Status="Draft"), "'Draft' is not one of"),
    "text for a number": (lambda one: one["LineItems"][0].update(Quantity="0.5"), "not of type 'number'"),
    "misspelt member": (lambda one: one.update(Refrence="x"), "Refrence"),
    "misspelt member of a line": (lambda one: one["LineItems"][0].update(Descripton="x"), "Descripton"),
    "misspelt member of the contact": (lambda one: one["Contact"].update(ContactId="x"), "ContactId"),
    "contact with a name": (lambda one: one["Contact"].update(Name="x"), "would edit the contact"),
    "no uuid": (lambda one: one["Contact"].update(ContactID="17"), "is not a 'uuid'"),
    "reference": (lambda one: one.update(Reference="x" * 256), "Reference has 256 characters"),
    "description": (
        lambda one: one["LineItems"][0].update(Description="🎉" * 2001),
        "Description has 4002 characters",
    ),
    "no description": (lambda one: one["LineItems"][0].update(Description=""), "no Description"),
    "item code": (lambda one: one["LineItems"][0].update(ItemCode="x" * 31), "ItemCode has 31"),
    "five decimals": (lambda one: one["LineItems"][0].update(UnitAmount=0.12345), "four decimals"),
    "a binary float": (lambda one: one["LineItems"][0].update(Quantity=0.1 + 0.2), "four decimals"),
    "own total": (lambda one: one["LineItems"][0].update(LineAmount=1.0), "computed by Xero"),
    "a bill": (lambda one: one.update(Type="ACCPAY"), "Type is not ACCREC"),
    "no lines": (lambda one: one.update(LineItems=[]), "no lines"),
}


@pytest.mark.parametrize("case", SENT_WRONG)
def test_a_wrong_request_is_caught(xero: Contract, calls: list[Json], case: str) -> None:
    change, complaint = SENT_WRONG[case]
    put = copy.deepcopy(next(call for call in calls if call["method"] == "PUT"))
    assert xero.problems([put]) == []
    change_sent(change)(put)
    assert complaint in "\n".join(xero.problems([put]))


CALLED_WRONG = {
    "no key": (lambda call: call["headers"].pop("idempotency-key"), "Idempotency-Key has 0"),
    "long key": (
        lambda call: call["headers"].update({"idempotency-key": "k" * 129}),
        "Idempotency-Key has 129",
    ),
    "no token": (lambda call: call["headers"].pop("authorization"), "SecurityNotFound"),
    "no accept": (lambda call: call["headers"].update(accept="*/*"), "Accept is not"),
    "no unitdp": (lambda call: call["query"].pop("unitdp"), "unitdp is not 4"),
    "summarised": (lambda call: call["query"].pop("summarizeErrors"), "summarizeErrors is not false"),
    "post": (lambda call: call.update(method="POST"), "only PUT creates"),
    "unknown path": (lambda call: call.update(path=f"{contract.API}/Invoice"), "PathNotFound"),
    "unknown parameter": (lambda call: call["query"].update(unitDP="4"), "unknown query parameter unitDP"),
    "no JSON": (lambda call: call.update(request_body="{"), "the body is not"),
}


@pytest.mark.parametrize("case", CALLED_WRONG)
def test_a_wrong_call_is_caught(xero: Contract, calls: list[Json], case: str) -> None:
    change, complaint = CALLED_WRONG[case]
    put = copy.deepcopy(next(call for call in calls if call["method"] == "PUT"))
    change(put)
    assert complaint in "\n".join(xero.problems([put]))


ANSWERED_WRONG = {
    "enum": (lambda one: one.update(Status="DRAFTED"), "'DRAFTED' is not one of"),
    "text for a number": (lambda one: one.update(Total="12.00"), "not of type 'number'"),
    "line is no object": (lambda one: one.update(LineItems=["x"]), "not of type 'object'"),
}


@pytest.mark.parametrize("case", ANSWERED_WRONG)
def test_a_wrong_answer_is_caught(xero: Contract, calls: list[Json], case: str) -> None:
    change, complaint = ANSWERED_WRONG[case]
    put = copy.deepcopy(next(call for call in calls if call["method"] == "PUT"))
    change_answered(change)(put)
    assert complaint in "\n".join(xero.problems([put]))

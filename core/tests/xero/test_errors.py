from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from msp_xero.errors import (
    AccessRefused,
    DayLimitReached,
    Missing,
    Rejected,
    Throttled,
    Unavailable,
)
from msp_xero.xero import KeyConflict, messages_in
from msp_xero.xero.errors import (
    Answer,
    Blocked,
    FormRefused,
    OrganisationRefused,
    ScopeMissing,
    TokenRefused,
    classify,
    retry_after,
)
from requests.structures import CaseInsensitiveDict

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
URL = "https://api.xero.com/api.xro/2.0/Invoices"


def verdict(status, body=b"", method="PUT", url=URL, **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return classify(Answer(method=method, url=url, status=status, headers=named, body=body), now=NOW)


def validation(**element):
    return {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        **element,
    }


UNAUTHORISED = {"Type": None, "Title": "Unauthorized", "Status": 401, "Instance": "0", "Extensions": {}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (200, {"Invoices": []}, {}, type(None)),
        (204, b"", {}, type(None)),
        (304, b"", {}, type(None)),
        (302, b"", {"Location": "https://login.xero.com"}, Unavailable),
        (400, validation(Elements=[]), {}, Rejected),
        (
            400,
            {"ErrorNumber": 14, "Type": "PostDataInvalidException", "Message": "Error converting"},
            {},
            Rejected,
        ),
        (400, {"ErrorNumber": 16, "Type": "QueryParseException", "Message": "No property"}, {}, Rejected),
        (400, b"<html>Bad Request</html>", {}, Unavailable),
        (
            401,
            {**UNAUTHORISED, "Detail": "TokenExpired: token expired at 09/24/2021 08:23:47"},
            {},
            TokenRefused,
        ),
        (401, {**UNAUTHORISED, "Detail": "TokenExpired"}, {}, TokenRefused),
        (401, {**UNAUTHORISED, "Detail": "AuthenticationUnsuccessful"}, {}, TokenRefused),
        (401, b"", {}, TokenRefused),
        (401, {**UNAUTHORISED, "Detail": "AuthorizationUnsuccessful"}, {}, ScopeMissing),
        (401, b"", {"WWW_Authenticate": 'Bearer error="insufficient_scope"'}, ScopeMissing),
        (401, b"", {"WWW_Authenticate": 'Bearer error="insufficent_scope"'}, ScopeMissing),
        (403, {"Title": "Forbidden", "Detail": "AuthenticationUnsuccessful"}, {}, OrganisationRefused),
        (404, b"", {"Content_Type": "text/html"}, Missing),
        (404, b"The resource you're looking for cannot be found", {}, Missing),
        (403, b"<html>Access Denied</html>", {}, Blocked),
        (403, b"", {}, Blocked),
        (405, b"<html>", {}, FormRefused),
        (412, b"", {}, FormRefused),
        (413, b"<html>", {}, Rejected),
        (414, b"", {}, Rejected),
        (415, b"", {}, FormRefused),
        (429, b"", {"X_Rate_Limit_Problem": "minute", "Retry_After": "26"}, Throttled),
        (429, b"", {"X_Rate_Limit_Problem": "Minute", "Retry_After": "26"}, Throttled),
        (429, b"", {"X_Rate_Limit_Problem": "concurrent"}, Throttled),
        (429, b"", {"X_Rate_Limit_Problem": "appminute"}, Throttled),
        (429, b"", {}, Throttled),
        (429, b"", {"X_Rate_Limit_Problem": "day", "Retry_After": "73451"}, DayLimitReached),
        (429, b"", {"X_Rate_Limit_Problem": "Daily"}, DayLimitReached),
        (429, b"", {"Retry_After": "73451"}, DayLimitReached),
        (429, b"", {"X_DayLimit_Remaining": "0"}, DayLimitReached),
        (500, {"Title": "An error occurred", "Status": 500}, {}, Unavailable),
        (501, b"", {}, Unavailable),
        (502, b"<html>Bad Gateway</html>", {}, Unavailable),
        (503, b"The Organisation is offline", {}, Unavailable),
        (504, b"", {}, Unavailable),
    ],
)
def test_every_answer_of_the_catalogue_has_its_decision(status, body, headers, kind):
    error = verdict(status, body, **headers)
    assert type(error) is kind
    assert status not in {401, 403} or isinstance(error, AccessRefused)
    if error is not None:
        assert error.address == f"PUT {URL}"
        assert error.status == status
        assert str(error).startswith("Xero: ")


@pytest.mark.parametrize(
    "body",
    [
        {"Message": "Idempotency Key: KEY is used with a different request."},
        validation(
            Elements=[
                {"ValidationErrors": [{"Message": "Idempotency Key: K is used with a different request."}]}
            ]
        ),
        validation(Elements=[], Detail="Idempotency Key: K is used with a different request."),
    ],
)
def test_key_conflict_is_found_in_every_envelope(body):
    assert type(verdict(400, body)) is KeyConflict


def test_messages_are_collected_at_any_depth_once_and_in_order():
    element = {
        "ValidationErrors": [
            {"Message": "Invoice # must be unique."},
            {"Description": "From the docs example"},
        ],
        "LineItems": [
            {"ValidationErrors": [{"Message": "Account code 'X' is not a valid code for this document."}]}
        ],
        "Contact": {"ValidationErrors": [{"Message": "Invoice # must be unique."}, {"Message": ""}, 7, None]},
        "Warnings": [{"Message": "not an error"}],
    }
    expected = [
        "Invoice # must be unique.",
        "From the docs example",
        "Account code 'X' is not a valid code for this document.",
    ]
    assert messages_in(element) == expected
    error = verdict(400, validation(Elements=[element]))
    assert error.messages == expected
    assert error.codes == [10]


def test_a_refusal_without_elements_keeps_the_top_message():
    error = verdict(400, {"ErrorNumber": 16, "Message": "No property or field 'Foo' exists"})
    assert error.messages == ["No property or field 'Foo' exists"]
    assert verdict(400, {}).messages == ["the request was refused without a reason"]


@pytest.mark.parametrize(
    ("method", "name", "scope"),
    [
        ("PUT", "Invoices", "accounting.invoices "),
        ("GET", "Invoices", "accounting.invoices.read "),
        ("GET", "Contacts", "accounting.contacts.read "),
        ("GET", "TaxRates", "accounting.settings.read "),
    ],
)
def test_a_missing_scope_is_named(method, name, scope):
    error = verdict(
        401, b"AuthorizationUnsuccessful", method=method, url=f"https://api.xero.com/api.xro/2.0/{name}"
    )
    assert scope in str(error)


def test_waits_come_from_retry_after_in_both_forms():
    assert verdict(429, X_Rate_Limit_Problem="minute", Retry_After="26").retry_after == 26
    assert verdict(429, X_Rate_Limit_Problem="minute").retry_after == 60
    assert verdict(429, X_Rate_Limit_Problem="appminute").retry_after == 60
    assert verdict(429, X_Rate_Limit_Problem="concurrent").retry_after is None
    assert verdict(429, X_Rate_Limit_Problem="day", Retry_After="60").resume_at == NOW + timedelta(minutes=1)
    assert verdict(429, X_Rate_Limit_Problem="day").resume_at is None
    assert retry_after({"Retry-After": "Sun, 22 Nov 2026 09:00:30 GMT"}, NOW) == 30
    assert retry_after({"Retry-After": "soon"}, NOW) is None
    assert retry_after({"Retry-After": "-5"}, NOW) == 0


def test_errors_show_neither_query_nor_body():
    error = verdict(500, b'{"Detail":"Mr Smith"}')
    assert "Smith" not in str(error)
    assert "Smith" not in repr(Answer(method="GET", url=URL, status=500, headers={}, body=b"Smith"))


@pytest.mark.parametrize("status", [408, 409, 423, 425, 499])
def test_a_gateways_refusal_proves_nothing_about_a_write(status):
    assert isinstance(verdict(status, b"<html>Request Timeout</html>"), Unavailable)


@pytest.mark.parametrize("status", [405, 406, 411, 412, 413, 414, 415, 431])
def test_a_request_refused_for_its_form_or_size_was_not_processed(status):
    assert isinstance(verdict(status), Rejected)


def test_a_read_that_something_before_xero_refuses_is_about_no_document():
    answer = Answer(method="GET", url=URL, status=403, headers={}, body=b"<html>Access Denied</html>")
    assert type(classify(answer, now=NOW)) is OrganisationRefused


def test_a_limit_is_named_only_by_a_name():
    assert "(minute)" in str(verdict(429, X_Rate_Limit_Problem="Minute"))
    echoed = str(verdict(429, X_Rate_Limit_Problem="got Bearer PLANTED"))
    assert "(limit not named)" in echoed
    assert "planted" not in echoed.lower()

from __future__ import annotations

import pytest
from msp_xero.errors import AccessRefused, Missing, RemoteError, SettingError

from .conftest import KEY, run, settings


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"auth_token": "WRONG"}, AccessRefused, "auth_token"),
        ({"auth_token": "sandbox-limited-token", "modules": ["requests"]}, None, ""),
    ],
)
def test_keys(small, change, error, words):
    if error is None:
        limited = run({**settings(small), **change})
        assert 0 < len(limited.ids()) < len(small.reachable())
        assert {r["total_cost"] for r in limited.records()} == {None}
        return
    with pytest.raises(error, match=words):
        run({**settings(small), **change})


def test_a_login_page_is_one_clear_error(small):
    small.post("faults", [{"match": {"path": "/api/v3/requests"}, "kind": "html"}])
    with pytest.raises(RemoteError) as caught:
        run(settings(small))
    text = str(caught.value)
    assert "page came instead of an API answer" in text
    assert f"GET {small.url}/api/v3/requests" in text
    assert "base_url" in text
    assert KEY not in text


def test_a_module_that_does_not_exist_names_the_setting(small):
    small.post(
        "faults",
        [
            {
                "match": {"regex": "problems$"},
                "kind": "status",
                "status": 404,
                "body": {"response_status": {"status_code": 4007, "status": "failed"}},
            }
        ],
    )
    with pytest.raises(Missing, match="leave them out of modules"):
        run(settings(small))


def test_a_parent_that_is_deleted_meanwhile_is_no_error(small):
    request = max(small.get("dump")["requests"], key=lambda r: r["last_updated_time"])
    gone = {
        "kind": "status",
        "status": 404,
        "body": {"response_status": {"status_code": 4007, "status": "failed"}},
    }
    small.post("faults", [{"match": {"path": f"/api/v3/requests/{request['id']}"}, **gone}])
    out = run(settings(small))
    expected = {
        i
        for i, w in small.reachable().items()
        if not (w["parent_kind"] == "request" and w["parent_id"] == request["id"])
    }
    assert set(out.ids()) <= expected
    assert out.trailer is not None


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"modules": []}, "modules"),
        ({"auth_token": None}, "auth_token"),
        ({"base_url": "nowhere"}, "base_url"),
        ({"start_date": "soon"}, "start_date"),
    ],
)
def test_a_wrong_setting_ends_the_run_before_it_starts(small, change, setting):
    with pytest.raises(SettingError, match=setting):
        run({**settings(small), **change})
    assert small.calls() == {}

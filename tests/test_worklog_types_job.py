"""The job worklog-types as the administrator sees it, with real ``meltano run`` over both systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reconciliation import lines_in_xero, reconcile

if TYPE_CHECKING:
    from tests.project import Project
    from tests.systems import Row

LICENCE = {
    "response_status": {
        "status_code": 4000,
        "status": "failed",
        "messages": [{"status_code": 7001, "type": "failed", "message": "Not allowed by the licence."}],
    }
}
TYPES = "/api/v3/worklog_types"


def item(project: Project, name: str) -> Row:
    return next(row for row in project.sandbox.rows("xero", "items") if row["Name"] == name)


def type_(project: Project, name: str) -> Row:
    return next(row for row in project.sandbox.rows("sdp", "worklog_types") if row["name"] == name)


def statuses(project: Project) -> dict[str, str]:
    """Return what `types list` says, by the item's code, or the name of a type without an item."""
    return {row["item_code"] or row["type_name"]: row["status"] for row in project.listed("types", "list")}


def line(project: Project, code: str) -> dict[str, Any]:
    found = [row for row in project.listed("types", "list") if code in (row["item_code"], row["type_name"])]
    return found[0]


def add_item(project: Project, code: str, name: str) -> Row:
    details = {"UnitPrice": 100, "AccountCode": "200", "TaxType": "OUTPUT2"}
    return project.sandbox.change("xero", "item", "add", Code=code, Name=name, SalesDetails=details)


def test_what_changes_in_xero_is_followed_and_what_is_deleted_there_is_told(linked: Project) -> None:
    project, sandbox = linked, linked.sandbox
    text = project.msp_xero("types", "list")
    assert "Internal meeting" in text
    assert "create an item of this name, or link one; or ignore the type" in text
    assert "18 types linked" in text
    consulting, its_type = item(project, "Consulting"), type_(project, "Consulting")
    training = item(project, "Remote support")

    # A code and a name change: the type is followed by the item's id. Another item is deleted.
    sandbox.change("xero", "item", "edit", consulting["ItemID"], Code="ADV-1", Name="Advisory")
    sandbox.change("xero", "item", "delete", training["ItemID"])
    # A list that breaks off says nothing about what is gone.
    sandbox.break_("xero", "status", "GET", "/api.xro/2.0/Items", status=400, body={"Message": "Oops"})
    project.run("worklog-types", expect=1)
    assert "gone" not in statuses(project).values()
    sandbox.mend()

    project.run("worklog-types")
    assert "1 updated, 1 gone: a person is needed, see msp-xero types list" in project.summary(
        "worklog-types"
    )
    assert type_(project, "Advisory")["id"] == its_type["id"]
    assert type_(project, "Remote support")  # never deleted in ServiceDesk Plus
    gone = line(project, training["Code"])
    assert (gone["status"], gone["type_name"], gone["needs_person"]) == ("gone", "Remote support", True)
    assert project.listed("types", "list", "--status", "gone") == [gone]
    assert "the item was deleted in Xero; link the type to another item" in project.msp_xero(
        "types", "list", "--check", expect=3
    )
    assert "1 gone" in project.msp_xero("status")

    # Made anew it has another id, and its worklogs go out by themselves.
    project.run("worklogs")
    held = project.reasons()["ITEM_GONE"]
    assert held > 10
    add_item(project, training["Code"], "Remote support")
    project.run("worklog-types", "worklogs")
    assert "1 new" in project.summary("worklog-types")
    assert project.summary().startswith(f"{held} worklogs invoiced")
    reconcile(project)


def test_where_types_may_not_be_created_the_missing_ones_are_listed(linked: Project) -> None:
    project, sandbox = linked, linked.sandbox
    for code in ("NEW-1", "NEW-2"):
        add_item(project, code, f"Service {code}")
    sandbox.break_("sdp", "status", "POST", TYPES, status=400, body=LICENCE)
    project.run("worklog-types")  # it ends well
    assert "2 refused: a person is needed, see msp-xero types list" in project.summary("worklog-types")
    assert len([call for call in sandbox.writes("sdp") if call["path"] == TYPES]) == 1
    text = project.msp_xero("types", "list", "--status", "refused", "--check", expect=3)
    assert "the licence does not allow this" in text
    assert "create a worklog type of exactly this name in ServiceDesk Plus; the next run links it" in text
    assert "2 shown of" in text

    # The administrator makes one; here the list itself is gone too, and is read as a technician sees it.
    sandbox.change("sdp", "worklog_type", "add", name="Service NEW-1")
    sandbox.mend()
    missing = {"status": 404, "body": {"response_status": {"status_code": 4007, "status": "failed"}}}
    for method in ("GET", "POST", "PUT"):
        sandbox.break_("sdp", "status", method, TYPES, **missing)
    project.run("worklog-types")
    assert "19 linked (1 new)" in project.summary("worklog-types")
    assert "1 refused" in project.summary("worklog-types")
    assert "read as the values that a request's worklog may have" in project.output
    assert (line(project, "NEW-1")["status"], line(project, "NEW-2")["status"]) == ("linked", "refused")
    # Whatever the technician's list shows, no link is taken for lost.
    assert "lost" not in statuses(project).values()


def test_worklogs_of_a_type_without_an_item_wait_until_a_person_decides(billed: Project) -> None:
    project = billed
    meeting = project.sandbox.worklog("type_unknown_to_xero")["id"]
    assert project.worklog(meeting).reason_code == "TYPE_NOT_SYNCED"
    sdp_only = line(project, "Internal meeting")
    assert (sdp_only["status"], sdp_only["waiting"], sdp_only["needs_person"]) == ("sdp_only", 1, True)

    said = project.msp_xero("types", "ignore", "Internal meeting")
    assert "Worklogs of this type that wait are held as TYPE_IGNORED from the next run on" in said
    project.run("worklogs")
    assert project.worklog(meeting).reason_code == "TYPE_IGNORED"
    assert "no item is wanted for it" in str(project.worklog(meeting).reason)
    assert line(project, "Internal meeting")["needs_person"] is False

    # It is to be billed after all, as an item that the administrator names.
    advice = add_item(project, "MEET", "Meetings")
    project.run("worklog-types")  # a type of its own is made for it first
    project.msp_xero("types", "unlink", "MEET")
    project.msp_xero("types", "link", "MEET", "Internal meeting")
    assert line(project, "MEET")["status"] == "renamed"
    project.run("worklogs")
    assert project.worklog(meeting).state == "invoiced"
    (code,) = [
        row["ItemCode"] for worklog_id, row, _ in lines_in_xero(project.sandbox) if worklog_id == meeting
    ]
    assert code == advice["Code"]  # the one line of it in Xero, under the item that the person named


def test_a_default_type_that_cannot_be_billed_ends_the_run_with_one_clear_error(linked: Project) -> None:
    project, sandbox = linked, linked.sandbox
    before = project.bookmarks()
    project.set_mapping("worklogs-to-lines", default_worklog_type="Remot support")
    project.run("worklogs", expect=1)
    told = [error for error in project.errors() if "default_worklog_type" in error]
    assert len(told) == 1
    assert "Setting default_worklog_type: there is no worklog type Remot support. Linked are: " in told[0]
    assert "Remote support" in told[0]
    assert project.worklogs() == []
    assert project.bookmarks() == before
    assert sandbox.writes("xero") == []
    doctor = project.msp_xero("doctor", expect=1)
    assert "default_worklog_type" in doctor
    assert "there is no worklog type Remot support" in doctor

    project.set_mapping("worklogs-to-lines", default_worklog_type="Remote support")
    project.run("worklogs")
    assert project.worklog(sandbox.worklog("type_missing")["id"]).state == "invoiced"
    reconcile(project)


def test_before_the_first_sync_of_types_a_default_type_holds_and_fails_nothing(project: Project) -> None:
    project.set_mapping("worklogs-to-lines", default_worklog_type="Remote support")
    project.run("accounts", "worklogs")
    untyped = project.sandbox.worklog("type_missing")["id"]
    assert project.worklog(untyped).reason_code == "TYPE_NOT_SYNCED"
    assert "not compared with Xero yet" in project.msp_xero("types", "list")
    project.run("worklog-types", "worklogs")
    assert project.worklog(untyped).state == "invoiced"

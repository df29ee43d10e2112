"""Every row that a bill can trip over, each on a parent of its own and under a label.

The labels are listed in ``Story.awkward`` and in the dump of the service desk (kind ``awkward``).
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.story.calendar import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msp_xero_sandbox.story.desk import Desk

Row = dict[str, Any]

_HTML = (
    '<div style="font-family:Arial"><p>Replaced fuser &amp; <b>tested</b>.</p>'
    "<ul><li>Page count 12&nbsp;400</li><li>Toner &lt; 10%</li></ul>"
    "<table><tr><td>Before</td><td>After</td></tr></table>"
    "<script>alert('x')</script><style>p{color:red}</style><!-- internal --><br/>Ngā mihi</div>"
)
_EMOJI = "Server back up 🎉🧯 — user happy 👩🏽‍💻👍"
_MACRONS = "I whakatikahia te pūnaha īmēra mō Ngā Puna; kei te pai ināianei. Kōrero tahi ki a Hēmi Pōtae."
_LONG = ("Followed the vendor's recovery guide step by step, with the client on the phone. " * 62)[:5000]
_WITH_CONTROLS = "Copied from terminal:\tline one\r\nline two\x0bthree\u200b \u202eabc\u202c end"


class AwkwardWriter:
    """Writes the awkward rows on the accounts of the told story."""

    def __init__(self, desk: Desk, accounts: Sequence[Row], types: Mapping[str, str]) -> None:
        self._desk = desk
        self._types = types
        self._by_name = {row["name"]: row for row in accounts}
        self._main = accounts[0]
        self._other = accounts[1]
        self._owner = desk.rows["technicians"][0]["id"]
        self._second_owner = desk.rows["technicians"][1]["id"]
        self._day = 0

    def write(self) -> None:
        """Write them all."""
        self._kinds_of_work()
        self._accounts_hard_to_find()
        self._costs_and_billing()
        self._times()
        self._texts()
        self._parents()
        self._tasks()

    # -- the rows, by what is awkward about them

    def _kinds_of_work(self) -> None:
        for label, type_name in (
            ("type_missing", None),
            ("type_unknown_to_xero", "Internal meeting"),
            ("type_nearly_an_item", "After hours support"),
            ("type_inactive", "Fax repair"),
            ("type_item_without_price", "Price on request"),
            ("type_item_price_zero", "Pātai advice line"),
            ("type_item_without_account", "Legacy labour"),
            ("type_item_account_archived", "Hosting 2019"),
            ("type_item_not_sold", "Cat6 cabling"),
            ("type_item_tracked", "USB-C dock"),
        ):
            self._on_request(label, type_id=type_name and self._types[type_name])

    def _accounts_hard_to_find(self) -> None:
        main = self._main
        no_requester: Row = {"requester_id": None}
        by_site = {"site_id": main["default_site_id"], **no_requester}
        by_requester = {"site_id": None, "requester_id": main["people"][0]}
        nothing = {"site_id": None, **no_requester}
        self._on_request("account_by_site", parent=by_site, account=None)
        self._on_request("account_by_requester", parent=by_requester, account=None)
        self._on_request("account_unresolved", parent=nothing, account=None)
        for module in ("problem", "change"):
            parent = self._desk.add_parent(
                f"{module}s", f"{module.title()} by site", None, self._moment(), **by_site
            )
            self._log(f"{module}_account_by_site", module, parent)
        project = self._desk.add_parent(
            "projects", "Project by requester", None, self._moment(), **by_requester
        )
        task = self._desk.add_task("project", project, "Survey", project["created_time"])
        self._log("project_account_by_requester", "task", task)
        general = self._desk.add_task("general", None, "Clean the van", self._moment())
        self._log("general_task_without_account", "task", general)
        for name, label in (
            ("Harbour Print", "worklog_contact_archived"),
            ("Tahi Plumbing", "worklog_contact_merged"),
            ("Blackwood Forestry", "worklog_account_without_contact"),
            ("Kōwhai Managed IT Limited", "worklog_own_account"),
            ("Hīnau Web Studio", "worklog_contact_new"),
            ("Orlena Greenville Ltd", "worklog_account_nearly"),
        ):
            self._on_request(label, account=self._by_name[name])

    def _costs_and_billing(self) -> None:
        contract = self._desk.add(
            "contracts", name="Gold 20 hours", account_id=self._main["id"], contract_type="Hour Based"
        )
        self._on_request("costs_absent", costs="absent")
        self._on_request("costs_null", costs="null")
        self._on_request("other_cost", other_cost=Decimal("15.00"))
        self._on_request("not_billable", is_billable=False)
        self._on_request("billable_unknown", is_billable=None)
        self._on_request("contract_hours", contract_id=contract["id"], billing_minutes=60, minutes=50)
        self._on_request("custom_fields", udf_fields={"udf_sline_301": "PO 4711", "udf_long_302": None})
        free = self._desk.rows["technicians"][-1]["id"]
        self._on_request("technician_without_rate", owner_id=free)
        self._on_request("logged_by_someone_else", created_by_id=self._second_owner)

    def _times(self) -> None:
        calendar = self._desk.calendar
        month_end = calendar.last_month_end
        first = month_end + timedelta(days=1)
        late = calendar.local(month_end, 23, 15)
        self._on_request("over_midnight_month_end", start=late, minutes=90)
        # 08:30 on the first in New Zealand is still the last day of the month before in UTC.
        early = calendar.local(first, 8, 30)
        if early > calendar.now_ms - 2 * HOUR:
            early = calendar.local(month_end.replace(day=1), 8, 30)
        self._on_request("first_of_month_local", start=early)
        self._on_request("no_start_no_end", start=None)
        self._on_request("zero_minutes", minutes=0)
        self._on_request("one_minute", minutes=1)
        self._on_request("thirds_of_an_hour", minutes=20)
        self._on_request(
            "longer_than_a_day", minutes=1830, start=calendar.local(month_end - timedelta(days=3), 8)
        )
        start = calendar.local(month_end - timedelta(days=5), 16)
        members = {"end_time": start + 3 * HOUR, "include_nonoperational_hours": False}
        self._on_request("shorter_than_its_span", start=start, minutes=60, **members)
        moment = self._moment()
        request = self._desk.add_parent("requests", "Two people at once", self._main, moment)
        for owner in (self._owner, self._second_owner):
            self._log(
                "created_in_the_same_instant", "request", request, created=moment + HOUR, owner_id=owner
            )
        request = self._desk.add_parent("requests", "Same work twice, rightly", self._main, moment)
        for late_by in (0, 1):
            self._log("twins", "request", request, start=moment, created=moment + (late_by + 1) * HOUR)

    def _texts(self) -> None:
        for label, text in (
            ("text_html", _HTML),
            ("text_emoji", _EMOJI),
            ("text_macrons", _MACRONS),
            ("text_long", _LONG),
            ("text_controls", _WITH_CONTROLS),
            ("text_empty", ""),
            ("text_null", None),
        ):
            self._on_request(label, description=text)
        self._on_request(
            "subject_long", subject=("Mail merge fails for the annual letter to all whānau; " * 6)[:250]
        )

    def _parents(self) -> None:
        self._on_request("display_id_differs", parent={"imported": True})
        self._on_request("request_closed", parent={"status": "Closed"})
        self._on_request("request_cancelled", parent={"status": "Cancelled"})
        self._on_request("request_resolved", parent={"status": "Resolved"})
        self._on_request("request_on_hold", parent={"status": "On hold"})
        self._on_request("request_trashed", parent={"is_trashed": True})
        self._on_request("request_archived", parent={"status": "Closed", "is_archived": True})
        row = self._on_request("request_not_bumped")
        row["parent"]["last_updated_time"] = row["parent"]["created_time"]

    def _tasks(self) -> None:
        for module in ("problem", "change"):
            parent = self._desk.add_parent(
                f"{module}s", f"{module.title()} with time", self._other, self._moment()
            )
            self._log(f"on_{module}", module, parent)
            task = self._desk.add_task(module, parent, "Configure and test", parent["created_time"])
            self._log(f"on_{module}_task", "task", task)
        request = self._desk.add_parent("requests", "Request with a task", self._other, self._moment())
        self._log(
            "on_request_task",
            "task",
            self._desk.add_task("request", request, "Order it", request["created_time"]),
        )
        project = self._desk.add_parent("projects", "Office move", self._other, self._moment())
        created = project["created_time"]
        self._log(
            "on_project_task", "task", self._desk.add_task("project", project, "Survey the site", created)
        )
        milestone = self._desk.add("milestones", parent=project, title="Pilot", created_time=created)
        task = self._desk.add_task("milestone", milestone, "Cut over", created)
        self._log("on_milestone_task", "task", task)
        # On project tasks the owner may be a requester (sdp-msp-api §3.2).
        self._log("owner_is_requester", "task", task, owner_id=self._other["people"][0])
        general = self._desk.add_task(
            "general", None, "Quarterly review", self._moment(), account_id=self._other["id"]
        )
        self._log("on_general_task", "task", general)

    # -- how they are written

    def _moment(self) -> int:
        """A different morning for each, some days ago."""
        self._day += 1
        workdays = self._desk.calendar.workdays
        return self._desk.calendar.local(workdays[-3 - self._day % (len(workdays) - 3)], 9, self._day % 60)

    def _on_request(self, label: str, **members: Any) -> Row:
        account = members.pop("account", self._main)
        subject = members.pop("subject", f"Awkward: {label.replace('_', ' ')}")
        start = members.get("start")
        created = self._moment() if start is None else start - HOUR
        request = self._desk.add_parent("requests", subject, account, created, **members.pop("parent", {}))
        return self._log(label, "request", request, **members)

    def _log(self, label: str, kind: str, parent: Row, **members: Any) -> Row:
        values = {
            "minutes": 30,
            "start": parent["created_time"] + 15 * MINUTE,
            "type_id": self._types["Remote support"],
            "owner_id": self._owner,
            "description": f"<div>{label.replace('_', ' ').capitalize()}.</div>",
        }
        return self._desk.label(label, "worklogs", self._desk.add_worklog(kind, parent, **values | members))

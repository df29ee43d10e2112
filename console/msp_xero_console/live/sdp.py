"""The open questions about ServiceDesk Plus MSP (sections: fact sheet sdp-msp-api)."""

from __future__ import annotations

from typing import Final

from msp_xero_console.live import sdp_lists, sdp_parents, sdp_worklogs
from msp_xero_console.live.probe import Probe
from msp_xero_console.live.sdp_ground import SdpGround

_SHEET: Final = "SDP"

SDP_PROBES: Final[tuple[Probe[SdpGround], ...]] = (
    Probe(
        name="sdp-global-worklogs",
        section=f"{_SHEET} 3.1",
        question="Is there a list of all worklogs, and does it name the parents?",
        run=sdp_worklogs.global_list,
    ),
    Probe(
        name="sdp-worklog-row",
        section=f"{_SHEET} 3.2, 3.3",
        question="What does a worklog hold, which dialect is it, and are costs, contract and hours in it?",
        run=sdp_worklogs.row,
    ),
    Probe(
        name="sdp-worklog-legacy",
        section=f"{_SHEET} 3.2",
        question="What does the same worklog hold when the vendor's Accept header is left out?",
        run=sdp_worklogs.legacy_row,
    ),
    Probe(
        name="sdp-worklog-search",
        section=f"{_SHEET} 3.5",
        question="Do lists of worklogs take search criteria on the creation stamp?",
        run=sdp_worklogs.search,
    ),
    Probe(
        name="sdp-worklog-metainfo",
        section=f"{_SHEET} 3.1, 3.3",
        question="Which fields of a worklog does its metadata name, and which are mandatory?",
        run=sdp_worklogs.metainfo,
    ),
    Probe(
        name="sdp-worklog-ids",
        section=f"{_SHEET} 11",
        question="Are the ids of worklogs unique over all modules?",
        run=sdp_worklogs.ids,
    ),
    Probe(
        name="sdp-task-worklogs",
        section=f"{_SHEET} 3.1",
        question="Which tasks serve tasks/{id}/worklogs: general ones, or those of other modules too?",
        run=sdp_worklogs.of_tasks,
    ),
    Probe(
        name="sdp-accounts",
        section=f"{_SHEET} 5.1, 5.2",
        question="What does a list of accounts show by default, and what when columns are asked for?",
        run=sdp_lists.accounts,
    ),
    Probe(
        name="sdp-account-fields",
        section=f"{_SHEET} 5.1",
        question="How are additional fields of accounts called, and what is mandatory on a new account?",
        run=sdp_lists.account_fields,
    ),
    Probe(
        name="sdp-worklog-types",
        section=f"{_SHEET} 6",
        question="Is there a list of worklog types, where, and are those that are switched off in it?",
        run=sdp_lists.worklog_types,
    ),
    Probe(
        name="sdp-rights",
        section=f"{_SHEET} 4, 6",
        question="Does the installation tell what the key may add and edit?",
        run=sdp_lists.rights,
        steps="If it does not: add and rename a worklog type with the key on a test installation.",
    ),
    Probe(
        name="sdp-account-of-parents",
        section=f"{_SHEET} 3.6",
        question="Which modules tell the account, and do site and requester tell theirs?",
        run=sdp_parents.accounts_of,
    ),
    Probe(
        name="sdp-last-updated",
        section=f"{_SHEET} 4",
        question="In which modules does last_updated_time exist, sort and filter?",
        run=sdp_parents.last_updated,
    ),
    Probe(
        name="sdp-tasks-list",
        section=f"{_SHEET} 4",
        question="Does the global list of tasks name their parents, and is it complete?",
        run=sdp_parents.tasks_list,
    ),
    Probe(
        name="sdp-project-tasks",
        section=f"{_SHEET} 3.1",
        question="Has projects/{id}/tasks the tasks of milestones too, and is there a time sheet?",
        run=sdp_parents.project_tasks,
    ),
    Probe(
        name="sdp-releases",
        section=f"{_SHEET} 3.1",
        question="Are there releases, which could hold worklogs?",
        run=sdp_parents.releases,
    ),
    Probe(
        name="sdp-row-count",
        section=f"{_SHEET} 2",
        question="How many rows come when none, 100 or 101 are asked for, and does page work?",
        run=sdp_lists.row_counts,
    ),
    Probe(
        name="sdp-columns",
        section=f"{_SHEET} 2",
        question="What does an unknown column get, and are columns read beside list_info too?",
        run=sdp_lists.columns,
    ),
    Probe(
        name="sdp-refused-key",
        section=f"{_SHEET} 1.1, 7",
        question="What do a wrong key and no key get, and is the header TECHNICIAN_KEY taken?",
        run=sdp_lists.keys,
        steps="A wrong key is not sent by the command: whether an installation counts wrong keys, or locks a "
        "technician or an address out for them, is not documented. On a test installation set a wrong "
        "auth_token and run `msp-xero doctor` once: note the HTTP status and the code.",
    ),
    Probe(
        name="sdp-refusals",
        section=f"{_SHEET} 7",
        question="Where does the code of a failure stand, and which HTTP status comes with it?",
        run=sdp_lists.refusals,
    ),
    Probe(
        name="sdp-portal",
        section=f"{_SHEET} 1.1",
        question="Is PORTALID needed, and is there a context path?",
        run=sdp_lists.portal,
    ),
    Probe(
        name="sdp-throttle",
        section=f"{_SHEET} 7",
        question="Which headers tell about limits?",
        run=sdp_lists.limits,
        steps="The numbers show only under load: note the calls a minute and the headers of the first 429.",
    ),
    Probe(
        name="sdp-bump-parent",
        section=f"{_SHEET} 4",
        question="Does adding or editing a worklog move its parent's last_updated_time?",
        steps="On a test request, problem, change and project task: note last_updated_time, add a worklog in "
        "the product, compare; edit it, compare again.",
    ),
    Probe(
        name="sdp-archived",
        section=f"{_SHEET} 4",
        question="Can the worklogs of an archived request still be read?",
        steps="Archive a test request with a worklog; then read requests/<its id> and its worklogs.",
    ),
    Probe(
        name="sdp-new-account",
        section=f"{_SHEET} 5.1",
        question="What does a new account demand, which status comes back, is case part of a name?",
        steps="On a test installation run the accounts job for one contact: note the fields that a refusal "
        "names (login URL?) and the status of a success; then add the name again in other case.",
    ),
    Probe(
        name="sdp-new-worklog",
        section=f"{_SHEET} 3.2",
        question="May a worklog have no minutes?",
        steps="Try to add a worklog of 0 minutes in the product. Nothing depends on it: it bills zero.",
    ),
    Probe(
        name="sdp-cloud",
        section=f"{_SHEET} 1.2, 5.2",
        question="Hosts, scope names, life and rate of access tokens of SDP MSP Cloud?",
        steps="Only for the cloud edition: note the host of the portal, the scopes of the Zoho API console "
        "that were needed, and expires_in of a token. All of these are settings or read from the answer.",
    ),
)

__all__ = ["SDP_PROBES", "SdpGround"]

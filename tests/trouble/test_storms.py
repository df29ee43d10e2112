"""Storms: several kinds of trouble at once, drawn from a seed; after each all is in its place again."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.reconciliation import delivered, reconcile
from tests.systems import wait_until
from tests.trouble.works import INVOICES, Run, Works

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS: Final = (1, 5, 7, 11, 15, 18)
ROUNDS: Final = 2

XERO_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "reset_before"},
    {"kind": "reset_after_commit"},
    {"kind": "timeout_after_commit", "seconds": 0.3},
    {"kind": "status", "status": 500, "commit": True},
    {"kind": "status", "status": 503, "body": "The Organisation is offline", "commit": False},
    {"kind": "status", "status": 504, "body": "", "commit": True},
    {"kind": "truncate", "keep": 0.6},
    {"kind": "html", "commit": True},
    {"kind": "slow", "seconds": 0.5},
    {"kind": "slow", "seconds": 0.5, "commit": "after"},
    {"kind": "rate_minute", "retry_after": 1},
    {"kind": "rate_concurrent"},
    {"kind": "token_expired"},
    {"kind": "hide_fresh", "seconds": 60},
    {"kind": "duplicate_delivery"},
)
SDP_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "reset_before"},
    {"kind": "status", "status": 503, "body": "maintenance"},
    {"kind": "truncate", "keep": 0.5},
    {"kind": "html"},
    {"kind": "slow", "seconds": 0.5},
    {"kind": "rate_minute", "retry_after": 1},
    {"kind": "revoked"},
)
STRIKES: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Storm:
    """One storm over one installation."""

    def __init__(self, works: Works, seed: int) -> None:
        self.works = works
        self.sandbox = works.sandbox
        self.dice = random.Random(f"storm/{seed}")
        self.withdrawn: set[str] = set()

    def blow(self) -> None:
        self.works.settings["batch_size"] = self.dice.choice((1, 2, 50))
        for _ in range(ROUNDS):
            self._break_something()
            self._work()
            self._run()
            self.works.is_billed_once()
            self._live()

    def clear_up(self) -> None:
        """Repair everything and run until nothing is left to do."""
        self.sandbox.mend()
        self.works.run(None)
        for number in self.withdrawn:
            release = self.works.start("msp-xero", "invoices", "release", number)
            assert release.ended() == 0, release.errors()
        self.works.run()

    # What goes wrong

    def _break_something(self) -> None:
        for _ in range(self.dice.choice((1, 2, 3))):
            if self.dice.random() < 0.25:
                nth = self.dice.randint(1, 30)
                self.sandbox.break_("sdp", method="", path="", nth=nth, **self.dice.choice(SDP_FAULTS))
            elif self.dice.random() < 0.6:
                nth = self.dice.choice((1, 1, 2))
                self.sandbox.break_(
                    "xero", method="PUT", path=INVOICES, nth=nth, **self.dice.choice(XERO_FAULTS)
                )
            else:
                nth = self.dice.randint(1, 10)
                self.sandbox.break_("xero", method="", path="", nth=nth, **self.dice.choice(XERO_FAULTS))

    def _run(self) -> None:
        if self.dice.random() < 0.5:
            self._strike(self.works.start_run())
        else:
            self.works.run(None)
        self.sandbox.mend()

    def _strike(self, run: Run) -> None:
        """Strike a process, or all three, once some calls were made; too late does no harm either."""
        system = self.dice.choice(("sdp", "xero", "xero"))
        calls = self.sandbox.count(system) + self.dice.randint(1, 40 if system == "sdp" else 10)
        victim = self.dice.choice(("tap", "mapper", "target", "target", "all"))
        strike = self.dice.choice(STRIKES)
        wait_until(lambda: self.sandbox.count(system) >= calls or not run.running, "the moment to strike")
        for name, process in run.processes.items():
            if victim in {name, "all"}:
                process.strike(strike)
        self.works.finish(run)
        wait_until(self._all_arrived, "the calls under way")

    def _all_arrived(self) -> bool:
        return all(call["status"] for call in self.sandbox.calls("xero", "PUT") if call["fault"] == "slow")

    # What people do

    def _work(self) -> None:
        """Time is logged, like some that is there already."""
        near = [row for row in self._on_requests() if row["type_id"]]
        for _ in range(self.dice.randint(1, 3)):
            like = self.dice.choice(near)
            self.sandbox.change(
                "sdp",
                "worklog",
                "add",
                parent=f"requests/{like['parent_id']}",
                type_id=like["type_id"],
                minutes=5 * self.dice.randint(1, 30),
            )

    def _on_requests(self) -> list[dict[str, Any]]:
        return [row for row in delivered(self.sandbox).values() if row["parent_kind"] == "request"]

    def _live(self) -> None:
        for _ in range(self.dice.randint(0, 2)):
            act: Callable[[], object] = self.dice.choice(
                (self._edit_worklog, self._approve, self._annotate, self._withdraw, self._exclude)
            )
            act()

    def _edit_worklog(self) -> None:
        row = self.dice.choice(self._on_requests())
        self.sandbox.change("sdp", "worklog", "edit", row["id"], minutes=5 * self.dice.randint(1, 30))

    def _an_invoice(self) -> str | None:
        ours = {number for number, row in self.sandbox.our_invoices().items() if row["Status"] == "DRAFT"}
        return self.dice.choice(sorted(ours)) if ours else None

    def _approve(self) -> None:
        if number := self._an_invoice():
            self.sandbox.change("xero", "invoice", "edit", number, Status="AUTHORISED")

    def _annotate(self) -> None:
        if number := self._an_invoice():
            self.sandbox.change("xero", "invoice", "edit", number, DueDate="2027-01-31")

    def _withdraw(self) -> None:
        """Somebody deletes a draft that the ledger knows of; it is freed when the storm is over."""
        known = {row.number for row in self.works.invoices() if row.xero_id}
        if (number := self._an_invoice()) in known:
            assert number is not None
            self.sandbox.change("xero", "invoice", "delete", number)
            self.withdrawn.add(number)

    def _exclude(self) -> None:
        waiting = [row.worklog_id for row in self.works.worklogs("held")]
        if waiting:
            worklog = self.dice.choice(waiting)
            asked = self.works.start("msp-xero", "worklogs", "exclude", worklog, "--reason", "goodwill")
            assert asked.ended() == 0, asked.errors()


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_after_a_storm_all_is_in_its_place(works: Works, seed: int) -> None:
    storm = Storm(works, seed)
    storm.blow()
    storm.clear_up()
    assert "open" not in works.states()
    reconcile(works)
    works.stays_at_rest()

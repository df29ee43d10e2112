"""The whole story of a seed: its month, and what follows some months."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from torture.author import Author, Mood
from torture.script import XERO_FAULTS

if TYPE_CHECKING:
    from torture.script import Script, Step


def script_of(seed: int) -> Script:
    """Return the story of a seed, always the same."""
    script = Author(seed).write()
    for follows in (Recovery, Removal, Correction, Merger):
        script.steps += follows(seed).steps()
    return script


class Recovery(Author):
    """Writes what follows some months: the ledger is lost and rebuilt, amid people who move and take back."""

    about = "recovery"

    def steps(self) -> list[Step]:
        """Return the steps after the month; none after most."""
        if not self.chance(40):
            return []
        steps = [self._run(), *self._bustle(3), *self._rebuilt(), *self._bustle(4)]
        if self.chance(25):
            steps += [*self._rebuilt(), *self._bustle(4)]
        return [*steps, self._run()]

    def _bustle(self, most: int) -> list[Step]:
        return [self._bit() for _ in range(self.dice.randint(0, most))]

    def _bit(self) -> Step:
        match self.dice.randrange(8):
            case 0:
                return self._work()
            case 1:
                return {"do": "pass", "hours": self.dice.choice((0, 1, 26))}
            case 2 | 3:
                return self._run()
        action = self.dice.choice(
            (
                "copy", "void_or_delete", "void_or_delete", "void_copy", "renumber", "unmark", "approve",
                "move_worklog", "move_ticket", "edit_worklog", "release", "release", "exclude",
            )
        )  # fmt: skip
        return {"do": action, "pick": self.pick(), "value": self.pick()}

    def _rebuilt(self) -> list[Step]:
        """The ledger is lost, and rebuilt by somebody who follows docs/operations.md, more or less."""
        rebuild: Step = {"do": "rebuild", "only_prefix": self.chance(35), "deliver_first": self.chance(25)}
        if self.chance(30):
            rebuild["faults"] = [
                {"system": "xero", **self.dice.choice(XERO_FAULTS), "nth": self.dice.randint(1, 5)}
            ]
        if self.chance(30):
            rebuild["strikes"] = [self._strike()]
        deliver: Step = {"do": "run", "deliver_only": True, "full_refresh": True}
        return [rebuild, deliver] if self.chance(40) else [rebuild]


class Removal(Recovery):
    """Writes what follows some months: the connection bills another organisation, and maybe comes back."""

    about = "removal"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        # A second environment knows nothing of it, and is refused.
        self.mood = Mood(elsewhere=0, elsewhere_meanwhile=0)

    @override
    def steps(self) -> list[Step]:
        """Return the steps after the month; none after most."""
        if not self.chance(25):
            return []
        steps: list[Step] = [self._run(), *self._bustle(2)]
        if self.chance(30):
            steps.append({"do": "backup"})
        steps += [self._left(), *self._bustle(4)]
        if self.chance(40):
            steps += [*self._gone_wrong(), *self._bustle(3)]
        if self.chance(30):
            steps += [self._left(), *self._bustle(3)]
        return [*steps, self._run()]

    def _left(self) -> Step:
        step: Step = {"do": "start_over"}
        if self.chance(30):
            step["strikes"] = [self._strike()]
        if self.chance(20):
            fault = self.dice.choice(XERO_FAULTS)
            step["faults"] = [{"system": "xero", **fault, "nth": 1}]
        return step

    def _gone_wrong(self) -> list[Step]:
        what = self.dice.choice(("ledger", "both", "bookmark"))
        steps: tuple[list[Step], ...] = (
            self._rebuilt(),
            [{"do": "restore", "what": what}],
            [{"do": "lose", "what": what}],
        )
        return self.dice.choice(steps)


class Correction(Recovery):
    """Writes what follows some months: a push is stopped because something was wrong, and that is corrected.

    Beside it another job delivers to the same ledger, and lists come in short pages.
    """

    about = "correction"

    @override
    def steps(self) -> list[Step]:
        """Return the steps after the month; none after most."""
        if not self.chance(25):
            return []
        steps: list[Step] = [{"do": "short_pages", "rows": 2}] if self.chance(30) else []
        steps += [self._work() for _ in range(self.dice.randint(1, 3))]
        for _ in range(self.dice.choice((1, 1, 2))):
            steps += self._stopped()
            steps += [self._corrected() for _ in range(self.dice.randint(1, 3))]
            if self.chance(30):
                steps += self._delivered_late()
        return [*steps, self._run(), *self._bustle(2)]

    def _stopped(self) -> list[Step]:
        """A push ends before all of it is sent, most often just after it was planned: its ninth commit."""
        strike: Step = {
            "program": "target",
            "border": "commit",
            "nth": self.dice.randint(8, 14),
            "moment": self.dice.choice(("before", "after")),
            "act": "kill",
        }
        stopped: Step = {"do": "push", "strikes": [strike]}
        if self.chance(25):
            fault = self.dice.choice(XERO_FAULTS)
            stopped["faults"] = [{"system": "xero", **fault, "match": {"method": "PUT"}}]
        backup: list[Step] = [{"do": "backup"}] if self.chance(20) else []
        return [*backup, {"do": "run", "deliver_only": True}, stopped]

    def _corrected(self) -> Step:
        pick = self.pick()
        match self.dice.randrange(10):
            case 0 | 1:
                return self._other_setting()
            case 2 | 3:
                return self._excluded()
            case 4:
                return {"do": "relink", "pick": pick, "value": self.pick()}
            case 5:
                return {"do": "pass", "hours": self.dice.choice((2, 30, 200))}
            case 6:
                return {"do": "restore", "what": self.dice.choice(("ledger", "both"))}
        action = self.dice.choice(
            (
                "edit_worklog", "edit_worklog", "move_worklog", "move_ticket", "delete_worklog", "price_item",
                "archive_contact", "merge_contact", "take_number", "void_or_delete", "release",
            )
        )  # fmt: skip
        return {"do": action, "pick": pick, "value": self.pick()}

    def _other_setting(self) -> Step:
        if self.chance(20):
            rates = {"rate_source": self.dice.choice(("worklog_charge", "item_price"))}
            return {"do": "set", "of": "mapper", "values": rates}
        settings: tuple[Step, ...] = (
            {"invoice_status": self.dice.choice(("DRAFT", "SUBMITTED", "AUTHORISED"))},
            {"line_amount_types": self.dice.choice(("Exclusive", "Inclusive", "NoTax"))},
            {"number_prefix": self.dice.choice(("SDP-", "MSP-"))},
            {"max_lines_per_invoice": self.dice.choice((1, 2, 500))},
        )
        return {"do": "set", "of": "target", "values": self.dice.choice(settings)}

    def _excluded(self) -> Step:
        """A person takes out a worklog that is planned; their own call may fail or die as well."""
        step: Step = {"do": "exclude_planned", "pick": self.pick()}
        if self.chance(25):
            fault = self.dice.choice(XERO_FAULTS)
            step["faults"] = [{"system": "xero", **fault, "nth": self.dice.randint(1, 4)}]
        if self.chance(15):
            step["strikes"] = [self._strike()]
        return step

    def _delivered_late(self) -> list[Step]:
        """Another job reads now, and what it read comes to the ledger after what others read later."""
        between = [self._life() if self.chance(60) else self._bit() for _ in range(self.dice.randint(1, 3))]
        late: Step = {"do": "deliver_late"}
        if self.chance(25):
            late["strikes"] = [self._strike()]
        return [{"do": "read_early"}, *between, late]


class Merger(Recovery):
    """Writes what follows some months: a person puts drafts of ours together, and releases what is gone."""

    about = "merger"

    @override
    def steps(self) -> list[Step]:
        """Return the steps after the month; none after most."""
        if not self.chance(25):
            return []
        steps: list[Step] = []
        for _ in range(self.dice.choice((2, 2, 3))):
            steps += [self._work(), {"do": "pass", "hours": self.dice.choice((1, 26))}, self._run()]
        if self.chance(25):
            steps += [{"do": "backup"}, self._work(), self._run()]
        for _ in range(self.dice.choice((1, 1, 2))):
            steps.append({"do": "put_together", "pick": self.pick(), "value": self.pick()})
            steps += self._bustle(2)
        if any(step["do"] == "backup" for step in steps) and self.chance(60):
            steps.append({"do": "restore", "what": self.dice.choice(("ledger", "both"))})
        steps += [
            {"do": "run"},
            {"do": "release", "pick": self.pick()},
            {"do": "release", "pick": self.pick()},
        ]
        return [*steps, *self._bustle(2), self._run()]

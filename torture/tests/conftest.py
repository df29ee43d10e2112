"""One workshop for the tests of a file."""

from __future__ import annotations

import pytest

from torture.runner import workshop as open_workshop
from torture.script import Script
from torture.simulate import Month

WORK = [
    {"do": "book", "account": n % 3, "kind": n % 3, "minutes": 15 + n, "on": "request", "billable": True}
    for n in range(4)
]


@pytest.fixture(scope="module")  # not longer: everything else in this process would meet the borders
def workshop():
    with open_workshop() as made:
        yield made


@pytest.fixture
def month(workshop):
    """A function that makes a month of steps, after four worklogs were booked."""

    def make(*steps, **settings) -> Month:
        return Month(workshop, Script(1, settings, {}, [*WORK, *steps]))

    return make

"""Mutants are changes of real text: one that fits nowhere any more hunts nothing."""

from __future__ import annotations

import pytest

from torture.figures import ROOT
from torture.mutants import MUTANTS, room_tests


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_breaks_one_place_of_the_program(mutant) -> None:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    compile(text.replace(mutant.old, mutant.new), mutant.path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_has_tests_beside_it(mutant) -> None:
    assert list((ROOT / room_tests(mutant.path)).glob("test_*.py"))

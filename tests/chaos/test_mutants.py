"""Mutants stay possible: what each of them changes is in the code, and what it is shown by is on the lists."""

from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS, Edit, Mutant, Stale, copy_checkout
from tests.chaos.points import POINTS
from tests.journeys.running import PROJECT

EDITED = [mutant for mutant in MUTANTS if isinstance(mutant.change, Edit)]


@pytest.mark.parametrize("mutant", EDITED, ids=lambda mutant: mutant.name)
def test_the_code_has_what_a_mutant_changes(mutant: Mutant, tmp_path: Path) -> None:
    assert isinstance(mutant.change, Edit)
    checkout = copy_checkout(tmp_path)

    mutant.change.apply(checkout)

    changed = (checkout / mutant.change.file).read_text()
    assert changed != (PROJECT / mutant.change.file).read_text()
    compile(changed, mutant.change.file, "exec")


def test_code_that_is_not_what_a_mutant_was_written_for_is_said(tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text("publish()\n")

    with pytest.raises(Stale, match="'mark' 0 times, not once"):
        Edit("relay.py", "mark", "publish").apply(tmp_path)


def test_every_mutant_is_shown_by_crashes_that_a_flow_comes_by() -> None:
    assert {point for mutant in MUTANTS for point in mutant.points} <= POINTS.keys()

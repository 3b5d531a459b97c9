"""One command that fits what a search found."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from tests.support.frames import frame_of, record, search_frame
from tests.support.verdicts import background
from tuning.findings.context import Asked, Background, Noise
from tuning.findings.next_step import next_step
from tuning.findings.paired import Bound
from tuning.findings.summary import summary
from tuning.findings.verdict import Against, RivalVerdict
from tuning.trial.recipe import SMALLER, Recipe
from tuning.trial.trial import TrialRecord

MANY = Asked("runs/my run", "byte_lm", "static_suffix", 64)


def beside_control(*others: TrialRecord) -> pd.DataFrame:
    """The own control takes 5 s to 2.0 and 10 s to 1.8."""
    full = {"policy": "full_update", "origin": "control", "steps": 100}
    runs = [record(0, 10, 1.8, horizon=1.0, **full), record(1, 5, 2.0, horizon=0.5, **full)]
    return frame_of([*runs, *others])


def command(frame: pd.DataFrame, target: float | None, known: Background) -> str:
    """The one that fits."""
    found = next_step(summary(frame, target, known))
    assert found is not None
    return found.command.removeprefix("python -m tuning.")


def known(**changes: object) -> Background:
    """A search of many trials, with changes to what was asked."""
    return Background(asked=dataclasses.replace(MANY, **changes))  # type: ignore[arg-type]


def tuned(number: int, seconds: float, loss: float) -> TrialRecord:
    """A run that turns the own optimizer's numbers alone."""
    return record(number, seconds, loss, policy="full_update", knobs={"rate": 1.5})


def test_a_win_is_to_be_confirmed() -> None:
    """By the command that the run knows."""
    won = beside_control(record(3, 7, 1.8))
    assert command(won, 1.9, known()) == "confirm DIR"


def test_a_win_short_of_the_target_is_confirmed_at_a_loss_that_was_reached() -> None:
    """A confirmation refuses a target that no trial reached."""
    won = beside_control(record(3, 7, 1.75))
    assert command(won, 1.5, known()) == "confirm DIR --target 1.75"


def test_what_is_confirmed_is_to_be_taken_away() -> None:
    """The winner's recipe; a better one that nobody confirmed is to be confirmed first."""
    assert command(search_frame(), None, background({37: 1.08})) == (
        "export DIR --trial 37 -o recipe.toml"
    )
    assert command(search_frame(), None, background({28: 1.0})).startswith("confirm DIR")


@pytest.mark.parametrize(
    ("gain", "bound", "rival_wins", "taken"),
    [
        (0.98, "at most", True, 9),
        (1.0, "", True, 9),
        (1.02, "at most", True, 37),
        (0.98, "at least", True, 37),
        (0.98, "", False, 37),
    ],
)
def test_where_a_smaller_model_wins_it_is_to_be_taken(
    gain: float, bound: Bound, rival_wins: bool, taken: int
) -> None:
    """If the winner gains nothing over it, for sure, and it wins over the own recipe."""

    def against(gain: float, bound: Bound, wins: bool) -> Against:
        return Against(5, gain, bound, (None, None), None, (None, None), 0.5, 0.5, wins, "")

    seen = background({37: 1.08})
    assert seen.confirmed is not None
    (winner,) = seen.confirmed.candidates
    rival = RivalVerdict(9, Recipe("full_update", 1.0, {}), (), against(2.0, "", rival_wins))
    verdict = dataclasses.replace(
        seen.confirmed,
        candidates=(dataclasses.replace(winner, over={SMALLER: against(gain, bound, False)}),),
        rivals={SMALLER: rival},
    )
    told = command(search_frame(), None, dataclasses.replace(seen, confirmed=verdict))
    assert told == f"export DIR --trial {taken} -o recipe.toml"
    alone = dataclasses.replace(verdict, winner=None)
    told = command(search_frame(), None, dataclasses.replace(seen, confirmed=alone))
    assert (told == "export DIR --trial 9 -o recipe.toml") == rival_wins


def test_a_gain_that_few_seeds_saw_is_to_be_confirmed_over_more() -> None:
    """Two of the five are no verdict; where they saw no gain, nor where five did not tell, it is
    not asked for again. Where no loss strays from seed to seed seven can be sure, and five not.
    """
    seen = background({37: 1.06})
    assert seen.confirmed is not None

    def over(seeds: int, gain: float, p: float = 0.02) -> Background:
        assert seen.confirmed is not None
        [schedule] = seen.confirmed.candidates
        verdict = dataclasses.replace(
            seen.confirmed,
            winner=None,
            seeds=seen.confirmed.seeds[:seeds],
            candidates=(dataclasses.replace(schedule, gain=gain, p=p),),
        )
        return dataclasses.replace(seen, confirmed=verdict)

    assert command(search_frame(), None, over(2, 1.06)) == "confirm DIR --top 1 --seeds 5"
    for signs in (over(2, 1.06, p=0.5**2), over(5, 1.06, p=0.5**5)):
        assert command(search_frame(), None, signs) == "confirm DIR --top 1 --seeds 7"
    for others in (over(2, 0.97), over(5, 1.06)):
        assert not command(search_frame(), None, others).startswith("confirm")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trials": 8}, "search --resume 'runs/my run' --trials 32"),
        ({"trials": 20}, "search --resume 'runs/my run' --trials 40"),
        ({}, "search --workload byte_lm --space recipe"),
        ({"space": "recipe"}, "export 'runs/my run' --trial best -o recipe.toml"),
    ],
    ids=["few trials", "not many", "another space", "train plainly"],
)
def test_where_nothing_wins(changes: dict[str, object], expected: str) -> None:
    """Go on, look elsewhere, or train plainly."""
    assert command(beside_control(), 1.9, known(**changes)) == expected


def test_training_plainly_says_for_how_long() -> None:
    """The control that reaches the target."""
    found = next_step(summary(beside_control(), 2.0, known(space="recipe")))
    assert found is not None
    assert found.why == "Train plainly: your own recipe at horizon 0.5, 100 steps."


def test_a_target_that_nothing_reached_is_to_be_moved() -> None:
    """To a loss that a trial reached, so that the command works."""
    words = command(beside_control(), 1.5, known()).split()
    assert words[-2] == "--target"
    assert float(words[-1]) >= 1.8


@pytest.mark.parametrize("shift", [0.0, -50.0])
def test_where_the_own_recipe_still_falls_longer_runs_are_searched(shift: float) -> None:
    """By more than another seed changes it, from two thirds of its longest run to the end."""
    frame = beside_control()
    frame["val_loss"] += shift
    for deviation, falls in ((0.01, True), (0.2, False)):
        noise = Noise(deviation, 5)
        far = dataclasses.replace(known(space="recipe"), noise=noise)
        told = command(frame, 1.5 + shift, far)
        if falls:
            aim = f"--longer 2 --target {1.5 + shift}"
            assert told == f"search --workload byte_lm --space recipe {aim}"
            assert command(frame, 1.9 + shift, far).endswith("--space recipe --longer 2")
        else:
            assert told.startswith("pareto ")
            assert command(frame, 1.9 + shift, far).startswith("export ")


def test_longer_is_reckoned_from_what_was_searched() -> None:
    """Twice as long again."""
    far = dataclasses.replace(known(space="recipe", longer=2.0), noise=Noise(0.01, 5))
    assert command(beside_control(), 1.9, far).endswith("--longer 4")


def test_where_tuning_wins_tune_first() -> None:
    """Unless that is what was searched: then it is to be confirmed."""
    frame = beside_control(tuned(3, 6, 1.8))
    assert command(frame, 1.9, known()) == "search --workload byte_lm --space tune"
    assert command(frame, 1.9, known(space="tune")) == "confirm DIR"


def test_of_nothing_there_is_nothing_to_do() -> None:
    """No trial has finished."""
    assert next_step(summary(search_frame().iloc[:0])) is None

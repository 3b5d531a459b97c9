"""The own control goes beyond the baseline's horizon where, and only where, that prices a loss."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tuning.study.baselines import baseline_specs
from tuning.study.longer import LONGER, longer_control, next_longer
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialSpec

SPACE = find_space("tune")
BASELINES = baseline_specs("w", 3)
LOSSES = st.dictionaries(st.sampled_from([0.5, 1.0, *LONGER]), st.floats(1.0, 3.0))


def ended(spec: TrialSpec, loss: float) -> Outcome:
    """The trial, finished."""
    return Outcome(spec.number, spec.origin, "finished", spec.recipe, 10.0, loss, seed=spec.seed)


def searched(best: float, trials: int = 14) -> list[TrialSpec]:
    """A search in which the own control falls with its horizon, and trial 9 has the loss ``best``
    where all others have 9.
    """
    study = Study(
        SPACE,
        OptunaSampler(SPACE, "random", 3, "pareto", first=len(BASELINES)),
        Asked(trials, "w", 3, None, baselines=BASELINES, longer=True),
    )
    specs = []
    while (spec := study.ask()) is not None:
        own = 3.0 - spec.recipe.horizon
        study.tell(ended(spec, own if spec.recipe.is_control else best if spec.number == 9 else 9))
        specs.append(spec)
    return specs


def test_nothing_that_beats_the_baseline_costs_no_longer_run() -> None:
    """Trial 9 ends where the baseline does."""
    assert max(spec.recipe.horizon for spec in searched(2.0)) == 1.0


def test_a_better_loss_is_priced_at_once_and_as_far_as_it_takes() -> None:
    """1.99 is below the baseline's 2.0 and above 1.5 of the longer run; 1.2 is below that too."""
    for best, longer in ((1.99, [1.5]), (1.2, [1.5, 2.25]), (0.1, [1.5, 2.25])):
        runs = [spec for spec in searched(best) if spec.recipe.horizon > 1.0]
        assert [spec.recipe for spec in runs] == [Recipe("full_update", h) for h in longer]
        assert [spec.number for spec in runs] == list(range(10, 10 + len(longer)))
        assert {(spec.origin, spec.seed, spec.workload) for spec in runs} == {("control", 3, "w")}


@given(LOSSES)
def test_it_goes_on_only_while_longer_is_better(losses: dict[float, float]) -> None:
    """Property: the next horizon is beyond all there are, and the longest is the best of them,
    unless none is longer than the baseline.
    """
    found = next_longer(losses)
    if found is not None:
        assert found > max(losses)
        assert max(losses) <= 1.0 or losses[max(losses)] == min(losses.values())
    elif losses and max(losses) < LONGER[-1]:
        assert max(losses) > 1.0
        assert losses[max(losses)] > min(losses.values())


def test_a_run_that_failed_or_is_no_number_prices_nothing() -> None:
    """Neither as the control nor as the trial that would be priced."""
    own = ended(BASELINES[0], 2.0)
    better = ended(dataclasses.replace(BASELINES[5], number=9), 1.0)
    assert longer_control([own, better], "w", 3) is not None
    assert longer_control([better], "w", 3) is None
    assert longer_control([own, dataclasses.replace(better, state="failed")], "w", 3) is None
    assert longer_control([own, dataclasses.replace(better, val_loss=float("nan"))], "w", 3) is None

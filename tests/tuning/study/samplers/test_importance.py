"""Which knobs decide whether a trial is among the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from policies.base import Scalar
from search_spaces.registry import find_space
from tuning.study.samplers.draws import uniform
from tuning.study.samplers.importance import FEWEST, importances
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe

SPACE = find_space("recipe")
Loss = Callable[[Mapping[str, Scalar]], float]


def searched(count: int, loss: Loss) -> list[Outcome]:
    """Trials drawn uniformly, of ten seconds each."""
    found = []
    for number in range(count):
        params = uniform(SPACE, 0, number)
        policy, horizon, knobs = SPACE.split(params)
        recipe = Recipe(policy, horizon, knobs)
        found.append(Outcome(number, "sampled", "finished", recipe, 10.0, loss(params)))
    return found


@pytest.mark.parametrize(
    ("knob", "objective"),
    [
        ("horizon", "pareto"),
        ("horizon", "time-to-quality"),
        ("optimizer", "time-to-quality"),
        ("use_batch", "time-to-quality"),
    ],
)
def test_what_decides_the_loss_comes_first(knob: str, objective: str) -> None:
    """Whether it is a range, a choice or a gate, among more than thirty others."""
    last = {"optimizer": "muon", "use_batch": True}
    found = importances(
        SPACE,
        searched(
            120,
            lambda params: float(params[knob] == last[knob] if knob in last else params[knob]),
        ),
        objective,
    )
    assert next(iter(found)) == knob
    assert sum(found.values()) == pytest.approx(1.0)


def test_a_knob_that_applies_at_some_points_only_has_its_share() -> None:
    """The batch's own knob decides among those that change the batch."""
    found = importances(
        SPACE, searched(200, lambda params: float(params.get("batch_start", 1.0))), "pareto"
    )
    assert found["batch_start"] > 5 * found["weight_decay_factor"]


def test_few_trials_say_nothing() -> None:
    """Nor do trials that are all alike."""
    loss: Loss = lambda params: float(params["horizon"])  # noqa: E731 - the type is the point
    assert importances(SPACE, searched(FEWEST - 1, loss), "pareto") == {}
    assert importances(SPACE, searched(FEWEST, loss), "pareto") != {}

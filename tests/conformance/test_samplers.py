"""What every sampler must keep, on every search space it is offered for."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from search_spaces.base import SearchSpace, as_policy
from search_spaces.registry import all_spaces, find_space
from tests.support.outcomes import history, outcome_for, sampled
from tuning.config.config import OBJECTIVES, SAMPLERS
from tuning.study.samplers.sampler import ENOUGH, START, OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome

LATER = START + 4
"""A number at which every sampler has left its start, when there is a history."""
SLOW = "gp"
EVERY_SPACE = "tpe"
"""What a search samples with by default is tried on each; the others differ in how they choose, not
in what a space is to them.
"""
KINDS = ("static_suffix", "recipe")
"""A space without conditions and one full of them."""
CASES = [
    (sampler, space)
    for sampler in SAMPLERS
    for space in (all_spaces() if sampler == EVERY_SPACE else KINDS)
    if sampler != SLOW
    or not find_space(space).conditional  # conditions are tried once, below: seconds an ask
]


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[str, SearchSpace]:
    return request.param[0], find_space(request.param[1])


def fresh(case: tuple[str, SearchSpace], seed: int = 0, objective: str = "pareto") -> OptunaSampler:
    return OptunaSampler(case[1], case[0], seed, objective, first=0)


class TestSampler:
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_proposals_are_points_of_the_space(
        self, case: tuple[str, SearchSpace], objective: str
    ) -> None:
        """With trials known, in flight and failed, the policy accepts the proposal and the space
        contains it.
        """
        space = case[1]
        known = history(space, LATER, unfinished=[1])
        params = fresh(case, 0, objective).propose(LATER + 1, known, [sampled(space, LATER)])
        as_policy(space, params)
        assert space.params_of(*space.split(params)) == params

    def test_a_proposal_depends_on_its_arguments_alone(self, case: tuple[str, SearchSpace]) -> None:
        """A sampler that was asked before for other numbers and histories answers as one never
        asked.
        """
        space = case[1]
        known = history(space, LATER)
        used = fresh(case)
        used.propose(LATER - 1, known[:-1], [])
        assert used.propose(LATER, known, []) == fresh(case).propose(LATER, known, [])

    def test_seed_number_and_attempt_each_give_another(self, case: tuple[str, SearchSpace]) -> None:
        """Changes one at a time, at the start; and the attempt where a model has answered."""
        base = fresh(case).propose(2, [], [])
        assert fresh(case, seed=1).propose(2, [], []) != base
        assert fresh(case).propose(3, [], []) != base
        assert fresh(case).propose(2, [], [], attempt=1) != base
        known = history(case[1], LATER)
        first, second = (fresh(case).propose(LATER, known, [], attempt) for attempt in range(2))
        assert first != second

    def test_nothing_known_is_no_obstacle(self, case: tuple[str, SearchSpace]) -> None:
        """No history at all, and one in which everything failed."""
        space = case[1]
        failed = history(space, ENOUGH, unfinished=range(ENOUGH))
        for known in ([], failed):
            as_policy(space, fresh(case).propose(LATER, known, []))

    def test_numbers_that_are_none_do_no_harm(self, case: tuple[str, SearchSpace]) -> None:
        """Finished trials with NaN and infinite measurements among good ones."""
        space = case[1]
        known = history(space, LATER)
        known[2] = dataclasses.replace(known[2], val_loss=float("nan"))
        known[3] = dataclasses.replace(known[3], train_seconds=float("inf"))
        as_policy(space, fresh(case).propose(LATER, known, []))


FAST = [case for case in CASES if case[0] != SLOW]


@pytest.mark.parametrize("case", FAST, ids="-".join)
class TestSearch:
    """Whole searches, where an ask is cheap enough."""

    def run(self, case: tuple[str, str], known: list[Outcome], trials: int) -> list[Outcome]:
        space = find_space(case[1])
        sampler = OptunaSampler(space, case[0], 7, "pareto", first=0)
        search = Study(space, sampler, Asked(trials, "w", 7, 1.9), known)
        while (spec := search.ask()) is not None:
            search.tell(outcome_for(spec, "failed" if spec.number % 7 == 3 else "finished"))
        return list(search.finished)

    def test_a_resumed_search_equals_the_uninterrupted_one(self, case: tuple[str, str]) -> None:
        """Stops in the start, at its end and after it, and compares every trial."""
        straight = self.run(case, [], LATER)
        for done in (3, START, START + 2):
            assert self.run(case, straight[:done], LATER) == straight

    def test_trials_in_flight_are_seen(self, case: tuple[str, str]) -> None:
        """Asks for ten at once: no two are the same, nor like one before."""
        space = find_space(case[1])
        sampler = OptunaSampler(space, case[0], 7, "pareto", first=0)
        search = Study(space, sampler, Asked(LATER + 10, "w", 7, 1.9), history(space, LATER))
        specs = [search.ask() for _ in range(10)]
        knobs = {s.recipe for s in specs if s is not None}
        assert len(knobs) == 10


def test_a_gaussian_process_takes_conditions() -> None:
    """On a space with knobs that apply at some points only it proposes valid points, in either
    turn, the same twice.
    """
    space = find_space("dynamic_suffix")
    known, flying = history(space, LATER), [sampled(space, LATER)]
    numbers = (LATER + 1, LATER + 1, LATER + 2)
    found = [fresh((SLOW, space)).propose(number, known, flying) for number in numbers]
    assert found[0] == found[1] != found[2]
    assert all(params == space.params_of(*space.split(params)) for params in found)


def test_another_process_proposes_the_same() -> None:
    """Asks in a new interpreter with another hash seed, which orders sets otherwise."""
    names = ("tpe", "nsga2")
    code = f"""
import json
from search_spaces.registry import find_space
from tests.support.outcomes import history
from tuning.study.samplers.sampler import OptunaSampler
space = find_space("schedule")
samplers = [OptunaSampler(space, name, 0, "pareto", first=0) for name in {names!r}]
print(json.dumps([sampler.propose(20, history(space, 20), []) for sampler in samplers]))
"""
    found: list[list[dict[str, Any]]] = []
    for seed in ("1", "2"):
        command, env = [sys.executable, "-c", code], {"PYTHONHASHSEED": seed}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(found[0]) == len(names)

"""Trials while their trunk is being trained.

It is tested which goes first, which waits, and that none is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tuning.session.order import TrunkWait, departs_at_once
from tuning.study.baselines import baseline_specs
from tuning.study.samplers.draws import uniform
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialSpec

BLOCKS = 4
BASELINES = baseline_specs("w", 3, 1.9)
SPACE = find_space("schedule")


def sampled(count: int) -> list[TrialSpec]:
    """Random points of a space, numbered after the baselines."""
    found = []
    for number in range(len(BASELINES), len(BASELINES) + count):
        policy, horizon, knobs = SPACE.split(uniform(SPACE, 0, number, 0))
        found.append(TrialSpec(number, "sampled", "w", Recipe(policy, horizon, knobs), 3, 1.9))
    return found


def asking(specs: Sequence[TrialSpec]) -> tuple[Callable[[], TrialSpec | None], deque[TrialSpec]]:
    """A study that gives ``specs`` in their order, and what it has not given yet."""
    left = deque(specs)
    return (lambda: left.popleft() if left else None), left


def test_what_departs_at_once_goes_first_and_the_trunks_own_run_waits() -> None:
    """The static schedule goes first, then the control from the shortest on, then the presets.

    Full_update, the trunk's own run, waits while anything is pending.
    """
    ask, _ = asking(BASELINES)
    wait = TrunkWait(BLOCKS)
    given_out = [wait.next(ask, pending=True) for _ in BASELINES]
    assert [spec and spec.number for spec in given_out] == [5, 1, 2, 3, 4, 6, 7, None]
    assert wait.next(ask, pending=True) is None
    last = wait.next(ask, pending=False)
    assert last == BASELINES[0]
    assert wait.next(ask, pending=False) is None


def test_the_first_suggestion_goes_ahead_of_the_trunk() -> None:
    """It alone, where the space suggests one that departs at once; then all others come, once."""
    specs = baseline_specs("w", 3, 1.9, find_space("recipe"))
    ask, _ = asking(specs)
    wait = TrunkWait(BLOCKS)
    assert wait.ahead(ask) == specs[1]
    rest = [wait.next(ask, pending=False) for _ in specs]
    assert rest == [specs[0], *specs[2:], None]


@given(count=st.integers(0, 3))
def test_nothing_else_goes_ahead_of_the_trunk(count: int) -> None:
    """Property: neither a control nor a preset, nor where a search has fewer trials than that."""
    ask, _ = asking(BASELINES[:count])
    wait = TrunkWait(BLOCKS)
    assert wait.ahead(ask) is None
    assert [wait.next(ask, pending=False) for _ in range(count)] == list(BASELINES[:count])


def test_only_as_many_sampled_trials_are_asked_for_as_are_given_out() -> None:
    """Each knows more the later it is asked.

    One may be asked for early, as the first that is no baseline.
    """
    ask, left = asking([*BASELINES, *sampled(10)])
    wait = TrunkWait(BLOCKS)
    for given_out in range(1, len(BASELINES) + 4):
        assert wait.next(ask, pending=True) is not None
        assert 10 - len(left) <= max(1, given_out - (len(BASELINES) - 1))


@given(
    count=st.integers(0, 6), first=st.integers(0, 20), turns=st.lists(st.booleans(), max_size=40)
)
def test_every_trial_is_given_out_once(count: int, first: int, turns: list[bool]) -> None:
    """Property: whenever the trunk is complete, all trials come, once.

    Until then never the trunk's own.
    """
    specs = [*BASELINES, *sampled(count)][first:]
    ask, _ = asking(specs)
    wait = TrunkWait(BLOCKS)
    seen: list[TrialSpec] = []
    for _ in turns:
        spec = wait.next(ask, pending=True)
        seen += [spec] if spec else []
    assert BASELINES[0] not in seen
    before = len(seen)
    while (spec := wait.next(ask, pending=False)) is not None:
        seen.append(spec)
    assert sorted(s.number for s in seen) == [s.number for s in specs]
    after = [s.number for s in seen[before:]]
    assert after == sorted(after)


def test_a_lever_departs_at_once() -> None:
    """A model in another form computes something else from its first step.

    Full_update in its own does not.
    """
    plain = TrialSpec(0, "sampled", "w", Recipe("full_update"), 3)
    pulled = TrialSpec(0, "sampled", "w", Recipe("full_update", 1.0, {"compiled": True}), 3)
    assert departs_at_once(pulled, BLOCKS)
    assert not departs_at_once(plain, BLOCKS)

"""Company is noticed from numbers.

Each sign is tested by itself, and what a disturbed lap would have cost alone.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.training.calibration import company as watch
from tuning.training.calibration.company import Disturbance, Evidence, Host, Lap

QUIET = Evidence(waiting=0.01, drift=0.02, spread=0.05, elsewhere=0.03)
SECONDS = st.floats(1e-4, 1.0)
LAPS = st.lists(
    st.builds(lambda cpu, wait: Lap(cpu + wait, cpu), SECONDS, SECONDS), min_size=1, max_size=20
)


def test_a_quiet_machine_has_no_signs() -> None:
    """Small shares of everything, and everything unknown: nothing to say."""
    assert watch.disturbances(QUIET) == ()
    assert watch.disturbances(Evidence(waiting=None, drift=0.0, spread=0.0)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"waiting": 0.3},
            "30% of the time was spent waiting for a core that another process had (at most 5%)",
        ),
        (
            {"drift": 0.25},
            "25% is by how much a full step changed beside the others, from first rounds to last "
            "(at most 15%)",
        ),
        (
            {"speed": 0.5},
            "50% is by how much the machine's speed changed, from first rounds to last (at most "
            "25%)",
        ),
        ({"spread": 0.5}, "50% is the spread of a full step beside the others (at most 20%)"),
        ({"elsewhere": 0.5}, "50% of the cores' time went to other processes (at most 20%)"),
        (
            {"gpu_busy": 0.9},
            "90% of the time the GPU was busy before anything was measured (at most 10%)",
        ),
        ({"throttled": ("heat (hardware)",)}, "the GPU's clock was lowered: heat (hardware)"),
    ],
)
def test_each_sign_is_named_with_its_value(change: dict[str, object], said: str) -> None:
    """One measure beyond its limit at a time."""
    evidence = dataclasses.replace(QUIET, **change)  # type: ignore[arg-type]
    assert [sign.text for sign in watch.disturbances(evidence)] == [said]


@given(LAPS)
def test_solo_costs_keep_what_is_waited_alone(laps: list[Lap]) -> None:
    """Property: at least the CPU time, at most the wall time, and the quietest lap keeps all of its
    own.
    """
    costs = watch.solo_costs(laps, on_cpu=True)
    rounding = 1 + 1e-12
    for lap, cost in zip(laps, costs, strict=True):
        assert lap.cpu <= cost * rounding
        assert cost <= lap.wall * rounding
    quietest = min(range(len(laps)), key=lambda i: laps[i].waited)
    assert math.isclose(costs[quietest], laps[quietest].wall)


@given(LAPS)
def test_on_a_gpu_the_wall_counts(laps: list[Lap]) -> None:
    """Property: the host's CPU time says nothing of a device's work."""
    assert watch.solo_costs(laps, on_cpu=False) == [lap.wall for lap in laps]


@given(LAPS, SECONDS)
def test_waiting_that_is_always_there_is_no_company(laps: list[Lap], wait: float) -> None:
    """Property: laps that all wait alike (for data, say) have no share of waiting for others."""
    alike = [Lap(lap.cpu + wait, lap.cpu) for lap in laps]
    assert watch.waiting_share({"data": alike}) == pytest.approx(0.0, abs=1e-9)


@given(LAPS, st.lists(SECONDS, min_size=20, max_size=20))
def test_the_queue_for_a_core_is_no_cost_and_all_company(
    laps: list[Lap], queued: list[float]
) -> None:
    """Property: queued for in every lap, it changes no cost, and its share is told."""
    behind = [Lap(lap.wall + q, lap.cpu, q) for lap, q in zip(laps, queued, strict=False)]
    alone = watch.solo_costs(laps, on_cpu=True)
    assert watch.solo_costs(behind, on_cpu=True) == pytest.approx(alone, rel=1e-9, abs=1e-12)
    waited = watch.waiting_share({"step": laps}) * sum(lap.wall for lap in laps)
    whole = waited + sum(lap.queued for lap in behind)
    share = whole / sum(lap.wall for lap in behind)
    assert watch.waiting_share({"step": behind}) == pytest.approx(share, abs=1e-9)


def test_the_queue_is_read_off_the_system_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows while others have the core; where the system does not tell, it is 0."""
    before = Host().queued()
    assert 0.0 <= before <= Host().queued()
    monkeypatch.setattr(watch, "QUEUE", Path("/nowhere"))
    assert Host().queued() == 0.0


def test_waiting_share_by_hand() -> None:
    """Of two kinds of laps of 1 s each, one of four waited half a second: an eighth of all."""
    kinds = {"a": [Lap(1.0, 1.0), Lap(1.0, 0.5)], "b": [Lap(1.0, 1.0), Lap(1.0, 1.0)]}
    assert watch.waiting_share(kinds) == pytest.approx(0.125)


def test_drift_by_hand() -> None:
    """Medians of the thirds of nine: 2 and 3, half more; fewer than three say nothing."""
    assert watch.drift([1, 2, 2, 9, 9, 9, 3, 3, 4]) == pytest.approx(0.5)
    assert watch.drift([1, 2]) == 0.0


def test_relative_spread_by_hand() -> None:
    """Quartiles of 1..5 are 2, 3 and 4."""
    assert watch.relative_spread([5.0, 1.0, 3.0, 2.0, 4.0]) == pytest.approx(2 / 3)
    assert watch.relative_spread([1.0]) == 0.0


@given(st.lists(st.floats(0, 5).map(lambda x: 0.0 if x < 1 else x), min_size=3, max_size=3))
def test_quietest_stops_at_the_first_quiet_try(severities: list[float]) -> None:
    """Property: it tries on while disturbed, three times at most, rests between, and keeps the
    mildest.
    """
    rests: list[None] = []

    def found(severity: float) -> Sequence[Disturbance]:
        return (Disturbance("it", severity),) if severity else ()

    kept, tries = watch.quietest(
        iter(severities).__next__, found, tries=3, rest=lambda: rests.append(None)
    )
    tried = severities[:tries]
    assert kept == min(tried)
    assert len(rests) == tries - 1
    assert tries == 3 or tried[-1] == 0.0
    assert all(tried[:-1])


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("12, 0x0000000000000000\n", (0.12, ())),
        ("[N/A], Not Supported", (None, ())),
        ("5, 0x0000000000000020", (0.05, ("heat (software)",))),
        ("", (None, ())),
    ],
)
def test_gpu_state(answer: str, state: tuple[float | None, tuple[str, ...]]) -> None:
    """What nvidia-smi prints, on cards that say little too."""
    assert watch.gpu_state(answer) == state


def test_share_elsewhere_by_hand() -> None:
    """Three of eight core seconds; no time says nothing, and rounding is never less than none."""
    assert watch.share_elsewhere((1.0, 0.0), (4.0, 8.0)) == pytest.approx(0.375)
    assert watch.share_elsewhere((1.0, 2.0), (4.0, 2.0)) is None
    assert watch.share_elsewhere((1.0, 0.0), (0.9, 8.0)) == 0.0


def test_the_real_host_reads_forward() -> None:
    """Clocks and the cores' account of this machine do not run backwards, and a GPU that is not
    there says nothing.
    """
    host = Host()
    wall, cpu, cores = host.wall(), host.cpu(), host.core_seconds()
    sum(range(100_000))
    assert host.wall() > wall
    assert host.cpu() >= cpu
    assert host.core_seconds()[1] > cores[1]
    assert host.gpu("GPU-00000000-0000-0000-0000-000000000000") == (None, ())


class Busy(Host):
    """A second has gone by at each look, of which others had the cores and the queue a share."""

    def __init__(self, elsewhere: float, queued: float) -> None:
        self._elsewhere, self._queued, self._looks = elsewhere, queued, 0

    def core_seconds(self) -> tuple[float, float]:
        self._looks += 1
        return self._elsewhere * self._looks, float(self._looks)

    def queued(self) -> float:
        return self._queued * self._looks

    def wall(self) -> float:
        return float(self._looks)


@pytest.mark.parametrize(
    ("elsewhere", "queued", "said"),
    [
        (0.1, 0.01, []),
        (0.5, 0.0, ["50% of the cores' time went to other processes (at most 20%)"]),
        (0.0, 0.25, ["25% of the time was spent waiting for a core that another process had"]),
    ],
)
def test_what_ran_meanwhile_is_named(elsewhere: float, queued: float, said: list[str]) -> None:
    """The cores' time and the queue for one, of a second in between."""
    signs = watch.Meanwhile(Busy(elsewhere, queued)).signs()
    assert len(signs) == len(said)
    assert all(sign.text.startswith(text) for sign, text in zip(signs, said, strict=True))


class Visited(Busy):
    """Others have the cores at some looks, two a try, and not at others; rests are counted."""

    def __init__(self, *shares: float) -> None:
        super().__init__(0.0, 0.0)
        self._shares, self._spent, self.rests = iter(shares), 0.0, 0

    def core_seconds(self) -> tuple[float, float]:
        self._looks += 1
        if self._looks % 2 == 0:
            self._spent += next(self._shares)
        return self._spent, float(self._looks)

    def rest(self, seconds: float) -> None:
        self.rests += 1


@pytest.mark.parametrize(
    ("shares", "tries", "found", "said", "rests"),
    [
        ((0.1,), 3, 1, [], 0),
        ((0.5, 0.1), 3, 2, [], 1),
        ((0.5, 0.3, 0.4), 3, 2, ["30%"], 2),
        ((0.5,), 1, 1, ["50%"], 0),
    ],
)
def test_what_is_disturbed_is_measured_again(
    shares: tuple[float, ...], tries: int, found: int, said: list[str], rests: int
) -> None:
    """Until nothing disturbs it; else the quietest is kept, with what disturbed that."""
    host, numbers = Visited(*shares), itertools.count(1)
    number, signs = watch.undisturbed(lambda: next(numbers), tries=tries, host=host)
    assert (number, [sign.split()[0] for sign in signs]) == (found, said)
    assert host.rests == rests

"""The verdict: on made-up runs whose truth is known, in figures and in words."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from tests.support.stores import record
from tuning.findings.judge import judge
from tuning.findings.paired import p_value
from tuning.findings.verdict import FORMAT, Candidate, Run, Verdict, run_of
from tuning.findings.verdict_words import missing, seeds_needed
from tuning.report.verdict_table import print_verdict
from tuning.trial.recipe import Recipe
from tuning.trial.trial import CurvePoint, Scalar

HORIZONS = (0.5, 0.625, 0.75, 0.875, 1.0)
SEEDS = (1000, 1001, 1002, 1003, 1004)
TARGET = 1.91
STRAY = (0.004, -0.003, 0.001, -0.002, 0.003)
"""What a seed's run strays by, made up; it is the same for every test."""


def loss_at(horizon: float) -> float:
    return 1.6 + 0.3 * math.pow(horizon, -0.55)


def run(
    seed: int, horizon: float, speed: float = 1.0, slow: float = 1.1, stray: float = 0.0
) -> Run:
    """A run on the control's curve that needs ``1 / speed`` of its time, on a machine ``slow``
    times as slow.
    """
    solo = 12 * horizon / speed
    loss = loss_at(horizon) + 0.01 * math.sin(seed) + stray
    return Run(seed, solo, solo * slow, loss, solo if loss <= TARGET else None)


def control(seeds: Sequence[int] = SEEDS) -> dict[float, list[Run]]:
    return {horizon: [run(seed, horizon) for seed in seeds] for horizon in HORIZONS}


def candidate(
    number: int, speed: float, horizon: float = 0.9, scale: float = 1.0
) -> tuple[Candidate, list[Run]]:
    runs = [run(s, horizon, speed, stray=scale * e) for s, e in zip(SEEDS, STRAY, strict=True)]
    return Candidate(number, Recipe("dynamic_suffix", horizon, {"levels": 4})), runs


def verdict(
    *candidates: tuple[Candidate, list[Run]], runs: Mapping[float, Sequence[Run]] | None = None
) -> Verdict:
    return judge(candidates, control() if runs is None else runs, seeds=SEEDS, target=TARGET)


def test_a_schedule_that_is_faster_wins() -> None:
    """A schedule ten per cent faster, with strays of 0.003, wins.

    It is named, with its gain, the interval around it, and how sure it is.
    """
    found = verdict(candidate(17, 1.10), candidate(3, 0.95))
    first, second = found.candidates
    assert found.winner == 17
    assert first.wins
    assert not second.wins
    assert first.gain == pytest.approx(1.10, abs=0.01)
    assert first.interval[0] is not None
    assert first.interval[1] is not None
    assert 1.0 < first.interval[0] < 1.10 < first.interval[1]
    assert first.p_corrected == pytest.approx(2 * first.p)
    assert "dynamic_suffix (trial 17) beats training for less" in found.sentence
    assert "1.10 times as fast" in found.sentence
    assert "corrected for 2" in found.sentence


@given(
    speeds=st.lists(st.floats(0.9, 1.1), min_size=5, max_size=5),
    steps=st.integers(1, 3),
    seeds=st.sampled_from([2, 3, 5]),
)
def test_what_strays_by_its_seconds_alone_is_tested_by_its_sign(
    speeds: list[float], steps: int, seeds: int
) -> None:
    """Property: an accuracy that every seed brings to the same count. Each of them says that the
    candidate is better, and none by how much; a machine whose seconds hardly stray makes no more of
    it.
    """

    def counted(horizon: float, seed: int, seconds: float) -> Run:
        return Run(seed, seconds, seconds * speeds[seed - SEEDS[0]], -0.9, None)

    fresh = SEEDS[:seeds]
    own = {h: [counted(h, seed, 12 * h) for seed in fresh] for h in HORIZONS}
    better = [replace(counted(0.9, s, 10.8), loss=-0.9 - steps / 342) for s in fresh]
    own[1.0] = [replace(each, loss=-0.9 - 1 / 342) for each in own[1.0]]
    made = Candidate(1, Recipe("dynamic_suffix", 0.9, {"levels": 4}))
    found = judge([(made, better)], own, seeds=fresh, target=TARGET)
    assert found.candidates[0].p == 0.5**seeds
    assert found.winner is None
    assert found.sentence.endswith("; to win it would have to hold this over 7 seeds.")


def test_training_for_less_in_disguise_does_not_win() -> None:
    """A gain of 1.00: nobody wins, and the sentence says what would have to change."""
    found = verdict(candidate(17, 1.0))
    assert found.winner is None
    assert "does not beat training for less" in found.sentence
    assert "% faster or" in found.sentence
    assert "lower in loss" in found.sentence


def test_what_would_have_to_change_is_enough() -> None:
    """Exact case: raised by what is missing, the differences are just significant.

    A little less and they are not.
    """
    values = [0.01, -0.02, 0.015, 0.0, 0.004]
    short = missing(values, 0.008)
    assert (
        p_value([v + short * 1.0001 for v in values])
        < 0.008
        < p_value([v + short * 0.9999 for v in values])
    )


def test_seeds_needed_is_the_least_number() -> None:
    """For a mean of one standard deviation the number is that by hand from scipy's quantile.

    There is none where the mean is not positive.
    """
    values = [1.0 - math.sqrt(0.5), 1.0 + math.sqrt(0.5)]
    count = seeds_needed(values, 0.008)
    assert count is not None
    assert stats.t.ppf(0.992, count - 1) < math.sqrt(count)
    assert stats.t.ppf(0.992, count - 2) >= math.sqrt(count - 1)
    assert seeds_needed([-1.0, -2.0], 0.008) is None


def test_better_than_any_control_is_a_bound() -> None:
    """A schedule whose loss is below the longest control's on every seed wins.

    Its gain is at least the seconds it saves.
    """
    runs = [dataclasses.replace(r, loss=r.loss - 0.05) for r in candidate(5, 1.02, horizon=1.0)[1]]
    found = verdict((Candidate(5, Recipe("dynamic_suffix", 1.0)), runs))
    assert found.winner == 5
    assert found.candidates[0].bound == "at least"
    assert found.candidates[0].interval[1] is None
    assert "a gain of at least 1.02" in found.sentence


def test_worse_than_any_control_is_a_bound_too() -> None:
    """A loss above the shortest control's: at most, and no win."""
    runs = [dataclasses.replace(r, loss=r.loss + 0.5) for r in candidate(5, 1.0)[1]]
    found = verdict((Candidate(5, Recipe("static_suffix", 0.9)), runs))
    assert found.candidates[0].bound == "at most"
    assert found.winner is None


def test_a_candidate_outside_the_controls_time_cannot_be_judged() -> None:
    """Trained for a third of the horizon: said so, p is 1."""
    found = verdict(candidate(5, 1.0, horizon=0.3))
    assert found.candidates[0].p == 1.0
    assert "No recipe could be compared" in found.sentence
    assert "far longer or shorter" in found.sentence


def test_a_seed_that_failed_cannot_win() -> None:
    """The worst seed is missing, so the schedule has not won, however good the rest.

    The seed is named.
    """
    who, runs = candidate(5, 1.3)
    found = verdict((who, runs[:-1]))
    assert found.winner is None
    assert found.candidates[0].p_corrected == 1.0
    assert "1004" in found.candidates[0].note


def test_measured_seconds_decide_and_solo_ones_are_checked() -> None:
    """A clock that flatters a schedule by 10 % does not make it win.

    Predicted over measured shows it.
    """
    who, runs = candidate(5, 1.10)
    slow = [dataclasses.replace(r, measured_seconds=r.solo_seconds * 1.1 * 1.1) for r in runs]
    found = verdict((who, slow))
    assert found.time == "measured"
    assert found.winner is None
    assert found.candidates[0].gain == pytest.approx(1.0, abs=0.01)
    assert found.candidates[0].predicted_over_measured == pytest.approx(1 / 1.21)
    assert found.control.runs[0].predicted_over_measured == pytest.approx(1 / 1.1)


def test_without_measurements_solo_seconds_stand_in_and_are_called_so() -> None:
    """One run was not measured: all are judged by the clock."""
    who, runs = candidate(5, 1.10)
    found = verdict((who, [dataclasses.replace(runs[0], measured_seconds=None), *runs[1:]]))
    assert found.time == "solo"
    assert found.winner == 5


def test_censored_times_are_counted_and_never_averaged() -> None:
    """Target met on two of five seeds: no median; on three: the longest of the three."""
    who, runs = candidate(5, 1.0)
    few = [
        dataclasses.replace(r, to_target=None if i > 1 else r.solo_seconds)
        for i, r in enumerate(runs)
    ]
    most = [
        dataclasses.replace(r, to_target=None if i > 2 else r.solo_seconds - 1 + i)
        for i, r in enumerate(runs)
    ]
    assert verdict((who, few)).candidates[0].seconds_to_target is None
    found = verdict((who, most)).candidates[0]
    assert found.reached == 3
    assert found.seconds_to_target == pytest.approx((runs[2].solo_seconds + 1) * 1.1)


def test_exchange_rate_is_the_slope_of_the_control() -> None:
    """Loss for one per cent more time at the full horizon: the derivative of the made-up curve."""
    rate = verdict(candidate(5, 1.0)).control.loss_per_percent
    assert rate == pytest.approx(0.01 * 0.55 * 0.3, rel=0.1)


@given(st.permutations(range(5)), st.permutations(HORIZONS))
def test_the_order_of_runs_does_not_matter(seeds: list[int], horizons: list[float]) -> None:
    """Property: seeds and horizons in any order give the same verdict, byte for byte."""
    who, runs = candidate(5, 1.05)
    shuffled = {horizon: [control()[horizon][i] for i in seeds] for horizon in horizons}
    assert (
        verdict((who, [runs[i] for i in seeds]), runs=shuffled).to_json()
        == verdict((who, runs)).to_json()
    )


def test_earlier_confirmations_count() -> None:
    """Tested before: p is corrected for them too."""
    who = candidate(5, 1.10)
    alone = judge([who], control(), seeds=SEEDS, target=TARGET)
    later = judge([who], control(), seeds=SEEDS, target=TARGET, tested=4)
    assert later.candidates[0].p_corrected == pytest.approx(4 * alone.candidates[0].p_corrected)
    assert later.tested == 4


def test_json_is_plain_and_versioned() -> None:
    """Parses without NaN, has the promised keys, and says which format it is."""
    data = json.loads(verdict(candidate(17, 1.10), candidate(3, 0.5, horizon=0.3)).to_json())
    assert data["format"] == FORMAT
    assert {
        "sentence",
        "winner",
        "candidates",
        "control",
        "seeds",
        "target_loss",
        "tested",
        "time",
    } <= data.keys()
    assert {"number", "gain", "interval", "p_corrected", "wins", "per_seed", "reached"} <= data[
        "candidates"
    ][0].keys()
    assert data["candidates"][0]["knobs"] == {"levels": 4}


def test_a_machine_that_strays_is_told_apart_from_losses_that_do() -> None:
    """The measured times of one seed are doubled at random.

    The gain by the clock stays narrow, and the machine is named.
    """
    who, runs = candidate(5, 1.05, scale=0.1)
    factors = (0.8, 1.25, 1.0, 1.3, 0.75)
    loud = [
        dataclasses.replace(r, measured_seconds=r.solo_seconds * f)
        for r, f in zip(runs, factors, strict=True)
    ]
    noisy = {
        h: [
            dataclasses.replace(r, measured_seconds=r.solo_seconds * factors[(i + j) % 5])
            for j, r in enumerate(rs)
        ]
        for i, (h, rs) in enumerate(control().items())
    }
    found = verdict((who, loud), runs=noisy)
    measured, solo = found.candidates[0].interval, found.candidates[0].solo_interval
    assert found.candidates[0].solo_gain == pytest.approx(1.05, abs=0.01)
    assert solo[0] is not None
    assert solo[1] is not None
    assert measured[0] is not None
    assert measured[1] is not None
    assert measured[1] - measured[0] > 5 * (solo[1] - solo[0])
    assert found.control.time_spread == pytest.approx(
        statistics.stdev([math.log(f) for f in factors] * 5)
    )
    console = Console(width=80)
    with console.capture() as shown:
        print_verdict(found, console)
    assert "Confirm on a quiet machine" in " ".join(shown.get().split())


def test_table_fits_eighty_columns() -> None:
    """Printed to a terminal of 80 columns, no line is longer and nothing is cut.

    The sentence is there.
    """
    found = verdict(candidate(17, 1.10), candidate(3, 0.95))
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as shown:
        print_verdict(found, console, "fewer than asked for")
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown.get()
    assert "1.10" in shown.get()
    assert found.sentence in " ".join(line.strip() for line in lines)


def test_levers_are_named() -> None:
    """A full_update in another form is a schedule.

    The sentence and its line say which, the table has a plus.
    """
    levered, runs = candidate(17, 1.10)
    knobs: dict[str, Scalar] = {"approximation": "hidden_units", "approximation_share": 0.5}
    found = verdict((dataclasses.replace(levered, recipe=Recipe("full_update", 1.0, knobs)), runs))
    console = Console(width=80)
    with console.capture() as shown:
        print_verdict(found, console)
    assert found.sentence.startswith("full_update + hidden_units (trial 17) beats")
    assert "17 full_update+ " in shown.get()
    assert "#17: full_update + hidden_units" in shown.get()
    assert max(map(len, shown.get().splitlines())) <= 80


def test_run_of_a_record() -> None:
    """Seconds to the target come from the curve, at the target asked for.

    A failed record is no run.
    """
    curve = (CurvePoint(10, 4.0, 2.0), CurvePoint(20, 8.0, 1.9))
    done = record(3, train_seconds=8.0, measured_seconds=9.0, val_loss=1.9, curve=curve, seed=1000)
    assert run_of(done, 2.0) == Run(1000, 8.0, 9.0, 1.9, 4.0)
    assert run_of(done, 1.5) == Run(1000, 8.0, 9.0, 1.9, None)
    assert run_of(dataclasses.replace(done, state="failed"), 2.0) is None

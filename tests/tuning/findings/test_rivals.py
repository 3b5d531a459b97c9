"""Confirmed schedules beside the tuned and the smaller control, on runs whose truth is known."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.tuning.findings.test_verdict import (
    HORIZONS,
    SEEDS,
    STRAY,
    TARGET,
    candidate,
    control,
    run,
)
from tuning.findings.judge import judge
from tuning.findings.rivals import RivalRuns, beside_rivals
from tuning.findings.verdict import Candidate, Run, Verdict, verdict_from_json
from tuning.report.verdict_table import print_verdict
from tuning.trial.recipe import SMALLER, TUNED, ControlKind, Recipe

KNOBS: dict[ControlKind, dict[str, float]] = {
    TUNED: {"rate": 2.0},
    SMALLER: {"depth_start": 0.5, "depth_end": 0.5},
}


def rival(kind: ControlKind, speed: float, horizons: Sequence[float] = (0.875, 1.25)) -> RivalRuns:
    """One that needs 1 / ``speed`` of the own control's time for a loss, in the same seconds."""
    runs = {h: [at(seed, h, speed) for seed in SEEDS] for h in horizons}
    return RivalRuns(Candidate(9, Recipe("full_update", 1.0, KNOBS[kind])), runs)


def at(seed: int, horizon: float, speed: float, stray: float = 0.0) -> Run:
    """A run of ``horizon`` with the loss of the own control after ``speed`` times as long."""
    loss = run(seed, horizon * speed, stray=stray).loss
    solo = 12 * horizon
    return Run(seed, solo, solo * 1.1, loss, solo if loss <= TARGET else None)


def faster(number: int, speed: float, horizon: float = 0.9) -> tuple[Candidate, list[Run]]:
    """A schedule that trains for ``horizon``, as good as the own control after more."""
    runs = [at(seed, horizon, speed, stray) for seed, stray in zip(SEEDS, STRAY, strict=True)]
    return Candidate(number, Recipe("dynamic_suffix", horizon, {"levels": 4})), runs


def judged(
    *candidates: tuple[Candidate, list[Run]],
    rivals: dict[ControlKind, RivalRuns],
    behind: dict[ControlKind, int] | None = None,
) -> Verdict:
    """As a confirmation does, the own control beyond the baseline's horizon too."""
    own = control() | {1.5: [run(seed, 1.5) for seed in SEEDS]}
    found = judge(candidates, own, seeds=SEEDS, target=TARGET)
    by_number = {c.number: runs for c, runs in candidates}
    return beside_rivals(found, by_number, rivals, own, behind)


def test_gains_over_every_control_are_found() -> None:
    """1.3 times as fast as the own control, that is 1.18 times as fast as one 1.1 times as fast."""
    found = judged(faster(3, 1.3), rivals={TUNED: rival(TUNED, 1.1), SMALLER: rival(SMALLER, 1.2)})
    won = found.candidates[0]
    assert won.gain == pytest.approx(1.3, abs=0.02)
    assert won.over[TUNED].gain == pytest.approx(1.3 / 1.1, abs=0.02)
    assert won.over[SMALLER].gain == pytest.approx(1.3 / 1.2, abs=0.02)
    assert all(over.wins and over.p_corrected == over.p for over in won.over.values())
    assert found.rivals[TUNED].over_own.gain == pytest.approx(1.1, abs=0.02)
    assert [run.horizon for run in found.rivals[TUNED].runs] == [0.875, 1.25]
    assert "beats training for less" in found.sentence
    tuned, fewer = (f"{won.over[kind].gain:.2f}" for kind in (TUNED, SMALLER))
    assert f"Over your own recipe tuned (trial 9) it gains {tuned} (95 %" in found.sentence
    assert f"Over your own recipe with fewer blocks (trial 9) it gains {fewer} " in found.sentence


def test_a_rival_shorter_than_every_own_run_is_judged_where_it_can_be() -> None:
    """Twice as fast at a quarter and at 0.75 of the horizon, beside own runs from 0.5 on."""
    fast = rival(TUNED, 2.0, (0.25, 0.75, 1.0))
    found = judged(faster(3, 1.3), rivals={TUNED: fast}).rivals[TUNED]
    assert found.over_own.p == 0.5**5  # made-up runs, which stray in their last bit alone
    assert found.over_own.gain == pytest.approx(2.0, abs=0.05)


def test_what_the_tuned_control_does_as_well_is_said_to_be_tuning() -> None:
    """As fast as the tuned control: a win over the own one, and none over it."""
    found = judged(faster(3, 1.2), rivals={TUNED: rival(TUNED, 1.2)})
    assert found.winner == 3
    assert not found.candidates[0].over[TUNED].wins
    assert "Over your own recipe tuned (trial 9) it does not win" in found.sentence
    assert "so the win may be tuning." in found.sentence


def test_a_rival_that_wins_where_no_recipe_does_is_named() -> None:
    """With what it gains; one that does not win either is not."""
    smaller = rival(SMALLER, 1.3)
    strayed = {
        h: [at(seed, h, 1.3, stray) for seed, stray in zip(SEEDS, STRAY, strict=True)]
        for h in smaller.runs
    }
    rivals = {TUNED: rival(TUNED, 1.0), SMALLER: dataclasses.replace(smaller, runs=strayed)}
    found = judged(faster(3, 1.0), rivals=rivals)
    assert found.winner is None
    assert not found.rivals[TUNED].over_own.wins
    gain = f"{found.rivals[SMALLER].over_own.gain:.2f}"
    assert " A smaller model does: full_update + depth (trial 9), which gains " in found.sentence
    assert gain in found.sentence
    assert "Tuning does" not in found.sentence


def test_without_a_tuned_control_that_is_said() -> None:
    """Of a schedule that wins; a tuned control that is confirmed itself is tuning."""
    assert "is not known (not tuned: --space tune)" in judged(faster(3, 1.2), rivals={}).sentence
    tuned, runs = faster(3, 1.2)
    tuned = dataclasses.replace(tuned, recipe=Recipe("full_update", 0.9, KNOBS[TUNED]))
    assert judged((tuned, runs), rivals={}).sentence.endswith("Tuning is what wins.")


def test_p_is_corrected_for_the_schedules_held_against_a_rival() -> None:
    """Two schedules: the better p doubles, as beside the own control."""
    found = judged(faster(3, 1.3), faster(4, 1.12), rivals={TUNED: rival(TUNED, 1.1)})
    best = min(found.candidates, key=lambda c: c.over[TUNED].p).over[TUNED]
    assert best.p_corrected == pytest.approx(2 * best.p)


def test_a_rival_that_is_the_own_control_gives_the_own_gain() -> None:
    """The same runs under another name: not a figure differs."""
    found = judge([candidate(3, 1.05)], control(), seeds=SEEDS, target=TARGET)
    same = RivalRuns(Candidate(0, Recipe("full_update", 1.0, KNOBS[TUNED])), control())
    runs = {3: candidate(3, 1.05)[1]}
    own = beside_rivals(found, runs, {TUNED: same}, control()).candidates[0]
    for name, value in vars(own.over[TUNED]).items():
        assert value == getattr(own, name)


@settings(max_examples=30)
@given(st.floats(-3.0, 3.0))
def test_shifting_every_loss_changes_no_gain(by: float) -> None:
    """Property: of candidates and controls alike."""

    def moved(runs: Sequence[Run]) -> list[Run]:
        return [dataclasses.replace(run, loss=run.loss + by) for run in runs]

    def gains(found: Verdict) -> list[float | None]:
        one = found.candidates[0]
        return [one.gain, one.over[TUNED].gain, found.rivals[TUNED].over_own.gain]

    schedule, runs = faster(3, 1.2)
    other = rival(TUNED, 1.1)
    shifted = dataclasses.replace(other, runs={h: moved(r) for h, r in other.runs.items()})
    own = {h: moved(r) for h, r in control().items()}
    found = judge([(schedule, moved(runs))], own, seeds=SEEDS, target=TARGET)
    found = beside_rivals(found, {3: moved(runs)}, {TUNED: shifted}, own)
    before = judge([(schedule, runs)], control(), seeds=SEEDS, target=TARGET)
    before = beside_rivals(before, {3: runs}, {TUNED: other}, control())
    assert gains(found) == pytest.approx(gains(before))


def test_json_and_terminal_tell_it() -> None:
    """The inverse of writing, and the tables in 80 columns."""
    found = judged(faster(3, 1.3), rivals={TUNED: rival(TUNED, 1.1)})
    assert verdict_from_json(found.to_json()) == found
    console = Console(width=80, record=True, markup=False, file=io.StringIO())
    print_verdict(found, console)
    text = console.export_text()
    table = text.split("*: wins.")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "tuned 1.25" in table
    told = " ".join(text.split())
    assert f"gain over tuned {found.candidates[0].over[TUNED].gain:.2f} (" in told
    assert "tuned: your own recipe tuned, full_update + tuned #9; gain over own 1.1" in told
    assert table.count("control ") == len(HORIZONS) + 1


def test_a_rival_that_was_not_trained_again_is_told() -> None:
    """In the sentence, where nothing else says how much is tuning, in the terminal and in JSON."""
    found = judged(faster(3, 1.3), rivals={}, behind={TUNED: 12, SMALLER: 9})
    assert verdict_from_json(found.to_json()) == found
    assert (
        "Tuning gained nothing in the search (trial 12), so none of it is that." in found.sentence
    )
    assert "A smaller model gained nothing in the search (trial 9)" in found.sentence
    assert "not known" not in found.sentence
    console = Console(width=80, record=True, markup=False, file=io.StringIO())
    print_verdict(found, console)
    told = " ".join(console.export_text().split())
    assert "tuned: your own recipe tuned gained nothing in the search (#12)" in told

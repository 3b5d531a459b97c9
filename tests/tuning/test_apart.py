"""A recipe taken apart, whole, on the tiny workload: what is trained, resumption, bad input."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.costs import two_rounds
from tests.support.fuse import burning_after
from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning import apart as command
from tuning.errors import BadInput
from tuning.findings.apart import Apart, read_apart
from tuning.session import apart as session
from tuning.session.apart import Request, plan_of, take_apart
from tuning.session.confirm import Device
from tuning.session.listed import train_more
from tuning.session.plan import ListPlan
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.study.listed import ListStudy
from tuning.training import stopwatch
from tuning.trial.pieces import plain
from tuning.trial.recipe import Recipe
from tuning.trial.task import Task
from tuning.trial.trial import TrialSpec

WORKLOAD = "tests.support.fuse:fused_again"
DEVICE = Device("fake device", 2)
WHOLE = Recipe(
    "full_update",
    1.0,
    {
        "optimizer": "own",
        "rate": 2.0,
        "batch_start": 0.5,
        "batch_end": 1.0,
        "batch_change_at": 0.4,
        "averaging": "ema",
        "compiled": False,
        "newton_schulz_steps": 5,
    },
)
NAMES = {"averaging", "batch", "optimizer's numbers"}


@pytest.fixture(autouse=True, scope="module")
def _fake_time() -> Iterator[None]:
    """Measured seconds count how often the watch was read; forms are timed, but not long."""
    clock = itertools.count(0.0, 2**-7).__next__
    with pytest.MonkeyPatch.context() as patch, two_rounds():
        patch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=clock))
        yield


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search's own controls and its first suggestion; to be copied, not changed."""
    run = tmp_path_factory.mktemp("controls") / "run"
    options = {"space": "recipe", "trials": 4, "target": 1.0, "replicates": 0.0}
    search(config_of(run, workload=WORKLOAD, **options), Remembering())
    return run


@pytest.fixture(scope="module")
def searched(controls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same and a trial with three levers."""
    run = Path(shutil.copytree(controls, tmp_path_factory.mktemp("searched") / "run"))
    with Lease.acquire(run) as lease:
        store = Store.open(run, epoch=lease.epoch)
        target, seed = store.info.target, store.record(0).seed
        assert target is not None
        spec = TrialSpec(0, "sampled", WORKLOAD, WHOLE, seed, target.loss)
        train_more(store, [spec], target.loss, 20, Remembering())
    return run


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    """A copy of the finished search."""
    return Path(shutil.copytree(searched, tmp_path / "run"))


@dataclasses.dataclass(frozen=True)
class Taken:
    """A copy of the finished search whose trial was taken apart, and what that came to."""

    run: Path
    found: Apart
    told: list[str]


@pytest.fixture(scope="module")
def straight(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Once, for all that read what came of it; to be copied, not changed."""
    run = Path(shutil.copytree(searched, tmp_path_factory.mktemp("straight") / "run"))
    return Taken(run, *taken(run))


@pytest.fixture
def done(straight: Taken, tmp_path: Path) -> Taken:
    """A copy of it."""
    run = Path(shutil.copytree(straight.run, tmp_path / "done"))
    return dataclasses.replace(straight, run=run)


def taken(
    run: Path, trial: int | None = 4, seeds: int = 1, *, page: bool = False
) -> tuple[Apart, list[str]]:
    """What was found, and what was said before; the page is drawn where a test is about it."""
    told: list[str] = []
    request = Request(run, trial, seeds)
    with pytest.MonkeyPatch.context() as patch:
        if not page:
            patch.setattr(session, "write_report", lambda store: None)
        found = take_apart(request, watcher=Remembering(), device=DEVICE, told=told.append)
    return found, told


def parts(run: Path) -> pd.DataFrame:
    """The rows that were trained for it."""
    frame = Store.open(run).frame()
    return frame[frame["origin"] == "confirmation"].reset_index(drop=True)


def test_each_lever_off_and_alone_on_the_trials_seed(straight: Taken) -> None:
    """Reads the table: three recipes without one lever, three of one alone, none twice; the trial
    itself is not trained again, and no row is on the front.
    """
    run, found, told = straight.run, straight.found, straight.told
    rows = parts(run)
    own = Store.open(run).record(4)
    assert len(rows) == 6
    assert set(rows["seed"]) == {own.seed}
    assert set(rows["horizon"]) == {1.0}
    recipes = [Store.open(run).record(int(n)).recipe for n in rows["number"]]
    assert len({plain(recipe) for recipe in recipes}) == 6
    assert sorted(len(recipe.pulled) for recipe in recipes) == [1, 1, 1, 2, 2, 2]
    assert {piece.name for piece in found.pieces} == NAMES
    assert found.whole.loss == own.val_loss
    assert "3 levers" in told[0]
    assert "6 runs, about" in told[0]


def test_what_is_found_is_what_the_rows_say(straight: Taken) -> None:
    """Each piece's loss without it is that of the row that has the two others."""
    found, store = straight.found, Store.open(straight.run)
    records = [store.record(n) for n in store.numbers()]
    by_recipe = {plain(r.recipe): r for r in records if r.seed == found.seeds[0]}
    for piece in found.pieces:
        left = {n: v for n, v in plain(WHOLE).knobs.items() if n not in piece.knobs}
        record = by_recipe[Recipe("full_update", 1.0, left)]
        assert piece.without is not None
        assert (piece.without.loss, piece.without.seconds) == (
            record.val_loss,
            record.train_seconds,
        )


def test_left_in_the_run_and_on_its_page(done: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    """RUN/apart.json is what was returned; the page and the terminal show every lever, and the
    report that is written anew later too.
    """
    from tuning.pareto import main

    run, found = done.run, done.found
    assert read_apart(run) == (found, "")
    assert not (run / "report.html").exists()
    assert main([str(run)]) == 0
    page = html.unescape((run / "report.html").read_text())
    assert found.sentence in page
    assert "What each lever of trial 4 brings" in page
    assert page.count('class="bar"') == 3
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert " ".join(found.sentence.split()) in " ".join(printed.split())


def test_the_search_counts_none_of_it(searched: Path, straight: Taken) -> None:
    """They are no replicates on other seeds, and a search that goes on adds its own trials."""
    from tuning.findings.summary import summary

    before = summary(Store.open(searched).frame())
    after = summary(Store.open(straight.run).frame())
    assert len(parts(straight.run)) == 6
    assert after.replicates == before.replicates
    assert after.front["number"].tolist() == before.front["number"].tolist()


def test_repeated_it_trains_nothing(done: Taken) -> None:
    """The same findings, the same rows; what was said says so."""
    run, found, rows = done.run, done.found, parts(done.run)
    again, told = taken(run)
    assert again == found
    assert told[0].endswith("every run is recorded already")
    pd.testing.assert_frame_equal(parts(run), rows)


def test_killed_and_gone_on_equals_straight(straight: Taken, run: Path) -> None:
    """The process dies within the first run, and again some runs later; the table and what is found
    are the same.
    """
    for steps in (4, 60):
        with burning_after(steps):
            taken(run)
    assert taken(run)[0] == straight.found
    pd.testing.assert_frame_equal(own_columns(parts(run)), own_columns(parts(straight.run)))
    assert not Store.open(run).in_flight()


def test_more_seeds_are_fresh_and_no_confirmations(done: Taken) -> None:
    """The trial's own, and one beyond every seed of a confirmation; the whole is trained there."""
    run, first = done.run, done.found
    found, told = taken(run, seeds=2)
    assert "7 runs" in told[0]
    assert found.seeds[0] == first.seeds[0]
    assert found.seeds[1] >= 2000
    assert len(parts(run)) == 6 + 7
    assert all(p.without and p.without.deviation is not None for p in found.pieces)


def test_nothing_to_take_apart(run: Path) -> None:
    """The own control: one sentence, nothing is trained, and the page is there."""
    none, told = taken(run, trial=0, page=True)
    assert "pulls no lever" in none.sentence
    assert not told
    assert none.pieces == ()
    assert len(parts(run)) == 0
    assert (run / "report.html").exists()


def test_a_form_that_no_trial_had_is_timed_first(run: Path) -> None:
    """Asks the plan of a list: AdamW was never met, the batch was."""
    store = Store.open(run)
    plan = ListPlan(store, ListStudy(store, []), 0.0, 1.0, at_once=1)
    adamw = TrialSpec(
        9, "confirmation", WORKLOAD, Recipe("full_update", 1.0, {"optimizer": "adamw"}), 0
    )
    assert plan.unknown_forms(adamw) == {"adamw"}
    assert not plan.unknown_forms(TrialSpec(9, "confirmation", WORKLOAD, WHOLE, 0))


@pytest.mark.parametrize(
    ("spoil", "trial", "message"),
    [
        (lambda run: None, 99, "--trial must be a trial of the search that finished, but 99"),
        (lambda run: Store.open(run).update_info(target=None), 4, "must have a target"),
        (lambda run: Store.open(run).update_info(calibration=None), 4, "must be calibrated"),
        (lambda run: shutil.rmtree(run), 4, "must be a run directory"),
    ],
)
def test_bad_input(run: Path, spoil: Callable[[Path], object], trial: int, message: str) -> None:
    """One message, and nothing was created."""
    spoil(run)
    with pytest.raises(BadInput, match=message):
        taken(run, trial)
    assert not (run / "apart.json").exists()


def test_another_device(run: Path) -> None:
    """Its seconds would be of another clock."""
    with pytest.raises(BadInput, match="this is another one"):
        take_apart(Request(run, 4), watcher=Remembering(), device=Device("another one", 2))


def test_the_headlines_recipe(run: Path) -> None:
    """A trial with half of any loss and time leads, and is the one where none is named."""
    store = Store.open(run)
    records = [store.record(number) for number in store.numbers()]
    least = min(record.val_loss or 0.0 for record in records)
    brief = min(record.train_seconds or 0.0 for record in records) / 2
    better = dataclasses.replace(records[4], number=5, val_loss=least / 2, train_seconds=brief)
    store.begin(TrialSpec(5, "sampled", WORKLOAD, WHOLE, better.seed), Task.trial(5))
    store.commit(Task.trial(5), better)
    assert plan_of(store, Request(run)).found.number == 5


def test_nothing_gains_anything(tmp_path: Path) -> None:
    """Of own controls alone there is nothing to be taken apart; the message says what to give."""
    run = tmp_path / "controls"
    search(config_of(run, workload=WORKLOAD, trials=3, target=1.0), Remembering())
    assert all(record.recipe.is_control for record in Store.open(run).records())
    with pytest.raises(BadInput, match="give --trial N to take another apart"):
        plan_of(Store.open(run), Request(run))


def test_command_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed it says how to go on, then it prints the table and where the file is."""
    monkeypatch.setattr(Device, "here", classmethod(lambda cls: DEVICE))
    monkeypatch.setattr(session, "write_report", lambda store: None)
    monkeypatch.setattr("tests.support.fuse._left", 30)
    assert command.main([str(run), "--trial", "4"]) == 130
    assert f"python -m tuning.apart {run} --trial 4 --seeds 1" in capsys.readouterr().err
    monkeypatch.setattr("tests.support.fuse._left", None)
    assert command.main([str(run), "--trial", "4"]) == 0
    printed = capsys.readouterr().out
    assert "brings" in printed
    assert f"wrote {run / 'apart.json'}" in printed
    assert json.loads((run / "apart.json").read_text())["number"] == 4


def test_bad_options(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both in one message, exit status 2."""
    assert command.main([str(run), "--trial", "best", "--seeds", "0"]) == 2
    message = capsys.readouterr().err
    assert "--trial must be a whole number of at least 0, but got 'best'" in message
    assert "--seeds must be a whole number of at least 1, but got '0'" in message

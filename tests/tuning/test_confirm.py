"""The whole confirmation on the tiny workload.

Fresh paired seeds, resumption, extension, bad input and the command line are tested.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.support import fuse
from tests.support.searches import config_of, own_columns, search
from tests.support.watch import Remembering
from tuning import confirm as command
from tuning.config.config import SearchConfig
from tuning.errors import BadInput, Interrupted
from tuning.findings.verdict import Verdict
from tuning.session import conduct
from tuning.session import confirm as confirm_run
from tuning.session.confirm import Device, Request, confirm
from tuning.store.info import Target
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.training import stopwatch
from tuning.trial.task import Task
from tuning.trial.trial import Origin, TrialRecord, TrialSpec

DEVICE = Device("fake device", 2)
SEARCHED = 12
CONTROL = [0.75, 0.875, 1.0, 1.5]


@pytest.fixture(autouse=True, scope="module")
def _fake_time() -> Iterator[None]:
    """Measured seconds count how often the watch was read, so that they are the same in every run;
    no page is drawn.

    A tick is a power of two, so that sums of them are exact wherever they begin.
    """
    clock = itertools.count(0.0, 2**-7).__next__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=clock))
        patch.setattr(confirm_run, "write_report", lambda store: None)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search, its last trial a replicate; to be copied, not changed."""
    run = tmp_path_factory.mktemp("searched") / "run"
    search(searching(run), Remembering())
    return run


def searching(run: Path, trials: int = SEARCHED) -> SearchConfig:
    return config_of(run, workload=fuse.NAME, trials=trials, replicates=0.25, space="schedule")


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    """A copy of the finished search."""
    return Path(shutil.copytree(searched, tmp_path / "run"))


def confirmed(run: Path, top: int | None = 1, seeds: int = 2) -> Verdict:
    verdict, _ = confirm(Request(run, top, seeds), watcher=Remembering(), device=DEVICE)
    return verdict


@dataclasses.dataclass(frozen=True)
class Confirmed:
    """A copy of the finished search whose best recipe was confirmed on two seeds."""

    run: Path
    verdict: Verdict


@pytest.fixture(scope="module")
def straight(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Confirmed:
    """Once, for all that read what came of it; to be copied, not changed."""
    run = Path(shutil.copytree(searched, tmp_path_factory.mktemp("straight") / "run"))
    return Confirmed(run, confirmed(run))


@pytest.fixture
def done(straight: Confirmed, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(straight.run, tmp_path / "run"))


def replicates(run: Path) -> pd.DataFrame:
    """The confirmation's, without the search's own."""
    frame = Store.open(run).frame()
    return frame[frame["origin"] == "confirmation"].reset_index(drop=True)


def schedules(frame: pd.DataFrame) -> set[tuple[str, float]]:
    return set(zip(frame["policy"], frame["horizon"], strict=True))


@pytest.fixture(scope="module")
def wide(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Confirmed:
    """Likewise with the two best recipes."""
    run = Path(shutil.copytree(searched, tmp_path_factory.mktemp("wide") / "run"))
    return Confirmed(run, confirmed(run, top=2))


def test_trains_candidates_and_control_on_fresh_paired_seeds(
    searched: Path, wide: Confirmed
) -> None:
    """Reads the table afterwards.

    Every schedule has run on every seed, none of them the search's, with dense numbers, measured.
    """
    before = Store.open(searched)
    assert before.frame()["origin"].iloc[-1] == "replicate"
    used = {*before.frame()["seed"], *(record.seed for record in before.references().values())}
    frame = replicates(wide.run)
    assert Store.open(wide.run).numbers() == list(range(SEARCHED + 2 * (4 + 2)))
    assert not used & set(frame["seed"])
    assert set(frame["seed"]) == set(wide.verdict.seeds)
    for _, own in frame.groupby("seed"):
        assert len(own) == 6
        assert sorted(own.loc[own["policy"] == "full_update", "horizon"]) == CONTROL
    assert (frame["measured_seconds"] > 0).all()
    assert wide.verdict.time == "measured"
    assert frame["forked_from_step"].isna().all()


def test_order_differs_from_seed_to_seed_and_seeds_are_whole(wide: Confirmed) -> None:
    """Seed by seed, each in an order of its own, so that a cut leaves whole seeds and drift favours
    nobody.
    """
    frame = replicates(wide.run)
    assert frame["seed"].is_monotonic_increasing
    orders = {tuple(own["horizon"]) for _, own in frame.groupby("seed")}
    assert len(orders) > 1


def test_candidates_are_the_best_of_the_front(searched: Path, straight: Confirmed) -> None:
    """The replicated schedules are members of the front that are not control."""
    from tuning.findings.front import front

    members = front(Store.open(searched).frame())
    found = straight.verdict.candidates[0]
    assert found.number in set(members.loc[members["policy"] != "full_update", "number"])


def test_verdict_is_left_in_the_run_and_on_its_page(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN/verdict.json is what was returned; the report was written anew."""
    monkeypatch.setattr(confirm_run, "write_report", conduct.write_report)
    (done / "verdict.json").unlink()
    (done / "report.html").unlink(missing_ok=True)
    verdict = confirmed(done)
    assert (done / "verdict.json").read_text() == verdict.to_json()
    assert json.loads(verdict.to_json())["seeds"] == list(verdict.seeds)
    assert (done / "report.html").exists()


def _judged(verdict: Verdict) -> Any:
    """All of it but what measured seconds say."""

    def without(facts: dict[str, Any]) -> dict[str, Any]:
        return {
            k: v for k, v in facts.items() if k not in ("predicted_over_measured", "time_spread")
        }

    return json.loads(verdict.to_json(), object_hook=without)


@pytest.mark.ray
def test_by_solo_seconds_several_at_once_are_the_same_runs(
    searched: Path, done: Path, tmp_path: Path
) -> None:
    """Two in processes of Ray's, and those that were trained one by one in this; the verdicts are
    the same.
    """
    other = Path(shutil.copytree(searched, tmp_path / "other"))
    found = {
        folder: confirm(
            Request(folder, 1, 2, time="solo", concurrency=workers),
            watcher=Remembering(),
            device=DEVICE,
        )[0]
        for folder, workers in ((done, 1), (other, 2))
    }
    assert _judged(found[done]) == _judged(found[other])
    one, two = (replicates(folder).set_index(["seed", "horizon", "policy"]) for folder in found)
    assert len(one) == len(two) == 10
    columns = ["val_loss", "train_seconds", "seconds_to_quality", "steps"]
    assert one[columns].sort_index().equals(two[columns].sort_index())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"concurrency": 2}, "add --time solo"),
        ({"concurrency": 3, "time": "solo"}, "between 1 and 2"),
    ],
)
def test_runs_at_once_that_cannot_be(run: Path, changed: dict[str, Any], said: str) -> None:
    """Measured seconds are of a run alone; cores hold so many."""
    with pytest.raises(BadInput, match=said):
        confirm(Request(run, 1, 2, **changed), watcher=Remembering(), device=DEVICE)
    assert len(replicates(run)) == 0


def test_interrupted_equals_straight(straight: Confirmed, run: Path) -> None:
    """The process dies at a training step, three times, the first as it warms up.

    Gone on with, its table and verdict are those of a straight run.
    """
    for steps in (1, 60, 60):
        with fuse.burning_after(steps):
            confirmed(run)
        assert bool(Store.open(run).in_flight()) == (steps > 1)
    assert confirmed(run) == straight.verdict
    pd.testing.assert_frame_equal(
        own_columns(replicates(run)), own_columns(replicates(straight.run))
    )
    assert not Store.open(run).in_flight()


def test_done_is_not_done_again_and_more_seeds_extend(done: Path) -> None:
    """Confirmed twice, the table is the same.

    With one seed more, the old rows are unchanged, and just that seed's are new.
    """
    run = done
    first = replicates(run)
    assert confirmed(run).seeds == tuple(sorted(set(first["seed"])))
    pd.testing.assert_frame_equal(replicates(run), first)
    confirmed(run, seeds=3)
    longer = replicates(run)
    pd.testing.assert_frame_equal(longer.iloc[: len(first)], first)
    assert len(longer) == 3 * 5
    assert set(longer.iloc[len(first) :]["seed"]) == {first["seed"].max() + 1}


def test_another_schedule_counts_those_tested_before(done: Path) -> None:
    """First one, then two: the second verdict corrects for both, and trained only what was new."""
    verdict = confirmed(done, top=2)
    assert verdict.tested == 2
    assert len(replicates(done)) == 2 * 6
    assert confirmed(done, top=1).tested == 2


class Stops(Remembering):
    """Sends what Ctrl-C sends once ``runs`` were recorded."""

    def __init__(self, runs: int) -> None:
        super().__init__()
        self.left = runs

    def ended(self, record: TrialRecord) -> None:
        super().ended(record)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_everything(run: Path) -> None:
    """A real SIGINT after three runs: Interrupted, three rows, and the rest follows."""
    with pytest.raises(Interrupted):
        confirm(Request(run, 1, 2), watcher=Stops(3), device=DEVICE)
    assert len(replicates(run)) == 3
    assert not (run / "stop").exists()
    confirmed(run)
    assert len(replicates(run)) == 10


ORIGINS: tuple[Origin, ...] = ("sampled", "replicate")


def test_the_searchs_own_tasks_are_left_alone(run: Path) -> None:
    """A search was stopped with two trials in flight, one of them a replicate.

    Confirming neither runs them nor takes their numbers.
    """
    store = Store.open(run)
    like, numbers = store.record(11), range(SEARCHED, SEARCHED + len(ORIGINS))
    for number, origin in zip(numbers, ORIGINS, strict=True):
        store.begin(TrialSpec(number, origin, like.workload, like.recipe, like.seed))
    confirmed(run)
    assert [task.task for task in Store.open(run).in_flight()] == [*map(Task.trial, numbers)]
    assert not {*numbers} & {*Store.open(run).numbers()}


def test_a_search_goes_on_after_a_confirmation(done: Path) -> None:
    """Extended by two: two rows more beside the replicates, which are not counted as trials."""
    frame = search(searching(done, SEARCHED + 2), Remembering()).trials
    assert len(frame) - len(replicates(done)) == SEARCHED + 2
    assert frame["number"].tolist() == list(range(SEARCHED + 2 + 10))


def test_a_confirmations_own_tasks_are_left_alone(run: Path) -> None:
    """It died with a run in flight.

    The search goes on without it, since beside other trials it would not be alone.
    """
    with fuse.burning_after(6):  # three of them warm up
        confirmed(run)
    (left,) = Store.open(run).in_flight()
    frame = search(searching(run, SEARCHED + 1), Remembering()).trials
    assert [task.task for task in Store.open(run).in_flight()] == [left.task]
    assert frame["number"].tolist() == [*range(SEARCHED), SEARCHED + 1]
    confirmed(run)
    assert len(replicates(run)) == 10


def refused(run: Path, **changes: object) -> str:
    """The message of a refusal, after which nothing was trained."""
    device = changes.pop("device", DEVICE)
    with pytest.raises(BadInput) as caught:
        confirm(Request(run, **changes), watcher=Remembering(), device=device)  # type: ignore[arg-type]
    assert not (run / "verdict.json").exists()
    return str(caught.value)


def test_more_schedules_than_the_front_has(run: Path) -> None:
    """The message says how many there are and what to give."""
    assert "--top must be at most" in refused(run, top=99)
    assert "got 99; give --top" in refused(run, top=99)


def test_one_seed(run: Path) -> None:
    """One seed alone shows no spread."""
    assert "seeds must be at least 2, but got 1" in refused(run, seeds=1)


def test_a_target_below_anything_reached(run: Path) -> None:
    """Given, or set by the search: the lowest loss is named and a target that would do."""
    assert "the lowest is" in refused(run, target=1e-9)
    Store.open(run).update_info(target=Target(1e-9))
    assert "give --target" in refused(run)


def test_a_changed_device_and_too_few_cores(run: Path) -> None:
    """Both faults in one message, with the names of both devices."""
    store = Store.open(run)
    assert store.info.calibration is not None
    store.update_info(calibration=dataclasses.replace(store.info.calibration, threads=8))
    message = refused(run, device=Device("another device", 2))
    assert "(fake device), but this is another device" in message
    assert "8 threads" in message


def test_no_calibration(run: Path) -> None:
    """A search that never began."""
    Store.open(run).update_info(calibration=None)
    assert "the clock must be calibrated" in refused(run)


def test_no_control(tmp_path: Path) -> None:
    """One baseline only: no shorter horizon to compare with; what to do is said."""
    run = tmp_path / "run"
    search(config_of(run, trials=1, target=1.0), Remembering())
    assert "a verdict needs the control" in refused(run)


def test_baselines_missing(tmp_path: Path) -> None:
    """A search was interrupted among its baselines.

    They come first, or a replicate would take their place.
    """
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        search(config_of(run, target=1.0), Stops(1 + 3))
    assert "must have run its 8 baselines, but" in refused(run)


def test_a_run_in_use(run: Path) -> None:
    """Another search holds the run."""
    with Lease.acquire(run):
        assert "in use" in refused(run)


def test_not_a_run(tmp_path: Path) -> None:
    """A directory without a run.json."""
    assert "must be a run directory" in refused(tmp_path)


def as_if_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm_run.Device, "here", classmethod(lambda cls: DEVICE))


Main = Callable[..., int]


def test_command_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints the tables and the sentence, writes the JSON that was asked for, and exits 0 whatever
    the verdict.
    """
    as_if_here(monkeypatch)
    file = run.parent / "verdict.json"
    assert command.main([str(run), "--top", "1", "--seeds", "2", "--json", str(file)]) == 0
    sentence = json.loads(file.read_text())["sentence"]
    out, err = capsys.readouterr()
    printed = " ".join(out.split())
    assert " ".join(sentence.split()) in printed
    first = "10 trainings: 1 recipe and your own at 4 lengths, each on 2 fresh seeds; about "
    assert first in " ".join(err.split())
    assert "; training " not in err  # which would count those of the search too
    assert "control 0.75" in printed


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        (["--top", "0"], ["--top must be a whole number of at least 1, but got '0'"]),
        (["--seeds", "1"], ["--seeds must be a whole number of at least 2, but got '1'"]),
        (
            ["--top", "few", "--seeds", "2.5", "--target", "inf", "--json", "/no/such/place/f"],
            [
                "--top",
                "--seeds",
                "--target must be a finite number",
                "--json must lie in a directory that exists",
            ],
        ),
    ],
)
def test_bad_options(
    run: Path, options: list[str], faults: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one message with every fault."""
    assert command.main([str(run), *options]) == 2
    message = capsys.readouterr().err
    assert all(fault in message for fault in faults)


def test_interrupted_command_says_how_to_go_on(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 130 with the command, options and all."""
    as_if_here(monkeypatch)
    with fuse.burning_after(3):
        pass
    fuse._left = 3
    try:
        assert command.main([str(run), "--top", "1", "--seeds", "2"]) == 130
    finally:
        fuse._left = None
    go_on = f"python -m tuning.confirm {run} --top 1 --seeds 2 --time measured"
    assert go_on in capsys.readouterr().err

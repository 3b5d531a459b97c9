"""``python -m tuning.export``: what it writes loads as the policy that ran."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from models.levers.levers import NO_LEVERS, load_levers, make_levers
from models.levers.optimizer import Optimization
from policies.registry import make_policy
from policies.settings import load_policy
from tests.support import tiny
from tests.support.frames import record, search_records
from tests.support.runs import write_run
from tests.support.searches import config_of, search
from tuning import load_recipe
from tuning.export import chosen, main, settings_text
from tuning.store.store import Store
from tuning.training.generators import seed_all
from tuning.training.loop import evaluate


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 48 trials: 37 is first at the target, 11 failed, 13 was stopped."""
    return write_run(tmp_path_factory.mktemp("runs") / "mine", search_records())


def test_every_finished_trial_survives_the_way_through_toml(run: Path, tmp_path: Path) -> None:
    """The policy that is loaded equals the one that the trial's knobs make.

    The command is tried for one of each policy.
    """
    frame = Store.open(run).frame()
    for trial in search_records():
        if trial.state == "finished":
            text = settings_text(chosen(frame, trial.number))
            assert load_policy(text) == make_policy(trial.recipe.policy, trial.recipe.knobs)
    for number in (0, 6, 37):
        file = tmp_path / f"{number}.toml"
        assert main([str(run), "--trial", str(number), "-o", str(file)]) == 0
        assert load_policy(file) == load_policy(settings_text(chosen(frame, number)))


def test_levers_survive_the_way_through_toml(tmp_path: Path) -> None:
    """They stand beside the policy, which does not read them.

    A trial without levers has none in its file.
    """
    row = {
        "number": 3,
        "policy": "dynamic_suffix",
        "knob_levels": 3,
        "knob_approximation": "svd",
        "knob_dense_from": 0.6,
    }
    file = tmp_path / "levered.toml"
    file.write_text(settings_text(row))
    assert load_levers(file) == make_levers({"approximation": "svd", "dense_from": 0.6})
    assert load_policy(file) == make_policy("dynamic_suffix", {"levels": 3})
    numbers = {"optimizer": "muon", "rate": 2.5, "newton_schulz_steps": 3, "decay_added": 0.25}
    file.write_text(settings_text(row | {f"knob_{name}": each for name, each in numbers.items()}))
    assert load_levers(file).of(Optimization) == Optimization(
        optimizer="muon", rate=2.5, newton_schulz_steps=3, decay_added=0.25
    )
    file.write_text(settings_text({**row, "knob_approximation": "none"}))
    assert load_levers(file) == NO_LEVERS
    assert "[levers]" not in file.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[levers]\nthreshold = 0.5", r"must hold only .* but got \['threshold'\]"),
        ("[levers]\napproximation = 'magic'", "approximation must be one of"),
        ("[levers", "must be a readable TOML file"),
    ],
)
def test_levers_that_cannot_be_read_are_named(tmp_path: Path, text: str, said: str) -> None:
    """One clear message each."""
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_levers(file)


def test_best_is_the_searchs_leader(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output: the policy, its knobs, and where they come from."""
    assert main([str(run), "--trial", "best"]) == 0
    printed = capsys.readouterr()
    data = tomllib.loads(printed.out)
    assert data["policy"] == "dynamic_suffix"
    assert data["trial"]["number"] == 37
    assert data["trial"]["workload"] == "byte_lm"
    assert data["trial"]["target_loss"] == 1.95
    assert printed.err == ""


def test_best_gains_most_and_is_not_the_first_at_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is just there before the control, one has at the control's time what that has after
    twice as long: the headline's, and a confirmation's.
    """
    full = {"policy": "full_update", "origin": "control"}
    records = [
        record(0, 4.0, 2.00, **full, horizon=0.5),
        record(1, 8.0, 1.90, **full, horizon=1.0),
        record(2, 16.0, 1.80, **full, horizon=2.0),
        record(3, 5.5, 1.945),
        record(4, 8.0, 1.80),
    ]
    mine = write_run(tmp_path / "run", records)
    assert main([str(mine), "--trial", "best"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["trial"]["number"] == 4


def test_best_without_the_target_is_the_lowest_loss_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials above the target, one of them lower."""
    mine = write_run(tmp_path / "run", [record(0, 5.0, 2.0), record(1, 6.0, 1.99)])
    assert main([str(mine), "--trial", "best"]) == 0
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["trial"]["number"] == 1
    assert (
        "no finished trial reached the target 1.950: taking the lowest loss, 1.990 of trial 1"
        in printed.err
    )


def test_where_nothing_won_the_control_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A schedule at the control's own seconds; asked for by its number it is written all the
    same.
    """
    control = {"policy": "full_update", "origin": "control", "horizon": 0.5}
    records = [record(0, 5.0, 1.94, **control), record(1, 4.999, 1.94)]
    mine = write_run(tmp_path / "run", records)
    assert main([str(mine), "--trial", "best"]) == 0
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["trial"]["number"] == 0
    assert "no recipe beat training for less: taking the control" in printed.err
    assert "trial 0, at horizon 0.5" in printed.err
    assert main([str(mine), "--trial", "1"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["trial"]["number"] == 1


@pytest.mark.parametrize(
    ("knobs", "called"),
    [
        ({"rate": 2.0}, "Tuning"),
        ({"depth_start": 0.5, "depth_end": 0.5}, "A smaller model"),
    ],
)
@pytest.mark.parametrize("schedule", [4.5, 9.0])
def test_a_rival_is_taken_where_it_is_what_wins_and_that_is_said(
    knobs: dict[str, float],
    called: str,
    schedule: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A control that is tuned or smaller gains more than the best recipe, or than none."""
    full = {"policy": "full_update", "origin": "control"}
    records = [
        record(0, 8.0, 1.90, **full, horizon=1.0),
        record(1, 5.0, 1.94, **full, horizon=0.6),
        record(2, 3.0, 2.10, **full, horizon=0.4),
        record(3, schedule, 1.94),
        record(4, 4.0, 1.93, policy="full_update", horizon=0.5, knobs=knobs),
    ]
    mine = write_run(tmp_path / "run", records)
    assert main([str(mine), "--trial", "best"]) == 0
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["trial"]["number"] == 4
    assert f"{called} is what wins: taking trial 4" in printed.err


def test_a_rival_that_is_slower_than_the_control_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tuned run above the own control's line, and nothing else."""
    full = {"policy": "full_update", "origin": "control"}
    records = [
        record(0, 5.0, 1.94, **full, horizon=0.6),
        record(1, 3.0, 2.10, **full, horizon=0.4),
        record(2, 6.0, 1.945, policy="full_update", horizon=0.7, knobs={"rate": 2.0}),
    ]
    mine = write_run(tmp_path / "run", records)
    assert main([str(mine), "--trial", "best"]) == 0
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["trial"]["number"] == 0
    assert "no recipe beat training for less" in printed.err


def test_a_searched_trial_is_repeated_by_its_file(tmp_path: Path) -> None:
    """A real search's trial, taken by ``load_recipe`` into a plain loop: its steps and its loss."""
    found = search(config_of(tmp_path / "run", trials=2, target=1.5))
    row = found.trials.iloc[-1]
    file = tmp_path / "recipe.toml"
    assert main([str(tmp_path / "run"), "--trial", str(row["number"]), "-o", str(file)]) == 0
    said = tomllib.loads(file.read_text())
    assert said["baseline"]["lr"] == [0.01]
    assert said["trial"]["train_seconds"] == row["train_seconds"]
    seed_all(int(row["seed"]))
    model = tiny.make_model(int(row["seed"]))
    run = load_recipe(file).apply(
        model, tiny.blocks(model), tiny.make_optimizer(model), batch_at=tiny.batch_at
    )
    for batch in run.batches():
        with run.step() as step:
            loss = tiny.loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            step.observe(loss)
    with run.averaged():
        value = evaluate(tiny.tiny(), model)
    assert (run.steps, value) == (row["steps"], row["val_loss"])


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            "first",
            "--trial must be a trial's number, a whole number >= 0, or best, but got 'first'",
        ),
        ("-1", "--trial must be a trial's number, a whole number >= 0, or best, but got '-1'"),
        (
            "99",
            "--trial must be a recorded trial's number or best, but got 99; recorded are 48 trials",
        ),
        ("11", "--trial must be a finished trial, but trial 11 failed"),
        ("13", "--trial must be a finished trial, but trial 13 was stopped"),
    ],
)
def test_a_trial_that_cannot_be_exported_is_named(
    run: Path, tmp_path: Path, trial: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and no file."""
    assert main([str(run), f"--trial={trial}", "-o", str(tmp_path / "x.toml")]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_none_and_one_without_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one clear message."""
    assert main([str(tmp_path / "no"), "--trial", "best"]) == 2
    assert "must be a run directory" in capsys.readouterr().err
    empty = write_run(tmp_path / "empty", [])
    for trial in ("best", "0"):
        assert main([str(empty), "--trial", trial]) == 2
        assert "the run has no recorded trials yet" in capsys.readouterr().err


def test_settings_that_this_version_does_not_know_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A knob and a policy of some other version."""
    records = [record(0, 5.0, 2.0, knobs={"of_old": 3}), record(1, 5.0, 2.0, policy="of_old")]
    mine = write_run(tmp_path / "run", records)
    for trial in ("0", "1"):
        assert main([str(mine), "--trial", trial]) == 2
        assert "of_old" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that does not exist, and one in place of the file."""
    for output in (tmp_path / "no" / "x.toml", tmp_path):
        assert main([str(run), "--trial", "best", "-o", str(output)]) == 2
        assert "-o must be a writable file" in capsys.readouterr().err

"""The studies of single knobs: their files, the arithmetic of their tables, and one whole study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import study
from benchmarks.studies.plan import (
    CONTROL_HORIZONS,
    FOLDER,
    STUDIES,
    Job,
    Study,
    control_job,
    jobs_of,
    value_job,
)
from benchmarks.studies.runs import RUNS, Done, clock, create_runs, recorded, train
from benchmarks.studies.tables import (
    base_rows,
    control_rows,
    depths_of,
    gain_rows,
    search_rows,
    two_sided,
)
from search_spaces.knobs import Fixed
from tests.support.costs import made_up_costs
from tests.support.searches import search
from tuning.config.arguments import NewSearch, parse
from tuning.config.config import SearchConfig
from tuning.findings.paired import holm, t_interval
from tuning.layout import TRIALS
from tuning.session.listed import Subject
from tuning.trial.trial import Decision

TINY = "tests.support.tiny:tiny"
SEEDS = (1000, 1001, 1002)
every_study = pytest.mark.parametrize("this", STUDIES.values(), ids=list(STUDIES))


def config_of(this: Study, *flags: str) -> SearchConfig:
    request = parse(["--config", str(this.toml), *flags])
    assert isinstance(request, NewSearch)
    return request.config


def test_every_file_is_a_study() -> None:
    """One TOML file for each name, and none beside them."""
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(STUDIES)


@every_study
def test_the_command_line_takes_the_file_and_searches_what_is_studied(this: Study) -> None:
    """The search's own parser finds no fault.

    The knobs left free are those under study, and hold every value.
    """
    space = config_of(this).search_space()
    assert tuple(sorted(k.name for k in space.searched)) == tuple(sorted(this.knobs))
    for value in this.values:
        assert all(
            space.knob(name).contains(setting)
            for name, setting in zip(this.knobs, value, strict=True)
        )


def test_all_studies_have_one_base() -> None:
    """The first value of each, with what its file fixes, is the same schedule.

    So it is trained once.
    """
    bases = [this.settings(this.values[0]) for this in STUDIES.values()]
    assert all(base == bases[0] for base in bases)
    jobs = jobs_of(list(STUDIES.values()), TINY, SEEDS)
    values = sum(len(this.values) - 1 for this in STUDIES.values()) + 1
    assert len(jobs) == len(set(jobs)) == len(SEEDS) * (values + len(CONTROL_HORIZONS))


@every_study
def test_files_differ_from_the_base_in_nothing_else(this: Study) -> None:
    """Every knob that a file fixes has the base's value."""
    base = this.settings(this.values[0])
    fixed = {k.name: k.value for k in config_of(this).search_space().knobs if isinstance(k, Fixed)}
    assert fixed.pop("horizon") == 1.0
    assert fixed == {name: base[name] for name in fixed}


CADENCE = replace(STUDIES["cadence"], values=STUDIES["cadence"].values[:4])
LOSSES = ((2.0, 2.1, 2.2), (2.1, 2.3, 2.2), (1.9, 2.0, 2.1), (2.0, 2.1, 2.2))
"""Of the base and three more values on three seeds."""


def made_up_runs() -> dict[Job, Done]:
    """The control's loss is 2 − log2(horizon) on every seed.

    A value's are ``LOSSES``, after 8 of its 10 seconds.
    """
    runs = [
        Done(control_job(TINY, h, seed), 10 * h, 2.0 - float(np.log2(h)), 20, 0, 1.0)
        for h in CONTROL_HORIZONS
        for seed in SEEDS
    ]
    for value, losses in zip(CADENCE.values, LOSSES, strict=True):
        for seed, loss in zip(SEEDS, losses, strict=True):
            job = value_job(CADENCE, value, TINY, seed)
            runs.append(
                Done(
                    job,
                    8.0,
                    loss,
                    30,
                    3,
                    0.5,
                    (
                        Decision(0, 4, "full"),
                        Decision(3, 2, "reduced"),
                        Decision(4, 4, "reduced"),
                    ),
                )
            )
    return {run.job: run for run in runs}


def test_differences_to_the_base_by_hand() -> None:
    """The mean of 0.1, 0.2 and 0 with scipy's interval, by way of ``t_interval``.

    Of a constant difference only the sign is known: 2⁻³ on either side, before Holm's correction.
    """
    base, more, less, same = base_rows(CADENCE, made_up_runs(), TINY, SEEDS)
    assert (base["probe_every"], base["seeds"], base["loss"], base["over base"]) == (
        25,
        3,
        pytest.approx(2.1),
        None,
    )
    assert more["over base"] == pytest.approx(0.1)
    assert (more["low"], more["high"]) == pytest.approx(t_interval(np.array([0.1, 0.2, 0.0])))
    assert less["over base"] == pytest.approx(-0.1)
    assert less["p"] == pytest.approx(holm([two_sided([0.1, 0.2, 0.0]), 2 * 0.5**3, 1.0])[1])
    assert (same["over base"], same["p"]) == (0.0, 1.0)
    assert (base["steps"], base["probes"], base["active"], base["depths"]) == (30, 3, 0.5, "2")


def test_gain_over_the_control_by_hand() -> None:
    """A loss of 2 + log2(1/h) is the control's after 10·h seconds.

    The gain is 10/8, or a bound where the loss is beyond the control's losses.
    """
    base, _, less, _ = gain_rows(CADENCE, made_up_runs(), TINY, SEEDS)
    expected = np.prod([10 / 2**over / 8 for over in (0.0, 0.1, 0.2)]) ** (1 / 3)
    assert base["gain"] == pytest.approx(expected)
    assert base["control's seconds"] == pytest.approx(
        np.mean([10 / 2**over for over in (0.0, 0.1, 0.2)])
    )
    assert base["below control"] == pytest.approx(
        np.mean([2.0 - np.log2(0.8) - loss for loss in LOSSES[0]])
    )
    assert base["gain, low"] < base["gain"] < base["gain, high"]
    assert (less["bound"], less["gain, high"]) == ("at least", None)


def test_a_run_that_failed_is_left_out_and_seen() -> None:
    """The counts of seeds say so; nothing is averaged over what is not there."""
    runs = made_up_runs()
    lost = value_job(CADENCE, CADENCE.values[1], TINY, SEEDS[1])
    runs[lost] = replace(runs[lost], loss=None)
    short = control_job(TINY, CONTROL_HORIZONS[0], SEEDS[2])
    runs[short] = replace(runs[short], loss=None)
    assert [row["seeds"] for row in base_rows(CADENCE, runs, TINY, SEEDS)] == [3, 2, 3, 3]
    assert [row["seeds"] for row in gain_rows(CADENCE, runs, TINY, SEEDS)] == [2, 1, 2, 2]
    assert [row["seeds"] for row in control_rows(runs, TINY, SEEDS)] == [2, 3, 3, 3]


def test_two_sided_p_is_twice_the_smaller_side() -> None:
    """Symmetric in the sign, 1 where nothing differs or nothing can be said."""
    assert two_sided([1.0, 3.0]) == pytest.approx(two_sided([-1.0, -3.0]))
    assert two_sided([1.0, 3.0]) == pytest.approx(2 * (0.5 - np.arctan(2.0) / np.pi))
    assert two_sided([0.0, 0.0]) == two_sided([0.5]) == two_sided([]) == 1.0


def test_depths_are_those_of_reduced_steps() -> None:
    """Full steps of probes and of the other phases are no depth of the schedule."""
    run = next(run for run in made_up_runs().values() if run.decisions)
    assert (
        depths_of(
            [run, replace(run, decisions=(Decision(0, 4, "full"), Decision(5, 3, "reduced")))]
        )
        == "2 3"
    )
    assert depths_of([]) == ""


def test_what_is_recorded_is_not_trained_again(tmp_path: Path) -> None:
    """A job is on disk, and then a record that a kill cut short.

    Only what is missing is trained, and both can be read afterwards.
    """
    create_runs(tmp_path, Subject.find(TINY), made_up_costs())
    first, second = control_job(TINY, 0.5, 3), value_job(CADENCE, CADENCE.values[2], TINY, 3)
    told: list[Done] = []
    train([first], tmp_path, 1, told.append)
    assert recorded(tmp_path) == {first: told[0]}
    (tmp_path / RUNS / TRIALS / "00000001.parquet").write_bytes(b"PAR1 torn")
    train([first, second], tmp_path, 1, told.append)
    assert [done.job for done in told] == [first, second]
    assert recorded(tmp_path) == {first: told[0], second: told[1]}


def test_a_search_is_told_by_the_knob_under_study(tmp_path: Path) -> None:
    """The file's whole search runs on the tiny workload.

    There is a row for each sampled trial, ordered by the knob.
    """
    config = config_of(
        CADENCE, "--run", str(tmp_path / "run"), "--workload", TINY, "--driver", "serial"
    )
    trials = search(replace(config, trials=12, target=1.0, rung=0.0)).trials
    rows = search_rows(CADENCE, trials)
    sampled = trials.loc[trials["origin"] == "sampled", "number"].tolist()
    assert len(sampled) >= 2
    assert sorted(row["trial"] for row in rows) == sampled
    cadences = [row["probe_every"] for row in rows]
    assert cadences == sorted(cadences)
    assert all(0 < row["active"] <= 1 and row["below control"] is not None for row in rows)


def test_quick_from_start_to_end(tmp_path: Path) -> None:
    """The clock, runs, tables and JSON are all made.

    A second study in the same directory trains only what the first did not.
    """
    file, folder = tmp_path / "out.json", tmp_path / "studies"
    flags = ["--dir", str(folder), "--workload", TINY, "--quick", "--workers", "1"]
    study.main(["levels", *flags, "--json", str(file)])
    base, gain, control = json.loads(file.read_text())["tables"].values()
    assert [row["levels"] for row in base] == [row["levels"] for row in gain] == [4, 1, 8]
    assert [row["horizon"] for row in control] == list(CONTROL_HORIZONS)
    assert all(row["seeds"] == 2 for row in (*base, *gain, *control))
    measured, known = clock(folder, TINY), recorded(folder)
    study.main(["recovery", *flags])
    assert clock(folder, TINY) == measured
    assert len(recorded(folder)) == len(known) + 2 * (len(STUDIES["recovery"].values) - 1)
    assert known.items() <= recorded(folder).items()


def test_a_clock_of_another_workload_is_refused(tmp_path: Path) -> None:
    """The directory's clock charges one workload; the message names both."""
    costs = replace(made_up_costs(), key={"workload": "another"})
    create_runs(tmp_path, Subject.find(TINY), costs)
    with pytest.raises(ValueError, match=r"workload another, and this is workload tiny"):
        clock(tmp_path, TINY)


def test_too_few_seeds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An interval needs two; nothing is made."""
    with pytest.raises(SystemExit):
        study.main(["levels", "--dir", str(tmp_path / "no"), "--seeds", "1"])
    assert "seeds >= 2 must hold, but got 1" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()

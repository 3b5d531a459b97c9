"""A search's configuration: JSON, every fault at once, and what a resumed search must keep."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from search_spaces.narrow import narrow
from search_spaces.registry import find_space
from tuning.config.config import SearchConfig, default_run
from tuning.config.faults import config_faults, faults_of_space
from tuning.config.resources import Machine
from tuning.config.resume import differences

CPU = Machine(cpus=4)


def no_workload(name: str, corpus: Path | None) -> object:
    """Stands for a registry in which every name is a workload."""
    return object()


def unknown_workload(name: str, corpus: Path | None) -> object:
    """Stands for a registry without workloads."""
    raise ValueError(f"workload must be one of ['byte_lm'], but got {name!r}")


def faults(run: Path, machine: Machine = CPU, **options: Any) -> list[str]:
    return config_faults(SearchConfig(str(run), **options), machine, no_workload)


def test_defaults_have_no_fault_and_create_nothing(tmp_path: Path) -> None:
    """Looks at the directory after asking."""
    assert faults(tmp_path / "a" / "run") == []
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Bytes of a path that are not UTF-8, as the system hands them over: all are named."""
    name = os.fsdecode(b"caf\xe9")
    found = faults(tmp_path / name, workload=f"{name}.py:make")
    assert [fault.split()[0] for fault in found] == ["run", "workload"]
    assert list(tmp_path.iterdir()) == []


def test_json_there_and_back() -> None:
    """Writes every option with a value of its own and reads it back."""
    config = SearchConfig(
        "r",
        target=1.5,
        forks=False,
        concurrency=2,
        knobs={"ema_beta": 0.9, "gate": {"choices": [True]}},
        device_choices={"relevance": ["ratio"]},
    )
    assert SearchConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("trials", 0, "a whole number trials >= 1 must hold, but got 0"),
        ("trials", "many", "a whole number trials >= 1 must hold, but got 'many'"),
        ("trials", 2.5, "a whole number trials >= 1 must hold, but got 2.5"),
        ("trials", True, "but got True"),
        ("trials", None, "but got None"),
        ("seed", -1, "a whole number 0 <= seed < 2**62 must hold, but got -1"),
        ("target", "low", "target must be a finite loss or auto, but got 'low'"),
        ("target", float("nan"), "target must be a finite loss or auto, but got nan"),
        ("seed", 2**62, "a whole number 0 <= seed < 2**62 must hold"),
        ("replicates", 0.6, "a share 0 <= replicates <= 0.5 must hold, but got 0.6"),
        ("replicates", -0.1, "a share 0 <= replicates <= 0.5 must hold, but got -0.1"),
        ("replicates", float("nan"), "but got nan"),
        ("replicates", "few", "but got 'few'"),
        ("concurrency", 0, "a whole number concurrency >= 1 must hold, but got 0"),
        (
            "gpus_per_trial",
            -0.5,
            "a number 0 <= gpus-per-trial < 1 or a whole number of GPUs must hold, but got -0.5",
        ),
        ("gpus_per_trial", 1.5, "but got 1.5"),
        ("gpus_per_trial", 0.5, "gpus-per-trial needs a GPU, but got 0.5 where there is none"),
        ("cpus_per_trial", 0, "a finite number cpus-per-trial > 0 must hold, but got 0"),
        ("cpus_per_trial", 9, "concurrency × cpus-per-trial <= 4 usable cores must hold"),
        (
            "time_budget",
            float("inf"),
            "a finite number of seconds time-budget > 0 must hold, but got inf",
        ),
        ("sampler", "tpee", "sampler must be one of auto, tpe, gp, nsga2, random, but got 'tpee'"),
        ("driver", "dask", "driver must be one of ray, serial, but got 'dask'"),
        ("driver", ["ray"], "driver must be one of ray, serial, but got ['ray']"),
        ("objective", "loss", "objective must be one of pareto, time-to-quality, but got 'loss'"),
        ("space", "static", "did you mean 'static_suffix'?"),
        ("space", 3, "space must be a name, but got 3"),
        ("workload", 3, "workload must be a name, but got 3"),
        ("knobs", {"ema_beta": {"low": 0.9, "high": 0.1}}, "ema_beta: low <= high must hold"),
        ("knobs", 3, "knobs must be a table, but got 3"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, option: str, value: Any, rule: str) -> None:
    """One message, with the rule and the value."""
    (fault,) = faults(tmp_path / "run", **{option: value})
    assert rule in fault


def test_a_rung_that_would_go_unheeded_is_refused(tmp_path: Path) -> None:
    """In a new search; one that was begun so goes on."""
    (fault,) = faults(tmp_path / "run", rung=0.25, objective="pareto")
    assert "rung must come with the objective time-to-quality, but got 0.25 with pareto" in fault
    begun = SearchConfig(str(tmp_path / "run"), rung=0.25, objective="pareto")
    assert config_faults(begun, CPU, no_workload, resuming=True) == []


def test_all_faults_come_together(tmp_path: Path) -> None:
    """An existing directory, an unknown workload, sampler and knob, and two numbers out of range.

    There is a message for each of the six.
    """
    bad: dict[str, Any] = {
        "workload": "w",
        "sampler": "s",
        "trials": 0,
        "time_budget": "soon",
        "knobs": {"nob": 1},
    }
    config = SearchConfig(str(tmp_path), **bad)
    found = config_faults(config, CPU, unknown_workload)
    assert len(found) == 6
    for text in (
        "must not exist yet",
        "workload must be",
        "sampler must be",
        "trials >= 1",
        "'soon'",
        "'nob'",
    ):
        assert any(text in fault for fault in found)


def test_an_existing_run_is_refused_with_the_way_to_resume(tmp_path: Path) -> None:
    """A run is to be resumed; any other directory is to be left alone."""
    assert "choose another" in faults(tmp_path)[0]
    (tmp_path / "run.json").write_text("{}")
    assert f"--resume {tmp_path}" in faults(tmp_path)[0]


def test_a_run_under_a_file_is_refused(tmp_path: Path) -> None:
    """The parent of the parent is a file."""
    (tmp_path / "file").touch()
    assert "is a file" in faults(tmp_path / "file" / "a" / "run")[0]


def test_a_parent_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says no (as it would not to root, as which tests may run)."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "must be writable" in faults(tmp_path / "run")[0]


def test_a_cluster_is_not_judged_by_this_machine(tmp_path: Path) -> None:
    """GPUs may be on the nodes of the cluster that is joined."""
    assert faults(tmp_path / "run", address="10.0.0.1:6379", gpus_per_trial=0.5) == []


def test_resuming_leaves_the_directory_alone(tmp_path: Path) -> None:
    """Its existence is then no fault."""
    assert config_faults(SearchConfig(str(tmp_path)), CPU, no_workload, resuming=True) == []


def test_the_embedded_workload_is_looked_up(tmp_path: Path) -> None:
    """With the real registry: an unknown name, and an empty corpus."""
    assert any(
        "workload" in fault
        for fault in config_faults(SearchConfig(str(tmp_path / "r"), workload="byte_ml"), CPU)
    )
    (tmp_path / "empty").mkdir()
    assert config_faults(SearchConfig(str(tmp_path / "r"), corpus=str(tmp_path / "empty")), CPU)


def test_differences_name_each_thing_a_resumed_search_must_keep() -> None:
    """Changes what must stay and what may change, and the data."""
    old = SearchConfig("r")
    new = dataclasses.replace(
        old, space="schedule", seed=4, target=1.0, trials=64, driver="serial", concurrency=3
    )
    found = differences(old, new, [("data", "abc", "def"), ("calibration", "x", "x")])
    assert len(found) == 4
    assert "must keep its space, which was 'recipe', but got 'schedule'" in found[0]
    assert any("data, which was 'abc', but got 'def'" in text for text in found)
    assert differences(old, old) == []


def test_the_default_directory_is_named_by_time_and_task() -> None:
    """A user's own workload makes no folder of its own."""
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    expected = Path("runs") / "20260304T050607Z-my.pkg-make-schedule"
    assert Path(default_run(now, "my.pkg:make", "schedule")) == expected


def test_the_space_and_resources_are_those_configured() -> None:
    """Narrowed, and shared."""
    config = SearchConfig("r", knobs={"gate": False}, concurrency=2)
    assert [k.name for k in config.search_space().searched if k.name.startswith("stability")] == []
    assert config.resources(CPU).concurrency == 2


def test_choices_left_by_the_device_narrow_what_was_asked_for(tmp_path: Path) -> None:
    """What is left of a knob takes the place of what was given for it, other knobs keep theirs.

    A resume keeps both.
    """
    asked = SearchConfig(
        str(tmp_path),
        space="attention",
        knobs={"horizon": 1.0, "dtype": {"choices": ["bfloat16", "float32"]}},
    )
    config = dataclasses.replace(asked, device_choices={"dtype": ["float32"], "compiled": [False]})
    space = config.search_space()
    assert [space.knob(name).values() for name in ("horizon", "dtype", "compiled")] == [
        (1.0,),
        ("float32",),
        (False,),
    ]
    assert config_faults(config, CPU, no_workload, resuming=True) == []
    assert "must keep its device_choices" in differences(config, asked)[0]


@pytest.mark.parametrize(
    ("left", "looked"),
    [
        ({"dtype": ["float32"], "compiled": [False]}, False),
        ({"dtype": ["float31"]}, True),
        ({"no_knob": [1]}, True),
    ],
)
def test_a_part_of_an_embedded_space_is_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, list[Any]], looked: bool
) -> None:
    """Whether the knobs are looked at together, and that no fault is missed where they are not."""
    seen: list[object] = []

    def looking(space: Any, overrides: Any) -> Any:
        seen.append(overrides)
        return narrow(space, overrides)

    monkeypatch.setattr("tuning.config.faults.narrow", looking)
    config = SearchConfig(str(tmp_path), space="attention", device_choices=left)
    assert (faults_of_space(config) != [], seen != []) == (looked, looked)
    choices = {name: {"choices": values} for name, values in left.items()}
    assert (narrow(find_space("attention"), choices)[1] != []) == looked


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_longer_moves_the_horizons_and_nothing_else(factor: float, tmp_path: Path) -> None:
    """Both ends, and with them where the controls begin; 1 is the space as it was."""
    plain = SearchConfig(str(tmp_path / "run"))
    config = dataclasses.replace(plain, longer=factor)
    assert config_faults(config, CPU, no_workload) == []
    ours, own = config.search_space().knobs, plain.search_space().knobs
    assert [k.name for k in ours if k not in own] == ["horizon"]
    ends = {k.name: k.values() for k in ours}["horizon"]
    assert ends == (0.5 * factor, 1.0 * factor)
    assert dataclasses.replace(plain, longer=1).search_space() == plain.search_space()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"longer": 0}, "a number longer > 0 must hold, but got 0"),
        ({"longer": "twice"}, "a number longer > 0 must hold, but got 'twice'"),
        (
            {"longer": 2.0, "knobs": {"horizon": 1.0}},
            "one of --longer and [knobs] horizon must be given, but got both (2.0, 1.0)",
        ),
    ],
)
def test_horizons_that_cannot_be(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    """One message each, before anything is created."""
    assert config_faults(SearchConfig(str(tmp_path / "run"), **given), CPU, no_workload) == [said]

"""The workload's own knobs in a search's space, and what is refused before anything is created."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from models.knobs import Float, Int
from models.registry import find_workload
from models.workload import Workload
from search_spaces.knobs import Choice, Fixed
from search_spaces.registry import all_spaces, find_space
from search_spaces.rules import space_faults
from tests.support.tiny import tiny
from tuning.config.config import SearchConfig
from tuning.config.faults import config_faults
from tuning.config.own import OWN_GATE, name_faults, space_for
from tuning.config.resources import Machine
from tuning.config.resume import Resume, refusals
from tuning.errors import BadInput
from tuning.session.search import run_search
from tuning.study.baselines import baseline_specs, knob_columns

KNOBBY = "tests.support.knobby:make"
HERE = f"{__name__}:"
CPU = Machine(cpus=2, gpus=0)


def config(workload: str = KNOBBY, **options: Any) -> SearchConfig:
    """A search with the serial driver of a run that does not exist."""
    return SearchConfig("nowhere/run", workload=workload, driver="serial", **options)


def faults(workload: str, **knobs: object) -> list[str]:
    """All that is wrong with a search of the workload and these ranges, in a small space."""
    return config_faults(config(workload, space="static_suffix", knobs=knobs), CPU)


@pytest.mark.parametrize("name", all_spaces())
def test_every_space_has_them_behind_a_gate(name: str) -> None:
    space = space_for(find_space(name), KNOBBY)
    last = space.knobs[-4:]
    assert [k.name for k in last] == [OWN_GATE, "dropout", "width", "layers"]
    assert all(k.when == {OWN_GATE: (True,)} for k in last[1:])
    assert space.own == {"dropout": 0.0, "width": 16, "layers": 4}
    assert space.fingerprint() != find_space(name).fingerprint()


def test_a_space_with_them_is_sound() -> None:
    assert space_faults(space_for(find_space("tune"), KNOBBY)) == []


def test_a_space_of_a_workload_without_any_is_the_same() -> None:
    assert space_for(find_space("recipe"), "byte_lm") is find_space("recipe")


def test_what_is_not_turned_is_no_part_of_a_recipe() -> None:
    """So that the workload as it is has one recipe; and back."""
    space = space_for(find_space("tune"), KNOBBY)
    params = space.params_of("full_update", 0.75, {"width": 40})
    assert params is not None
    assert (params[OWN_GATE], params["width"], params["layers"]) == (True, 40, 4)
    policy, horizon, knobs = space.split(params)
    assert (policy, horizon, knobs["width"]) == ("full_update", 0.75, 40)
    assert not knobs.keys() & {OWN_GATE, "dropout", "layers"}
    own = space.params_of("full_update", 0.75, {})
    assert own is not None
    assert own[OWN_GATE] is False


def test_a_recipe_of_another_workloads_knobs_is_no_point() -> None:
    assert find_space("tune").params_of("full_update", 1.0, {"width": 40}) is None


def test_baselines_turn_none_and_columns_have_all() -> None:
    space = config(space="recipe").search_space()
    assert not any(spec.recipe.own for spec in baseline_specs("w", 0, space=space))
    kinds = knob_columns(space)
    assert [kinds[name] for name in ("dropout", "width", "layers")] == ["float", "int", "int"]
    assert OWN_GATE not in kinds


def test_ranges_of_a_user_narrow_them() -> None:
    given = {"width": {"high": 32}, "layers": 2, OWN_GATE: True}
    assert faults(KNOBBY, **given) == []
    space = config(knobs=given).search_space()
    assert space.knob("width").values() == (16, 32)
    assert isinstance(space.knob("layers"), Fixed)
    gate = space.knob(OWN_GATE)
    assert isinstance(gate, Choice)
    assert gate.choices == (True,)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"width": 8}, "width: values must be a whole number from 16 to 64, as the workload"),
        ({"width": {"high": 128}}, "but got 128"),
        ({"width": 20.5}, "width must be a whole number"),
        ({"layers": {"choices": [2, 3]}}, "layers: values must be one of [2, 4]"),
        ({"widht": 20}, "did you mean 'width'?"),
    ],
)
def test_ranges_that_the_workload_does_not_declare(knobs: dict[str, Any], message: str) -> None:
    (fault,) = faults(KNOBBY, **knobs)
    assert message in fault


def taken(
    *,
    rate: Annotated[float, Float(1.0, 2.0)] = 1.0,
    threshold: Annotated[float, Float(0.0, 2.0)] = 1.0,
    horizon: Annotated[float, Float(1.0, 2.0)] = 1.0,
) -> Workload:
    """Names of a lever's, of a policy's, of the search's own."""
    return tiny()


def undeclared(*, width: Annotated[int, Int]) -> Workload:
    """Neither a range nor a default."""
    return tiny()


def longer(*, width: Annotated[int, Int(1, 4)] = 2) -> Workload:
    """Other steps with another width."""
    return replace(tiny(), steps=30 * width)


def test_names_of_others_are_refused_together() -> None:
    found = faults(f"{HERE}taken")
    assert [fault.split()[1] for fault in found] == ["rate", "threshold", "horizon"]
    assert all("must have a name that no lever, policy or search has" in each for each in found)


def test_a_knob_without_a_range_is_one_message() -> None:
    (fault,) = faults(f"{HERE}undeclared")
    assert "knob width: a range must be given" in fault


def plain_argument(*, width: int = 2, seed: int = 0) -> Workload:
    """Arguments that are nobody's to search."""
    return tiny()


def test_an_argument_without_a_range_is_searched_only_with_one() -> None:
    """Asked for, it is told what it lacks; left alone, it is no fault."""
    assert faults(f"{HERE}plain_argument") == []
    (fault,) = faults(f"{HERE}plain_argument", width=3)
    assert fault.startswith("knob width must have a range, but is an argument of the workload's")


def test_both_ends_are_built() -> None:
    """Before a run is created, not when the first trial draws one."""
    assert len(faults(f"{HERE}longer")) == 2
    assert not Path("nowhere").exists()


def test_a_search_builds_both_ends_before_it_creates_anything(tmp_path: Path) -> None:
    """It hands its own finder of the workload on, to build the workload as it is only once."""
    with pytest.raises(BadInput, match="but with"):
        run_search(
            SearchConfig(
                str(tmp_path / "run"),
                workload=f"{HERE}longer",
                space="static_suffix",
                driver="serial",
            )
        )
    assert not (tmp_path / "run").exists()


def test_every_gate_and_name_of_a_space_is_taken() -> None:
    """Whichever space they are of."""
    names = sorted({k.name for space in all_spaces().values() for k in space.knobs})
    assert len(name_faults(names)) == len(names)


def test_the_guides_example_runs(tmp_path: Path) -> None:
    """``docs/own_model.md``'s, as it stands; its defaults are the workload that it varies."""
    guide = (Path(__file__).parents[3] / "docs" / "own_model.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# my_knobs\.py.*?)```", guide, re.DOTALL)
    (tmp_path / "my_knobs.py").write_text(code, encoding="utf-8")
    name = f"{tmp_path / 'my_knobs.py'}:make"
    assert faults(name) == []
    assert config(name).search_space().own == {"weight_decay": 0.01, "hidden": 128}
    plain, same = find_workload("teacher_student"), find_workload(name)
    weights = zip(plain.make_model(1).parameters(), same.make_model(1).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    wider = find_workload(name, own={"hidden": 256}).make_model(1)
    assert max(p.shape[0] for p in wider.parameters()) == 256


@pytest.mark.parametrize(
    "begun",
    [
        config(f"{HERE}longer", space="static_suffix"),
        config(KNOBBY, space="recipe", knobs={"use_batch": False, "batch_start": 2.0}),
        config(KNOBBY, rung=0.25, objective="pareto"),
    ],
    ids=["another task at an end", "a knob without effect", "a rung without effect"],
)
def test_what_a_new_search_is_refused_for_does_not_keep_one_from_going_on(
    begun: SearchConfig,
) -> None:
    """A run that an earlier version began has such a thing in its run.json, and loses nothing."""
    found = config_faults(begun, CPU)
    assert found
    assert refusals(begun, Resume(Path(begun.run), {"trials": 99}), CPU) == []
    assert config_faults(begun, CPU, replacing=True) == found

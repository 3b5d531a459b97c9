"""A workload's identity changes with what its results depend on, and with nothing else."""

from __future__ import annotations

import contextlib
import importlib
import json
import linecache
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from models import first_values
from models.by_path import module_at
from models.identity import identity_of
from models.source.digests import source_digests
from tests.support import odd_batches, tiny
from tuning.trial.identity import differences


def test_it_is_plain_and_the_same_twice() -> None:
    """JSON values, equal for two workloads made alike."""
    one, other = identity_of(tiny.tiny()), identity_of(tiny.tiny())
    assert json.loads(json.dumps(one)) == json.loads(json.dumps(other))
    assert (one["blocks"], one["optimizer"], one["steps"]) == ("4 x ResidualBlock", "AdamW", 20)
    assert one["parameters"]["head.weight"] == "(1, 16)"
    assert one["batch"] == "(32, 8), (32, 1)"
    assert any(name.endswith("tiny.ResidualBlock") for name in one["source"])


def test_order_of_blocks_and_what_never_trains_are_in_it() -> None:
    """The same source, weights and losses, told by a variable that no source shows."""
    turned = ["upside down"]

    def blocks(model: Any) -> list[Any]:
        return list(model.blocks)[:: -1 if turned else 1]

    def make_model(seed: int) -> Any:
        model = tiny.make_model(seed)
        model.head.bias.requires_grad_(not turned)
        return model

    workload = replace(tiny.tiny(), blocks=blocks, make_model=make_model)
    one = identity_of(workload)
    turned.clear()
    other = identity_of(workload)
    assert "order of blocks 3, 2, 1, 0 -> as registered" in differences(one, other)
    assert "frozen from the first head.bias -> nothing" in differences(one, other)


def test_numbers_of_numpy_and_several_optimizers_are_plain_too() -> None:
    """Hyperparameters of other kinds, and parts trained by different optimizers."""

    def make_optimizer(model: Any) -> Any:
        rest = [*model.stem.parameters(), *model.head.parameters()]
        return AdamW(model.blocks.parameters(), lr=np.float64(0.1)), SGD(rest, lr=0.2)

    found = identity_of(replace(tiny.tiny(), make_optimizer=make_optimizer))
    assert found["optimizer"] == "AdamW + SGD"
    assert [group["lr"] for group in found["groups"]] == [0.1, 0.2]
    json.dumps(found, allow_nan=False)


SOURCE = '''
"""A user's file."""
RATE = 0.1
PLACE = "/data/one"


class Base:
    scale = 2

    def shift(self, x):
        return x + RATE


class Layer(Base):
    """A layer."""

    def forward(self, x):
        return helper(self.shift(x)) + len(PLACE)


def helper(x):
    return x * 2


unused = lambda x: x
'''


def digests(tmp_path: Path, source: str) -> dict[str, str]:
    """Of ``Layer``, from a new file with this source."""
    name = f"edited_{len(list(tmp_path.iterdir()))}"
    (tmp_path / f"{name}.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    try:
        module: ModuleType = importlib.import_module(name)
        return {key.partition(".")[2]: d for key, d in source_digests([module.Layer]).items()}
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("x * 2", "x * 3", {"helper"}),
        ("return x + RATE", "return x - RATE", {"Base"}),
        ("RATE = 0.1", "RATE = 0.2", {"Base"}),
        ("scale = 2", "scale = 3", {"Base"}),
        ('"""A layer."""', '"""Another text."""  # and a comment', set()),
        ("def helper(x):", "def helper(x):  # doubled\n", set()),
        ("unused = lambda x: x", "unused = None", set()),
        ("/data/one", "/data/two", set()),
    ],
)
def test_an_edit_is_seen_where_it_was_made(
    tmp_path: Path, old: str, new: str, where: set[str]
) -> None:
    """Edits in what a class inherits, calls or reads are named; comments and paths are none."""
    assert old in SOURCE
    before, after = digests(tmp_path, SOURCE), digests(tmp_path, SOURCE.replace(old, new))
    changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    assert changed == where
    assert before.keys() == {"Layer", "Base", "helper"}


CELL = """
class Cell:
    def use(self, x):
        return x * 2

    @functools.cached_property
    def kept(self):
        return helper()
"""


def test_a_class_of_a_notebook_is_read_by_its_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module has no file; each cell has a name of its own, under which its lines are kept."""
    notebook = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)

    def run_cell(text: str) -> dict[str, str]:
        name = f"/tmp/ipykernel_7/{abs(hash(text))}.py"
        lines = text.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, name, (len(text), None, lines, name))
        exec(compile(text, name, "exec"), vars(notebook))
        return source_digests([notebook.Cell]) if hasattr(notebook, "Cell") else {}

    run_cell("import functools\n\n\ndef helper():\n    return 5\n")
    one, same = run_cell(CELL), run_cell(CELL + "# the same\n")
    other = run_cell(CELL.replace("x * 2", "x * 3"))
    below = run_cell("def helper():\n    return 6\n")
    assert one.keys() == {"__main__.Cell", "__main__.helper"}
    assert one == same
    assert [name for name in one if one[name] != other[name]] == ["__main__.Cell"]
    assert [name for name in one if other[name] != below[name]] == ["__main__.helper"]


TWO = """
import sys

if sys.maxsize < 9:
    class Layer:
        def forward(self, x):
            return x * 2
else:
    class Layer:
        def forward(self, x):
            return x * 20
"""


def test_of_two_classes_with_one_name_that_which_is_used_is_read(tmp_path: Path) -> None:
    """An edit of the other is none."""
    one = digests(tmp_path, TWO)
    assert digests(tmp_path, TWO.replace("x * 2\n", "x * 3\n")) == one
    assert digests(tmp_path, TWO.replace("x * 20", "x * 30")) != one


def test_code_that_is_given_in_place_is_read_anew(tmp_path: Path) -> None:
    """A notebook's autoreload leaves functions and classes, and changes what they run."""
    file = tmp_path / "reloaded.py"
    file.write_text(SOURCE)
    layer = module_at(file).Layer
    before = source_digests([layer])
    file.write_text(SOURCE.replace("x * 2", "x * 3").replace("x + RATE", "x - RATE"))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "reloaded.py").write_text(file.read_text())
    new = module_at(tmp_path / "again" / "reloaded.py")
    base = layer.__mro__[1]
    for old, other in [
        (layer.forward.__globals__["helper"], new.helper),
        (base.shift, new.Base.shift),
    ]:
        old.__code__ = other.__code__.replace(co_filename=str(file))
    after = source_digests([layer])
    assert {name for name in before if before[name] != after[name]} == {
        "reloaded.Base",
        "reloaded.helper",
    }


def test_a_file_that_was_edited_after_it_was_read_is_refused(tmp_path: Path) -> None:
    """A process goes on with the first text, and a worker that is started reads the second."""
    file = tmp_path / "stale.py"
    file.write_text(SOURCE)
    layer = module_at(file).Layer
    before = source_digests([layer])
    file.write_text(SOURCE + "# nothing\n")
    assert source_digests([layer]) == before
    file.write_text(SOURCE.replace("x * 2", "x * 3"))
    with pytest.raises(ValueError, match=r"stale\.py was edited at helper after it was read"):
        source_digests([layer])
    file.write_text(SOURCE)
    assert source_digests([layer]) == before


def test_libraries_have_no_digest() -> None:
    """What is installed has a version; a function without source has nothing to compare."""
    assert source_digests([SGD, len, json.dumps]) == {}


def test_a_file_that_is_loaded_by_its_path_may_move(tmp_path: Path) -> None:
    """The same file at two places has the same names and digests."""
    found = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(SOURCE)
        found.append(source_digests([module_at(tmp_path / folder / "mine.py").Layer]))
    assert found[0] == found[1]
    assert found[0].keys() == {"mine.Layer", "mine.Base", "mine.helper"}


@pytest.mark.parametrize("kind", odd_batches.KINDS)
def test_other_values_of_a_batch_are_another_identity(kind: str) -> None:
    """Whatever holds them; the same ones are the same."""
    one, same, other = (identity_of(odd_batches.workload(kind, by)) for by in (1.0, 1.0, 1.1))
    assert one == same
    assert one["batch's values"] != other["batch's values"]


CODE = """
import functools
import types


def doubled(function):
    @functools.wraps(function)
    def around(x):
        return function(x) * 20
    return around


@doubled
def wrapped(x):
    return x


def first(x):
    return x + 30


TABLE = {"first": first}


def forward(self, x):
    return x * 40


Made = types.new_class("Made")
Made.forward = forward


def late(x):
    from other_file import shifted
    return shifted(x)


class Always:
    def __get__(self, owner, kind):
        return 60


class Scale:
    always = Always()

    def times(self, x):
        return x * 70


class Task:
    def __init__(self):
        self.scales = [Scale()]


TASK = Task()


@functools.singledispatch
def by_kind(x):
    return x


@by_kind.register
def _(x: int):
    return x + 80


def root(x, task=TASK):
    scale = task.scales[0]
    x = wrapped(TABLE["first"](late(Made().forward(x))))
    return scale.times(by_kind(x)) + scale.always

"""
OTHER = "def shifted(x):\n    return x + 50\n"
REACHED = {
    "20": "what a decorator made",
    "30": "a table",
    "40": "a class that was made",
    "50": "a late import",
    "60": "a descriptor",
    "70": "a method of an object in an object that is a default",
    "80": "one of several functions by the kind of what they get",
}


@pytest.mark.parametrize("value", REACHED)
def test_an_edit_is_seen_whatever_leads_to_it(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each number stands in code that the root reaches in another way."""

    def found(folder: str, change: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "other_file.py").write_text(OTHER.replace(value, change))
        (tmp_path / folder / "root_file.py").write_text(CODE.replace(value, change))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / folder))
            for name in ("root_file", "other_file"):
                patch.delitem(sys.modules, name, raising=False)
            root = importlib.import_module("root_file").root
            root(1)
            return source_digests([root])

    one, same, other = found("one", value), found("same", value), found("other", value + "1")
    assert one == same
    assert len([name for name in one if one[name] != other.get(name)]) == 1


def test_what_is_read_at_every_call_shows_in_the_first_loss(tmp_path: Path) -> None:
    """A file: no source tells of it, and it is named only where nothing else is."""
    file = tmp_path / "scale.txt"

    def loss(model: Any, batch: Any) -> Any:
        return tiny.loss(model, batch) * float(file.read_text())

    def identity(scale: str, steps: int = 20) -> dict[str, Any]:
        file.write_text(scale)
        return identity_of(replace(tiny.tiny(steps=steps), loss=loss))

    assert differences(identity("1"), identity("1")) == []
    (found,) = differences(identity("1"), identity("2"))
    assert found.startswith("first loss ")
    assert "read at every call" in found
    assert differences(identity("1"), identity("2", steps=30)) == ["steps 20 -> 30"]


def test_what_only_a_step_reads_shows_in_the_loss_after_it(tmp_path: Path) -> None:
    """A file that an optimizer or a backward reads: named where nothing else is."""
    file = tmp_path / "factor.txt"

    class Scaled(SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                group["lr"] = 0.1 * float(file.read_text())
            super().step()

    def hooked(model: Any) -> SGD:
        for each in model.parameters():
            each.register_hook(lambda gradient: gradient * float(file.read_text()))
        return SGD(model.parameters(), lr=0.1)

    def identity(factor: str, make_optimizer: Any) -> dict[str, Any]:
        file.write_text(factor)
        return identity_of(replace(tiny.tiny(), make_optimizer=make_optimizer))

    for make in (lambda model: Scaled(model.parameters(), lr=0.1), hooked):
        before = identity("1", make)
        assert differences(before, identity("1", make)) == []
        (found,) = differences(before, identity("1.2", make))
        assert found.startswith("loss after a step ")
        assert "by the optimizer" in found


def test_what_an_optimizer_imports_where_it_steps_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing before the step has loaded it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    class Late(SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            from late_factor import FACTOR  # type: ignore[import-not-found]

            self.param_groups[0]["lr"] = 0.1 * FACTOR
            super().step()

    def identity(factor: str) -> dict[str, Any]:
        (tmp_path / "late_factor.py").write_text(f"FACTOR = {factor}\n")
        monkeypatch.delitem(sys.modules, "late_factor", raising=False)
        importlib.invalidate_caches()
        make = replace(tiny.tiny(), make_optimizer=lambda model: Late(model.parameters(), lr=0.1))
        return identity_of(make)

    before = identity("1.0")
    assert differences(before, identity("1.0")) == []
    found = differences(before, identity("1.25"))
    assert any("FACTOR 1.0 -> 1.25" in text for text in found)


def read_by_evaluation(file: Path, **changes: Any) -> dict[str, Any]:
    """Of a workload whose held-out data alone come from ``file``."""

    def evaluate(model: Any) -> float:
        return tiny.evaluate(model) + float(file.read_text())

    return identity_of(replace(tiny.tiny(), evaluate=evaluate, **changes))


def test_held_out_data_that_only_the_evaluation_reads_show(tmp_path: Path) -> None:
    """And those of a further metric; each is named with both values."""
    file, metric = tmp_path / "held_out.txt", tmp_path / "metric.txt"
    more = {"metrics": {"error": lambda _: float(metric.read_text())}}
    file.write_text("1")
    metric.write_text("0.5")
    before = read_by_evaluation(file, **more)
    assert differences(before, read_by_evaluation(file, **more)) == []
    file.write_text("1.5")
    (found,) = differences(before, read_by_evaluation(file, **more))
    first = before["first measures"]["evaluation"]
    assert found.startswith(f"first evaluation {first} -> {float(first) + 0.5:.6g}")
    file.write_text("1")
    metric.write_text("0.25")
    (found,) = differences(before, read_by_evaluation(file, **more))
    assert found.startswith("first error 0.5 -> 0.25")


def test_held_out_data_show_through_a_head_of_zeros(tmp_path: Path) -> None:
    """Which predicts the same whatever it is given, before it is trained."""
    file = tmp_path / "input.txt"

    def make_model(seed: int) -> Any:
        model = tiny.make_model(seed)
        model.head.weight.data.zero_()
        return model

    def evaluate(model: Any) -> float:
        return float(model(torch.full((1, tiny.FEATURES), float(file.read_text()))))

    def identity(value: str) -> dict[str, Any]:
        file.write_text(value)
        return identity_of(replace(tiny.tiny(), make_model=make_model, evaluate=evaluate))

    assert differences(identity("1"), identity("1")) == []
    assert differences(identity("1"), identity("2"))


def test_a_batch_of_a_later_step_shows(tmp_path: Path) -> None:
    """Data that come only after the first batch, from a file that no source names."""
    file = tmp_path / "later.txt"

    def batch_at(seed: int, step: int) -> Any:
        x, y = tiny.batch_at(seed, step)
        return x, y * (float(file.read_text()) if step > 12 else 1.0)

    def identity(scale: str, **changes: Any) -> dict[str, Any]:
        file.write_text(scale)
        return identity_of(replace(tiny.tiny(), batch_at=batch_at, **changes))

    assert differences(identity("1"), identity("1")) == []
    assert differences(identity("1"), identity("2")) == [
        "batches of steps 14, 17, 18 and 1 more changed"
    ]
    longer = differences(identity("1"), identity("1", steps=30))
    assert longer == ["steps 20 -> 30"]


def halved(*_: Any) -> Any:
    return 2


def thirds(*_: Any) -> Any:
    return 3


@pytest.mark.parametrize("part", ["shrink", "examples_at"])
def test_what_only_a_lever_calls_is_in_it(part: str) -> None:
    """Another way of making inputs smaller, other numbers of the examples."""
    before, same, after = (
        identity_of(replace(tiny.tiny(), **{part: each}))  # type: ignore[arg-type]
        for each in (halved, halved, thirds)
    )
    assert differences(before, same) == []
    (found,) = differences(before, after)
    assert found.startswith("source changed at ")
    del before["levers"]
    assert differences(before, after) == []


def test_what_a_lever_calls_too_is_told_once() -> None:
    """A data set of the user's, which numbers its examples as well."""
    before, after = ({"source": {"mine.Data": d}, "levers": {"mine.Data": d}} for d in "ab")
    assert differences(before, after) == ["source changed at mine.Data()"]


def test_an_evaluation_that_takes_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not compared then; whatever the workload catches, and no hook is left."""

    def evaluate(model: Any) -> float:
        while True:
            with contextlib.suppress(Exception):
                model(torch.zeros(1, tiny.FEATURES))

    workload = replace(tiny.tiny(), evaluate=evaluate)
    monkeypatch.setattr(first_values, "LONGEST", 0.0)
    found = identity_of(workload)
    assert found["first measures"] == {}
    assert differences(identity_of(tiny.tiny()) | {"source": {}}, found | {"source": {}}) == []
    tiny.make_model(0)(torch.zeros(1, tiny.FEATURES))


def test_a_value_in_a_part_of_a_package_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``package.part.RATE`` in a function that imported ``package.part``."""

    def found(value: str) -> dict[str, str]:
        folder = tmp_path / value / "edited_package"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "part.py").write_text(f"RATE = {value}\n")
        reads = (
            "import edited_package.part\ndef root(x):\n    return x * edited_package.part.RATE\n"
        )
        (folder.parent / "reads_package.py").write_text(reads)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder.parent))
            for name in ("reads_package", "edited_package", "edited_package.part"):
                patch.delitem(sys.modules, name, raising=False)
            return source_digests([importlib.import_module("reads_package").root])

    assert found("2") != found("3")


def test_a_run_that_saw_less_is_compared_by_what_both_have_seen() -> None:
    """An edit there is told; code that was not looked at then is no difference."""
    then = {"source": {"w.loss": "1"}}
    now: dict[str, Any] = {
        "source": {"w.loss": "1", "w.Data.__getitem__": "2"},
        "reach": 2,
    }
    assert differences(then, now) == []
    assert differences(now, then) == []
    levers = {"w.shrink": "4"}
    assert differences({**then, "levers": levers}, {**now, "levers": {**levers, "w.B": "5"}}) == []
    edited = {**now, "source": {**now["source"], "w.loss": "3"}}
    assert differences(then, edited) == ["source changed at w.loss()"]
    assert differences(now, {"source": {"w.loss": "1"}, "reach": 2}) == [
        "source changed at w.Data.__getitem__()"
    ]


class Options:
    """What a user's configuration was read into."""

    def __init__(self, value: float) -> None:
        self.value = value


class Held(nn.Module):
    """Reads, late in a training only, a value that it was given when it was made."""

    def __init__(self, how: str, value: float) -> None:
        super().__init__()
        self.options: Any
        self.layer, self.began = nn.Linear(2, 2), Options(time.perf_counter())
        if how == "object":
            self.options = Options(value)
        elif how == "buffer":
            self.register_buffer("options", torch.tensor(value))
        elif how == "function":
            self.options = lambda: value
        elif how == "hook":
            self.layer.register_forward_hook(lambda *_: print(end=str(value)[:0]))
        elif how == "gradient":
            self.layer.weight.register_hook(  # type: ignore[no-untyped-call]
                lambda _: print(end=str(value)[:0])
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class SetsRates(SGD):
    """Sets its own rate, late in a training."""

    def __init__(self, parameters: Any, value: float) -> None:
        super().__init__(parameters, lr=0.1)
        self.value, self.steps = value, 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        return super().step(closure)


@pytest.mark.parametrize("how", ["object", "buffer", "function", "hook", "gradient", "optimizer"])
def test_what_a_model_or_an_optimizer_was_given_is_seen(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from outside where they are made, and in no loss of the first steps; what is another one
    in each model, a time, is no difference.
    """

    def value() -> float:
        return float(os.environ["OPTION"])

    def optimizer(model: nn.Module) -> SGD:
        if how == "optimizer":
            return SetsRates(model.parameters(), value())
        return SGD(model.parameters(), lr=0.1)

    workload = replace(
        tiny.tiny(),
        make_model=lambda seed: nn.Sequential(Held(how, value()), Held("", 0.0)),
        blocks=lambda model: list(model.children()),
        batch_at=lambda seed, step: torch.ones(4, 2),
        loss=lambda model, batch: model(batch).square().mean(),
        evaluate=lambda model: 1.0,
        make_optimizer=optimizer,
    )
    found = []
    for option in ("1", "1", "2"):
        monkeypatch.setenv("OPTION", option)
        torch.manual_seed(0)
        found.append(identity_of(workload))
    assert differences(found[0], found[1]) == []
    assert len(differences(found[0], found[2])) == 1

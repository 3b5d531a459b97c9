"""Values that a workload's code works with are part of its identity, whatever holds them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.adapters.losses import Score
from models.adapters.workload import Evaluation
from models.identity import identity_of
from models.settings import LONGEST, modules_of, settings_of, short, told, weights_of
from models.workload import Workload
from tests.support import tiny
from tuning.trial.identity import FIRST_LOSS, differences

OPTIONS: dict[str, Any] = {"scale": 1.0}
CACHE: dict[str, float] = {}
CALLS = 0


@dataclass(frozen=True)
class Options:
    """A user's."""

    scale: float


class Task:
    """A workload's functions as methods, beside a count of their calls."""

    def __init__(self, scale: float) -> None:
        self.scale, self.seen = scale, 0

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The tiny workload's, scaled."""
        self.seen += 1
        return self(model, batch)

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """Likewise."""
        return tiny.tiny().loss(model, batch) * self.scale


class Slotted:
    """A user's without a table of attributes."""

    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


class Weighted(nn.Module):
    """A user's loss with a weight in a buffer."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([scale]))

    def forward(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The tiny workload's, scaled."""
        return tiny.tiny().loss(model, batch) * self.scale.squeeze()  # type: ignore[operator]


def scaled(model: nn.Module, batch: Any, scale: float = 1.0) -> torch.Tensor:
    """The tiny workload's loss."""
    return tiny.tiny().loss(model, batch) * scale


def in_closure(value: Any, read: Callable[[Any], float]) -> Callable[..., torch.Tensor]:
    """A loss that closes over a value."""
    return lambda model, batch: tiny.tiny().loss(model, batch) * read(value)


def with_default(scale: float) -> Callable[..., torch.Tensor]:
    """A loss with a default that only the call that made it knows."""

    def loss(model: nn.Module, batch: Any, *, by: float = scale) -> torch.Tensor:
        return tiny.tiny().loss(model, batch) * by

    return loss


def twice(scale: float) -> Callable[..., torch.Tensor]:
    """Two functions that one factory made, each of which closes over its own value."""
    one, other = (in_closure({"scale": each}, lambda v: v["scale"]) for each in (scale, 1.0))
    return lambda model, batch: one(model, batch) + other(model, batch)


def criterion(beta: float) -> Callable[..., torch.Tensor]:
    """A loss of PyTorch's, which closes over a module of the library."""
    smooth = nn.SmoothL1Loss(beta=beta)
    return lambda model, batch: smooth(model(batch[0]), batch[1])


def wrapped(beta: float) -> Callable[..., torch.Tensor]:
    """A loss that is known by what it wraps."""
    loss = criterion(beta)
    loss.__wrapped__ = nn.SmoothL1Loss(beta=beta)  # type: ignore[attr-defined]
    return loss


LOSSES: dict[str, Callable[[float], Callable[..., torch.Tensor]]] = {
    "partial": lambda s: functools.partial(scaled, scale=s),
    "partial by place": lambda s: functools.partial(lambda k, m, b: scaled(m, b, k), s),
    "default": with_default,
    "method": lambda s: Task(s).loss,
    "callable object": Task,
    "dict": lambda s: in_closure({"scale": s}, lambda v: v["scale"]),
    "list": lambda s: in_closure([0.0, s], lambda v: v[1]),
    "dataclass": lambda s: in_closure(Options(s), lambda v: v.scale),
    "namespace": lambda s: in_closure(SimpleNamespace(scale=s), lambda v: v.scale),
    "array": lambda s: in_closure(np.array([s]), lambda v: float(v[0])),
    "array of texts": lambda s: in_closure(np.array([str(s)]), lambda v: float(v[0])),
    "array of complex": lambda s: in_closure(np.array([s * 1j]), lambda v: float(v[0].imag)),
    "array of objects": lambda s: in_closure(np.array([s, "a"], object), lambda v: float(v[0])),
    "record": lambda s: in_closure(np.array([(s,)], "f4,"), lambda v: float(v[0][0])),
    "tensor": lambda s: in_closure(torch.tensor([s]), lambda v: float(v[0])),
    "slots": lambda s: in_closure(Slotted(s), lambda v: v.scale),
    "pattern": lambda s: in_closure(re.compile(str(s)), lambda v: float(v.pattern)),
    "fraction": lambda s: in_closure(Fraction(s), float),
    "range": lambda s: in_closure(range(int(s * 2)), len),
    "buffer": Weighted,
    "one of two of a kind": twice,
    "module of a library": criterion,
    "wrapper": wrapped,
}


@pytest.mark.parametrize("how", LOSSES)
def test_a_value_is_seen_whatever_holds_it(how: str) -> None:
    """The same source with another value is another workload; with the same it is the same."""
    mine, same, other = (
        identity_of(replace(tiny.tiny(), loss=LOSSES[how](scale))) for scale in (1.0, 1.0, 0.5)
    )
    assert differences(mine, same) == []
    (found,) = differences(mine, other)
    assert not found.startswith(FIRST_LOSS)  # which is asked where nothing else has shown


def test_an_option_in_a_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its module and both of its values."""

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return scaled(model, batch, OPTIONS["scale"])

    before = identity_of(replace(tiny.tiny(), loss=loss))
    monkeypatch.setitem(OPTIONS, "scale", 2.0)
    after = identity_of(replace(tiny.tiny(), loss=loss))
    assert differences(before, after) == [f"{__name__}.OPTIONS dict(scale=1.0) -> dict(scale=2.0)"]


def remember(value: float) -> float:
    """Fill a cache and count."""
    global CALLS
    CALLS += 1
    CACHE[str(CALLS)] = value
    return value


def test_what_the_code_changes_itself_is_no_setting() -> None:
    """A global that is assigned, a table that is filled, an attribute that a method counts in."""
    task = Task(1.0)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return task.loss(model, batch) * remember(1.0)

    workload = replace(tiny.tiny(), loss=loss)
    before = identity_of(workload)
    workload.loss(workload.make_model(0), workload.batch_at(0, 0))
    assert differences(before, identity_of(workload)) == []


def test_what_a_first_batch_completes_is_the_same_before_and_after() -> None:
    """A search has trained the workload when it is described, a confirmation has not. Another
    value beside it is another setting still.
    """

    def workload(heads: int) -> Workload:
        config = SimpleNamespace(heads=heads, kind=None)

        def loss(model: nn.Module, batch: Any) -> torch.Tensor:
            vars(config).update(kind=config.kind or "of one label")  # as a library's code does
            return tiny.loss(model, batch)

        return replace(tiny.tiny(), loss=loss)

    two, three = workload(2), workload(3)
    first = identity_of(two)
    assert differences(first, identity_of(two)) == []
    assert [name for name in first["settings"] if name.endswith(".config")]
    assert len(differences(first, identity_of(three))) == 1


CHANGES: dict[str, Callable[[Any], object]] = {
    "0 Dropout(p=0.1, inplace=False) -> Dropout(p=0.5, inplace=False)": lambda model: setattr(
        model[0], "p", 0.5
    ),
    "the model Sequential(heat=1.0) -> Sequential(heat=2.0)": lambda model: setattr(
        model, "heat", 2.0
    ),
    "weights": lambda model: nn.init.zeros_(model[1].bias),
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_model_of_the_same_shapes_is_another(words: str) -> None:
    """By what its modules say of themselves, by plain attributes, and by the weights it begins
    with.
    """

    def made(change: Callable[[Any], object]) -> dict[str, Any]:
        torch.manual_seed(0)
        model: Any = nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2))
        model.heat = 1.0
        change(model)
        return {"modules": modules_of(model), "weights": weights_of(model)}

    assert differences(made(vars), made(vars)) == []
    (difference,) = differences(made(vars), made(CHANGES[words]))
    assert difference.startswith(words)


def test_other_data_of_the_same_form_is_seen() -> None:
    """Other numbers, and the same in another order."""
    own = tiny.tiny()
    batches = {
        "doubled": lambda s, i: (own.batch_at(s, i)[0] * 2, own.batch_at(s, i)[1]),
        "turned": lambda s, i: tuple(each.flip(0) for each in own.batch_at(s, i)),
    }
    before = identity_of(own)["batch's values"]
    for name, batch_at in batches.items():
        after = identity_of(replace(own, batch_at=batch_at))["batch's values"]
        assert after != before, name


def test_data_given_to_an_adapter_is_seen() -> None:
    """Validation rows of the same form with other values."""

    def evaluation(scale: float) -> dict[str, str]:
        rows = [(torch.ones(4, 2) * scale, torch.zeros(4))]
        return settings_of([Evaluation(rows, Score("loss", scaled))])

    assert evaluation(1.0) == evaluation(1.0) != evaluation(2.0)


def test_words_are_short_and_the_same_in_every_process() -> None:
    """No address in memory, no path, no order of a set; of what cannot be told the kind."""
    assert told({"b", "a"}) == "set('a', 'b')"
    assert told("/data/of/mine") == "a path"
    assert told(object()) == "object"
    assert told(itertools.count()) == "count"
    assert told(np.array([None])) == "(1,) object(None)"
    assert told(list(range(2000))) == "list of 2000"
    assert len(short("x" * 1000)) < LONGEST
    assert list(settings_of([functools.partial(scaled, scale=2.0)]).values()).count("2.0") == 1

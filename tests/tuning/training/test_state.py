"""Whatever a training depends on is in its snapshots, or said to be missing from them."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from models.levers.levers import make_levers
from models.workload import Workload
from policies.full_update import FullUpdate
from policies.registry import make_policy
from tests.support import stateful, tiny
from tests.support.costs import made_up_costs, with_every_form
from tuning.training.generators import generators_kept, seed_all
from tuning.training.loop import TrainingRun, evaluate
from tuning.training.state.attributes import leaves
from tuning.training.state.encoding import PLAINLY, Encoder, UnsaveableError, decode
from tuning.training.state.paths import told

CPU = torch.device("cpu")


def new_run(workload: Workload) -> TrainingRun:
    policy = make_policy("dynamic_suffix", {"freeze_start": 0.2, "probe_every": 3, "gate": False})
    return TrainingRun(workload, policy, seed=3, horizon=0.7, costs=made_up_costs(), device=CPU)


def losses(run: TrainingRun) -> list[float]:
    while not run.finished:
        run.advance()
    return [point.val_loss for point in run.curve]


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def numpy_rates(model: nn.Module) -> Optimizer:
    return AdamW(model.parameters(), lr=np.float64(0.01), betas=(np.float64(0.9), np.float64(0.99)))


def by_parts(model: nn.Module) -> dict[str, Optimizer]:
    assert isinstance(model, tiny.ResidualMLP)
    others = [*model.stem.parameters(), *model.head.parameters()]
    return {
        "blocks": SGD(model.blocks.parameters(), lr=0.01, momentum=0.9),
        "others": Adam(others, lr=1e-2),
    }


class Lookahead:
    """Slow weights around an optimizer; no subclass of torch's, and its count in an attribute."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner, self.count = inner, 0
        self.slow = [p.detach().clone() for group in inner.param_groups for p in group["params"]]

    @property
    def param_groups(self) -> Any:
        return self.inner.param_groups

    @property
    def state(self) -> Any:
        return self.inner.state

    def step(self) -> None:
        self.inner.step()
        self.count += 1
        if self.count % 3 == 0:
            with torch.no_grad():
                fast = (p for group in self.param_groups for p in group["params"])
                for slow, parameter in zip(self.slow, fast, strict=True):
                    parameter.copy_(slow.lerp_(parameter, 0.5))

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.inner.load_state_dict(state)


class Smoothed(SGD):
    """An average of gradients by parameter, beside its state."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.means: dict[nn.Parameter, Tensor] = {}

    def step(self, closure: Any = None) -> Any:
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if parameter.grad is not None:
                mean = self.means.setdefault(parameter, torch.zeros_like(parameter))
                parameter.grad.add_(mean.lerp_(parameter.grad, 0.5))
        return super().step(closure)


def clipped_ever_closer(model: nn.Module) -> Optimizer:
    """A count in a hook of the optimizer."""
    optimizer, calls = SGD(model.parameters(), lr=0.05), [0]

    def clip(*_: Any) -> None:
        calls[0] += 1
        nn.utils.clip_grad_norm_(model.parameters(), 1 / calls[0])

    optimizer.register_step_pre_hook(clip)
    return optimizer


WORKLOADS: dict[str, Workload] = {
    **{name: stateful.workload(kind) for name, kind in stateful.STATEFUL.items()},
    "numpy's numbers": stateful.workload(tiny.ResidualMLP, numpy_rates),
    "several optimizers": stateful.workload(stateful.Draws, by_parts),
    "averages by parameter": stateful.workload(
        tiny.ResidualMLP, lambda model: Smoothed(model.parameters(), lr=0.02)
    ),
    "a hook of the optimizer": stateful.workload(tiny.ResidualMLP, clipped_ever_closer),
    "slow weights": stateful.workload(
        tiny.ResidualMLP, lambda model: Lookahead(SGD(model.parameters(), lr=0.02))
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_run_saved_and_loaded_equals_the_straight_one(name: str) -> None:
    """Saves a run after eight steps through a real file, disturbs the process's generators, and
    trains on from it in a new run.
    """
    workload = WORKLOADS[name]
    expected = losses(new_run(workload))
    first, second = new_run(workload), new_run(workload)
    for _ in range(8):
        first.advance()
    state = through_a_file(first.state_dict())
    seed_all(999)
    second.load_state_dict(state)
    assert losses(second) == expected


@pytest.mark.parametrize("name", stateful.LATE)
def test_what_a_new_model_has_no_place_for_is_named(name: str) -> None:
    """Something that is made, replaced or given up while a run trains, from its fifth step on: a
    snapshot after that says that it lacks it, and one before says nothing.
    """
    run = new_run(stateful.workload(stateful.LATE[name]))
    for _ in range(4):
        run.advance()
    assert run.snapshot()["unsaved"] == []
    run.advance()
    assert any(each.startswith("made") for each in run.snapshot()["unsaved"])


@pytest.mark.parametrize(("name", "frozen"), [("stem.weight", False), ("head.bias", True)])
def test_what_a_model_freezes_or_thaws_by_itself_is_named(name: str, frozen: bool) -> None:
    """In the middle of a training; a parameter that the policy freezes is not."""

    class Switches(stateful.Noisy):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.get_parameter(name).requires_grad_(not frozen)

        def noise(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.get_parameter(name).requires_grad_(frozen == (self.calls > 4))
            return torch.zeros_like(x)

    run = new_run(stateful.workload(Switches))
    for _ in range(4):
        run.advance()
    assert run.snapshot()["unsaved"] == []
    run.advance()
    assert run.snapshot()["unsaved"] == [f"{name}.requires_grad"]


@pytest.mark.parametrize("kind", ["svd", "monarch", "hidden_units"])
def test_what_a_form_puts_into_a_model_is_not_lost(kind: str) -> None:
    """A new model is brought into the form first, so that a trial that is stopped goes on."""
    workload = tiny.tiny(steps=10)
    run = TrainingRun(
        workload,
        FullUpdate(),
        seed=0,
        horizon=1.0,
        costs=with_every_form(made_up_costs()),
        device=torch.device("cpu"),
        levers=make_levers({"approximation": kind, "approximation_start": 0.2}),
    )
    for _ in range(6):
        run.advance()
    assert run.unsaved() == []


def test_what_never_changes_is_not_saved() -> None:
    """A model's constants are in no snapshot, however many there are."""

    class Constant(tiny.ResidualMLP):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.settings, self.name = torch.arange(1000), {"a": [1, 2]}, "constant"

    run = new_run(stateful.workload(Constant))
    run.advance()
    assert run.state_dict()["attributes"] == []


def test_state_has_a_name_that_a_reader_finds() -> None:
    """The paths of what changed, as a message would give them."""
    model = stateful.Nested()
    names = [told(leaf.path) for leaf in leaves(model, SGD(model.parameters(), lr=1.0))]
    assert "parts['schedule'].calls" in names


def _keeps_order(drawn: Any) -> bool:
    """Whether a set that is made anew has its items in the same order; another one is refused."""
    return list(type(drawn)(list(drawn))) == list(drawn)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
    | st.binary(max_size=3) | st.floats(width=32, allow_nan=False).map(np.float32),
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=2) | st.just("__kind__"), inner, max_size=3)
    | st.dictionaries(st.binary(max_size=2) | st.tuples(st.binary(max_size=2)), inner, max_size=3)
    | st.sets(st.integers(), max_size=3).filter(lambda drawn: _keeps_order(drawn))
    | st.frozensets(st.integers(), max_size=3).filter(lambda drawn: _keeps_order(drawn)),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60)
@given(VALUES)
def test_encoding_is_undone_by_decoding(value: Any) -> None:
    """Property: through a real file without pickles, and of the same types."""
    back = decode(through_a_file(Encoder().encode(value)))
    assert back == value
    assert type(back) is type(value)


def test_arrays_keep_their_type() -> None:
    """NumPy's arrays of several types, one of none of torch's, and an empty one."""
    for array in (np.arange(6.0).reshape(2, 3), np.array([True]), np.zeros((0, 2), ">i2")):
        back = decode(through_a_file(PLAINLY.encode({"a": array})))["a"]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert np.array_equal(back, array)


def test_what_cannot_be_saved_is_named() -> None:
    """An object within lists: the message says where it is and what."""
    with pytest.raises(UnsaveableError, match=r"state\['a'\]\[1\] is a .*Schedule"):
        Encoder().encode({"a": [0, stateful.Schedule()]})


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_process_goes_on_as_if_nothing_had_been_drawn() -> None:
    """Draws from all three generators after a block that seeded and used them."""
    seed_all(5)
    expected = draws()
    seed_all(5)
    with generators_kept():
        seed_all(7)
        draws()
    assert draws() == expected


def drawing(draw: Callable[[], float]) -> Workload:
    return replace(tiny.tiny(), evaluate=lambda model: draw())


def test_evaluation_draws_the_same_each_time_and_moves_no_generator() -> None:
    """An evaluation that draws: the same number twice, and the next draws are as without it."""
    seed_all(5)
    expected = draws()
    seed_all(5)
    workload, model = drawing(lambda: sum(draws())), tiny.make_model(0)
    assert evaluate(workload, model) == evaluate(workload, model)
    assert draws() == expected


def test_each_module_has_its_mode_again_after_an_evaluation() -> None:
    """A part that its owner left in evaluation mode is not put into training mode."""
    model = tiny.make_model(0)
    model.blocks[1].eval()
    evaluate(tiny.tiny(), model)
    assert model.training
    assert not model.blocks[1].training


def test_a_model_in_evaluation_mode_is_put_into_training_mode() -> None:
    """As pretrained ones come."""
    run = new_run(stateful.workload(lambda: tiny.ResidualMLP().eval()))
    assert run.model.training

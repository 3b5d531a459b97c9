"""A recipe in a loop of accelerate: the plain loop to the bit, stopped and gone on anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from models.compute.compiling import compiled
from models.levers import shaping
from tests.support import tiny
from tests.tuning.callbacks.recipes import RECIPES, STEPS, assert_same_weights, recipe
from tuning.callbacks.accelerate import AcceleratedRun, follow

BATCH, BATCHES = 8, 4


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Accelerators of one process share their state."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def make_model() -> nn.Module:
    """The same each time."""
    torch.manual_seed(0)
    return tiny.ResidualMLP(3)


def loader(batch: int = BATCH, *, shuffle: bool = False) -> Any:
    """Four batches of eight an epoch."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCHES * BATCH, tiny.FEATURES, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch, shuffle=shuffle)


def begun(
    knobs: dict[str, Any], micro: int = 1, precision: str | None = None, **told: Any
) -> tuple[Accelerator, AcceleratedRun]:
    """A new model under a recipe."""
    accelerator = Accelerator(
        cpu=True, gradient_accumulation_steps=micro, mixed_precision=precision
    )
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    given = {"total_steps": STEPS} | told
    return accelerator, follow(recipe(knobs), accelerator, model, "blocks", optimizer, **given)


def train(accelerator: Accelerator, run: AcceleratedRun, data: Any, until: int = 99) -> list[float]:
    """The loop: the loss of each micro-batch."""
    losses = []
    for x, y in run.batches(data):
        with accelerator.accumulate(run.model):
            loss = nn.functional.mse_loss(run.model(x), y)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(run.model.parameters(), 1.0)
            run.optimizer.step()
            run.optimizer.zero_grad()
        losses.append(loss.item())
        if run.steps == until:
            return losses
    run.settle()
    return losses


def plain(
    knobs: dict[str, Any], micro: int = 1, *, mixed: bool = False
) -> tuple[nn.Module, list[float]]:
    """The same in a plain loop, each batch in so many parts."""
    model, losses = make_model(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    run = recipe(knobs).apply(model, list(model.get_submodule("blocks").children()), optimizer)
    for x, y in run.batches(loader()):
        with run.step() as step:
            whole = torch.zeros(())
            for some, wanted in zip(x.chunk(micro), y.chunk(micro), strict=True):
                with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
                    out = model(some)
                loss = nn.functional.mse_loss(out.float() if mixed else out, wanted)
                losses.append(loss.item())
                (loss / micro).backward()  # type: ignore[no-untyped-call]
                whole = whole + loss / micro
            step.observe(whole)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    run.levered.settle()
    return model, losses


@pytest.mark.parametrize("name", RECIPES)
def test_accelerate_equals_the_plain_loop(name: str) -> None:
    """Every step's loss and the weights at the end, clipping included."""
    accelerator, run = begun(RECIPES[name])
    losses = train(accelerator, run, accelerator.prepare(loader()))
    model, wanted = plain(RECIPES[name])
    assert losses == wanted
    assert_same_weights(run.model, model)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own use of it
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the plain loop; the names in the model are as they were.

    Compiled but for writing C++, which takes most of the time and is the same for both.
    """
    monkeypatch.setattr(shaping, "compiled", partial(compiled, compiler="aot_eager"))
    accelerator, run = begun({"compiled": True})
    losses = train(accelerator, run, accelerator.prepare(loader()))
    model, wanted = plain({"compiled": True})
    assert losses == wanted
    assert_same_weights(run.model, model)


def test_accumulated_micro_batches_are_one_step() -> None:
    """Two a step: the plain loop that goes through its batches in halves."""
    accelerator, run = begun({}, micro=2)
    losses = train(accelerator, run, accelerator.prepare(loader(BATCH // 2)))
    model, wanted = plain({}, micro=2)
    assert losses == wanted
    assert len(losses) == 2 * run.steps
    assert_same_weights(run.model, model)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "bfloat16"])
def test_bf16_stays_the_accelerators(name: str) -> None:
    """Its autocast in the plain loop: every step's loss and the weights at the end."""
    accelerator, run = begun(RECIPES[name], precision="bf16")
    losses = train(accelerator, run, accelerator.prepare(loader()))
    model, wanted = plain(RECIPES[name], mixed=True)
    assert losses == wanted
    assert losses != plain(RECIPES[name])[1]
    assert_same_weights(run.model, model)


@pytest.mark.parametrize(("name", "stop"), [*zip(RECIPES, [3, 6, 9, 2, 5], strict=True)])
def test_a_resumed_loop_equals_the_straight_one(name: str, stop: int, tmp_path: Path) -> None:
    """Gone on from accelerate's own checkpoint within an epoch, with examples in random order."""
    knobs = RECIPES[name]
    accelerator, straight = begun(knobs)
    torch.manual_seed(5)
    data = accelerator.prepare(loader(shuffle=True))
    losses = train(accelerator, straight, data, until=stop)
    accelerator.save_state(str(tmp_path))
    losses += train(accelerator, straight, data)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    other, resumed = begun(knobs)
    torch.manual_seed(5)
    again = other.prepare(loader(shuffle=True))
    other.load_state(str(tmp_path))
    assert train(other, resumed, again) == losses[stop:]
    assert_same_weights(straight.model, resumed.model)


class Stream(IterableDataset[Any]):
    """The examples of ``loader`` one by one; how many there are is not said."""

    def __iter__(self) -> Iterator[Any]:
        yield from loader().dataset


@pytest.mark.parametrize("stop", [2, 6, 8])
def test_a_stream_of_unknown_length(stop: int, tmp_path: Path) -> None:
    """The same as by numbers, and gone on from within its first epoch, its second, or their end."""
    accelerator, straight = begun({})
    losses = train(accelerator, straight, accelerator.prepare(DataLoader(Stream(), BATCH)), stop)
    accelerator.save_state(str(tmp_path))
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    other, resumed = begun({})
    other.load_state(str(tmp_path))
    losses += train(other, resumed, other.prepare(DataLoader(Stream(), BATCH)))
    model, wanted = plain({})
    assert losses == wanted
    assert_same_weights(resumed.model, model)


def test_all_that_cannot_be_done_is_named_at_once() -> None:
    """Levers that need more of the loop, and batches that are not said to be the recipe's."""
    with pytest.raises(ValueError, match="accelerate cannot follow this recipe") as fault:
        begun({"batch_start": 0.5, "prefix": 0.5})
    for said in ("cached_prefix:", "0.5 → 1", "say batch_factor=0.5"):
        assert said in str(fault.value)
    begun({"batch_start": 2.0, "batch_end": 2.0}, batch_factor=2.0)


def test_a_backward_outside_of_a_step_is_refused() -> None:
    """Which blocks are trained is decided before the forward."""
    accelerator, run = begun({})
    x, y = next(iter(loader()))
    loss = nn.functional.mse_loss(run.model(x), y)
    with pytest.raises(RuntimeError, match=r"inside 'with accelerator\.accumulate"):
        accelerator.backward(loss)


def test_a_fault_of_the_loop_gives_the_step_up() -> None:
    """Weights and the run stay where they were, and the next step is the one that failed."""
    accelerator, run = begun({})
    data = accelerator.prepare(loader())
    with pytest.raises(ArithmeticError), accelerator.accumulate(run.model):
        raise ArithmeticError
    assert run.steps == 0
    train(accelerator, run, data)
    assert_same_weights(run.model, plain({})[0])

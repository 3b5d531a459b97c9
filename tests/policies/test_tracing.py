"""What is stem, block and head is what runs when."""

from __future__ import annotations

import copy
import json
import random
from collections import deque
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from policies.apply import BlockUpdater, trace_parts
from policies.applying.parts import STEM, Places, places_from_json, places_to_json
from policies.applying.undoing import undone
from tests.policies.nets import Scripted, adamw, backward, batch_at, loss_of, tower, train
from tests.support import stateful


class Scattered(nn.Module):
    """Registered in an order that says nothing: what comes first runs last."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.both = nn.Dropout(0.5)
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.between = nn.Linear(4, 4)
        self.table = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(()))
        self.embed = nn.Linear(4, 4)
        self.idle = nn.Linear(4, 4)
        self.query = nn.Embedding(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.both(self.embed(x) + self.table)
        x = self.blocks[0](x)
        x = self.between(x)
        x = self.blocks[1](x + self.query.weight)
        x = self.blocks[2](x)
        return self.both(self.norm(x)) * self.scale  # type: ignore[no-any-return]


def traced(model: Scattered) -> Places:
    return trace_parts(model, list(model.blocks), lambda: model(torch.ones(2, 4)).sum())


EXPECTED = {
    "norm.weight": 3, "norm.bias": 3, "between.weight": 0, "between.bias": 0, "table": STEM,
    "scale": 3, "embed.weight": STEM, "embed.bias": STEM, "query.weight": 0,
}  # fmt: skip


def test_places_follow_the_running() -> None:
    """Called modules, parameters used without a call, one that runs twice, one that is idle."""
    places = traced(Scattered())
    assert places.parameters == EXPECTED
    assert places.modules == {"norm": 3, "both": 3, "between": 0, "embed": STEM}
    assert places.unreached == ("idle.weight", "idle.bias")
    assert set(places.stem) == {"table", "embed.weight", "embed.bias"}
    assert set(places.head) == {"norm.weight", "norm.bias", "scale"}
    assert places.remarks() == [
        "the loss does not depend on idle.weight, idle.bias: no step trains them"
    ]


def test_places_survive_json() -> None:
    """As an updater's state keeps them."""
    places = traced(Scattered())
    assert places_from_json(json.loads(json.dumps(places_to_json(places)))) == places


@pytest.mark.parametrize("told", [False, True])
def test_an_updater_trains_by_places(told: bool) -> None:
    """Traced beforehand or in the first step, which freezes already: the same parameters train."""
    model = Scattered()
    updater = BlockUpdater(
        model,
        list(model.blocks),
        Scripted("2"),
        adamw(model),
        total_steps=2,
        stem=traced(model) if told else None,
    )
    for _ in range(2):
        train(updater, None, lambda: model(torch.ones(2, 4)).sum())
        trained = {name for name, p in model.named_parameters() if p.grad is not None}
        assert {name for name in trained if not name.startswith("blocks")} == {
            name for name, part in EXPECTED.items() if part > 0
        }
        model.zero_grad()


def test_a_resumed_run_knows_the_parts_before_its_first_step() -> None:
    """They are in the state: no tensor below requires a gradient in the first step after it."""
    model = tower(dropout=0.0)
    policy = Scripted("2")
    first = BlockUpdater(model, list(model.blocks), policy, adamw(model), total_steps=2)
    train(first, None, loss_of, model)
    state = json.loads(json.dumps(first.state_dict()))
    first.close()
    second = BlockUpdater(model, list(model.blocks), policy, adamw(model), total_steps=2)
    second.load_state_dict(state)
    entered: list[bool] = []
    model.blocks[2].register_forward_pre_hook(lambda _, args: entered.append(args[0].requires_grad))
    train(second, None, loss_of, model)
    assert entered == [False]
    assert json.loads(json.dumps(second.state_dict()))["places"] == state["places"]


def test_two_forwards_in_a_step_are_two_and_not_a_loop() -> None:
    """Two views through one model: the stem of the second is not above the blocks of the first."""
    model = tower(dropout=0.0)
    x = torch.randn(4, 3)
    both = trace_parts(model, list(model.blocks), lambda: (model(x) - model(-x)).sum())
    assert set(both.stem) == {"stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"}


def test_a_loss_without_a_graph_leaves_modules_to_say_it() -> None:
    """A float observed: what was called is known by its call, the rest by registration."""
    model = Scattered()
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)
    with updater.step() as step:
        loss = model(torch.ones(2, 4)).sum()
        backward(loss)
        step.observe(loss.item())
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {"embed.weight", "between.weight", "blocks.0.weight"} <= frozen
    assert not {"norm.weight", "blocks.1.weight"} & frozen


class Inner(nn.Module):
    """Blocks whose ``forward`` is called, past their hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block.forward(x)
        return self.head(x)  # type: ignore[no-any-return]


def test_blocks_that_are_not_called_are_told_of_and_registration_stands() -> None:
    """Nothing can be known of what runs when; gradients are exact all the same."""
    torch.manual_seed(0)
    model = Inner()
    blocks = list(model.blocks)
    places = trace_parts(model, blocks, lambda: model(torch.ones(2, 4)).sum())
    assert places.remarks() == [
        "blocks [0, 1] were not run by the forward; call them, not their forward"
    ]
    updater = BlockUpdater(model, blocks, Scripted("1"), adamw(model), total_steps=2)
    for _ in range(2):
        train(updater, None, lambda: model(torch.ones(2, 4)).sum())
        frozen = {name.rsplit(".", 1)[0] for name, p in model.named_parameters() if p.grad is None}
        assert frozen == {"stem", "head", "blocks.0"}
        model.zero_grad()


def test_blocks_in_another_order_are_told_of() -> None:
    """A list from the top down."""
    model = tower()
    places = trace_parts(model, list(reversed(model.blocks)), lambda: loss_of(model))
    assert places.order == (3, 2, 1, 0)
    assert "must be given in forward order" in places.remarks()[0]


class Restless(nn.Module):
    """Draws from every generator, counts, and moves statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))])
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("grown", None)

    seen: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen = self.seen + 1
        self.grown = torch.ones(3)
        noise = torch.randn(x.shape) + random.random() + float(np.random.rand())
        return self.blocks[0](x + noise)  # type: ignore[no-any-return]


def numpy_state() -> list[int]:
    numbers: list[int] = list(np.random.get_state(legacy=False)["state"]["key"])
    return numbers


def test_tracing_leaves_the_model_and_the_generators_as_they_were() -> None:
    """Buffers, attributes, modes, gradients; torch's, Python's and NumPy's next numbers."""
    model = Restless()
    before = (copy.deepcopy(model.state_dict()), model.calls)
    torchs, pythons, numpys = torch.get_rng_state(), random.getstate(), numpy_state()
    trace_parts(model, list(model.blocks), lambda: model(torch.ones(4, 3)).sum())
    assert all(map(torch.equal, before[0].values(), model.state_dict().values()))
    assert (model.calls, model.get_buffer("seen").item()) == (before[1], 0)
    assert model._buffers["grown"] is None
    assert torch.equal(torchs, torch.get_rng_state())
    assert pythons == random.getstate()
    assert numpys == numpy_state()
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


class Remembering(nn.Module):
    """Its forward leaves something in whatever can hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.average = nn.Linear(3, 3).requires_grad_(False)
        self.table = nn.Embedding(2, 3, max_norm=0.1)
        self.queue, self.seen, self.names = deque([1], maxlen=2), {"calls": [0]}, {"a"}
        self.meter = SimpleNamespace(total=0.0)
        self.plain = torch.zeros(2)
        self.draws = (torch.Generator(), random.Random(0), np.random.default_rng(0))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.average.weight.lerp_(self.blocks.get_parameter("0.weight"), 0.5)
        torchs, pythons, numpys = self.draws
        drawn = torch.rand(1, generator=torchs) + pythons.random() + numpys.random()
        self.queue.append(2)
        self.seen["calls"][0] += 1
        self.seen["more"] = [1]
        self.names.add("b")
        self.meter.total += 1
        self.plain += drawn
        x = x + self.table(torch.zeros(len(x), dtype=torch.long)) + self.plain.sum()
        return self.blocks[1](self.blocks[0](x))  # type: ignore[no-any-return]


def test_tracing_undoes_what_a_forward_leaves_behind() -> None:
    """Parameters that it writes, contents of containers and objects, generators; gradients of a
    backward within the loss. Each thing itself stays the one that it was.
    """
    model = Remembering()
    queue, calls = model.queue, model.seen["calls"]
    model.blocks[0].weight.grad = torch.ones(3, 3)
    untouched = copy.deepcopy(model)

    def loss() -> Tensor:
        model(torch.ones(4, 3)).sum().backward()
        return model(torch.ones(4, 3)).sum()  # type: ignore[no-any-return]

    trace_parts(model, list(model.blocks), loss)
    assert all(map(torch.equal, untouched.state_dict().values(), model.state_dict().values()))
    assert (list(model.queue), model.seen, model.names) == ([1], {"calls": [0]}, {"a"})
    assert model.queue is queue
    assert model.seen["calls"] is calls
    assert model.meter.total == 0
    weight, *others = model.parameters()
    assert torch.equal(weight.grad, torch.ones(3, 3))  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in others)
    with torch.no_grad():
        assert torch.equal(model(torch.ones(4, 3)), untouched(torch.ones(4, 3)))


@pytest.mark.parametrize("name", stateful.STATEFUL)
def test_a_model_that_was_traced_goes_on_as_one_that_was_not(name: str) -> None:
    """Wherever it keeps what a forward changes: slots, arrays, parameters' attributes, what hooks
    and forwards close over, layers in a plain list.
    """
    task = stateful.workload(stateful.STATEFUL[name])
    batches = [task.batch_at(0, step) for step in range(4)]
    losses = []
    for traces in (0, 2):
        model = task.make_model(0)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        for batch in batches[:traces]:
            trace_parts(model, task.blocks(model), partial(task.loss, model, batch))
        losses.append([task.loss(model, batch).item() for batch in batches])
    assert losses[0] == losses[1]


class Building(nn.Module):
    """Makes a norm and a weight for the width that its first forward sees."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "norm"):
            self.norm = nn.BatchNorm1d(x.shape[1], affine=False)
            self.weight = nn.Parameter(torch.ones(x.shape[1]))
        return self.norm(x) * self.weight  # type: ignore[no-any-return]


def test_what_a_first_forward_makes_is_gone_again() -> None:
    """Else its statistics had seen one batch more in a model that was traced."""
    model = nn.Sequential(Building(), nn.Linear(4, 4))
    with undone(model):
        model(torch.ones(3, 4))
        assert len(model.state_dict()) == 6
    assert list(model.state_dict()) == ["1.weight", "1.bias"]


def test_places_of_other_blocks_are_refused() -> None:
    """Traced with three blocks, given with two."""
    model = Scattered()
    with pytest.raises(ValueError, match="must be traced with these 2 blocks, but was with 3"):
        BlockUpdater(
            model,
            list(model.blocks[:2]),
            Scripted("1"),
            adamw(model),
            total_steps=1,
            stem=traced(model),
        )


def test_a_tied_weight_is_the_heads_whatever_shows_it() -> None:
    """By its two calls where the loss has no graph, by its two uses where it has."""
    model = Inner()
    model.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4)) for _ in range(2)])
    model.head.weight = model.stem.weight
    blocks = list(model.blocks)

    def forward() -> Tensor:
        return model.head(model.blocks[1](model.blocks[0](model.stem(torch.ones(2, 4))))).sum()  # type: ignore[no-any-return]

    for result in (forward, lambda: forward().item()):
        places = trace_parts(model, blocks, result)
        updater = BlockUpdater(
            model, blocks, Scripted("1"), adamw(model), total_steps=1, stem=places
        )
        train(updater, None, forward)
        assert model.stem.weight.grad is not None
        assert model.stem.bias.grad is None
        updater.close()
        model.zero_grad()


class Again(nn.Module):
    """Blocks that run again in the backward, by a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return self.head(x)  # type: ignore[no-any-return]


def larger(model: nn.Module, x: Tensor) -> Tensor:
    """Run with weights that are made ready before the forward."""
    weights = {name: 1.1 * p for name, p in model.named_parameters()}
    return functional_call(model, weights, (x,))  # type: ignore[no-any-return]


@pytest.mark.parametrize("run", [nn.Module.__call__, larger], ids=["checkpoint", "prepared"])
def test_the_head_is_trained_whatever_runs_again_or_early(run: Any) -> None:
    """Also where the top block is not; in the first step and in later ones."""
    model = Again()
    blocks = list(model.blocks)
    updater = BlockUpdater(model, blocks, Scripted("b0+1"), adamw(model), total_steps=2)
    for _ in range(2):
        train(updater, None, lambda: run(model, torch.ones(2, 4)).sum())
        frozen = {name.rsplit(".", 1)[0] for name, p in model.named_parameters() if p.grad is None}
        assert frozen == {"blocks.2"}
        model.zero_grad()


class Taught(nn.Module):
    """A copy of it runs first, without gradients, and says what is to be learned; it does, too."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = tower(dropout=0.5).requires_grad_(False)
        self.tower = tower(dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.teacher(x) + self.tower(x)
        return (self.tower(x) - wanted).square().mean()  # type: ignore[no-any-return]


@pytest.mark.parametrize("told", [False, True])
def test_what_runs_without_gradients_alone_never_rests(told: bool) -> None:
    """It is no stem, as nothing of it is ever trained. What runs with them too is one, and rests in
    both.
    """
    model = Taught()
    blocks, x = list(model.tower.blocks), batch_at(0)[0]
    modes: list[bool] = []
    model.tower.stem[1].register_forward_pre_hook(lambda norm, _: modes.append(norm.training))
    stem = trace_parts(model, blocks, lambda: model(x)) if told else None
    updater = BlockUpdater(
        model, blocks, Scripted("2"), adamw(model.tower), total_steps=2, stem=stem
    )
    for _ in range(2):
        with updater.step() as step:
            loss = model(x)
            backward(loss)
            step.observe(loss)
            assert all(module.training for module in model.teacher.modules())
    assert modes[-4:] == [False] * 4


def test_arrays_are_put_back_and_files_are_left_alone(tmp_path: Path) -> None:
    """A file may be larger than memory, and what a forward writes into it is no state of a model.

    What did not change is not written, so that whoever watches it sees nothing.
    """
    model: Any = tower()
    model.seen, model.same = np.zeros(3), np.ones(2)
    model.file = np.memmap(tmp_path / "data", dtype=np.float64, mode="w+", shape=(3,))
    with undone(model):
        model.seen += 1.0
        model.file += 1.0
        model.same.flags.writeable = False  # a write would raise
    assert model.seen.tolist() == [0.0] * 3
    assert model.file.tolist() == [1.0] * 3

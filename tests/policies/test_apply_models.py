"""Models nobody here wrote, and those with something unusual about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from policies.apply import BlockUpdater
from policies.static_suffix import StaticSuffix
from tests.policies.nets import Scripted, Tower, adamw, backward, batch_at, loss_of, tower, train


def encoder(**options: Any) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, **options)
    return nn.TransformerEncoder(
        layer, 4, enable_nested_tensor=not options.get("norm_first", False)
    )


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"dropout": 0.0}])
@pytest.mark.parametrize("padded", [False, True])
def test_transformer_encoder(options: dict[str, Any], padded: bool) -> None:
    """Frozen layers would take a fused path with nested tensors: train with and without a padding
    mask.
    """
    model = encoder(**options)
    optimizer = adamw(model)
    updater = BlockUpdater(
        model, list(model.layers), Scripted("p 2 1 p 3"), optimizer, total_steps=6
    )
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[0, 3:] = padded
    for number in range(6):
        x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(number))
        before = [p.detach().clone() for p in model.layers[0].parameters()]
        train(updater, optimizer, lambda x: model(x, src_key_padding_mask=mask).square().mean(), x)
        unmoved = all(map(torch.equal, before, model.layers[0].parameters()))
        assert unmoved == (number in (1, 2, 4, 5))
    assert torch.backends.mha.get_fastpath_enabled()


class Tied(nn.Module):
    """A language model whose output projection is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)])
        self.project = nn.Linear(8, 11, bias=False)
        self.project.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return functional.cross_entropy(self.project(x).flatten(0, 1), tokens.flatten())


def tied_gradient(model: Tied, tokens: Tensor) -> Tensor:
    """What plain freezing of all layers but the last gives the shared weight."""
    for layer in model.layers[:-1]:
        layer.requires_grad_(False)
    backward(model(tokens))
    gradient = model.embed.weight.grad
    assert gradient is not None
    model.zero_grad()
    model.requires_grad_(True)
    return gradient


def test_a_tied_embedding_is_the_heads_and_has_its_whole_gradient() -> None:
    """From the output and, through the frozen layers, from the input; as plain freezing."""
    torch.manual_seed(0)
    model = Tied()
    tokens = torch.randint(0, 11, (2, 5))
    expected = tied_gradient(model, tokens)
    updater = BlockUpdater(model, list(model.layers), Scripted("1"), adamw(model), total_steps=1)
    train(updater, None, model, tokens)
    torch.testing.assert_close(model.embed.weight.grad, expected)


def test_a_tied_embedding_named_as_stem_rests_with_the_bottom() -> None:
    """Then neither graph nor backward reaches below the lowest active block."""
    torch.manual_seed(0)
    model = Tied()
    updater = BlockUpdater(
        model,
        list(model.layers),
        Scripted("1"),
        adamw(model),
        total_steps=1,
        stem=[model.embed.get_parameter("weight")],
    )
    entered: list[bool] = []
    model.layers[2].register_forward_pre_hook(lambda _, args: entered.append(args[0].requires_grad))
    train(updater, None, model, torch.randint(0, 11, (2, 5)))
    assert model.embed.weight.grad is None
    assert entered == [False]


class Checkpointed(Tower):
    """The tower with every block recomputed in the backward."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)  # type: ignore[no-any-return]


def test_checkpointing_without_reentry_gives_the_same_gradients() -> None:
    """Beside the same tower without checkpoints, dropout included."""
    grads = []
    for kind in (Tower, Checkpointed):
        torch.manual_seed(0)
        model = kind()
        updater = BlockUpdater(
            model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1
        )
        train(updater, None, loss_of, model)
        grads.append([p.grad for p in model.parameters()])
    assert [g is None for g in grads[0]] == [g is None for g in grads[1]]
    assert all(
        torch.equal(a, b) for a, b in zip(*grads, strict=True) if a is not None and b is not None
    )


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("script", ["4", "2"])
def test_reentrant_checkpointing_is_refused_before_it_loses_gradients(script: str) -> None:
    """In the first step, also where all blocks still train."""
    model = Checkpointed()
    model.reentrant = True
    updater = BlockUpdater(model, list(model.blocks), Scripted(script), adamw(model), total_steps=1)
    x, _ = batch_at(0)
    with pytest.raises(RuntimeError, match="use_reentrant=False"), updater.step():
        model(x)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpointing_that_begins_later_is_refused() -> None:
    """In a step in which nothing is frozen, as those before it were."""
    model = Checkpointed()
    updater = BlockUpdater(model, list(model.blocks), Scripted("4"), adamw(model), total_steps=3)
    for step in range(2):
        train(updater, None, loss_of, model, step)
    model.reentrant = True
    x, _ = batch_at(2)
    with pytest.raises(RuntimeError, match="use_reentrant=False"), updater.step():
        model(x)


def test_a_forward_without_gradients_inside_a_step_is_allowed() -> None:
    """A teacher's outputs, say."""
    model = tower()
    updater = BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)
    x, _ = batch_at(0)
    with updater.step() as step:
        with torch.no_grad():
            target = model(x)
        loss = functional.mse_loss(model(x), target + 1)
        backward(loss)
        step.observe(loss)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A real group of one process."""
    store = distributed.FileStore(  # type: ignore[attr-defined]
        str(tmp_path / "store"), 1
    )
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel_is_refused_with_what_to_do() -> None:
    """The wrapper itself and a model that contains it."""
    model = tower()
    wrapped = DistributedDataParallel(model)
    for outer in (wrapped, nn.Sequential(wrapped)):
        with pytest.raises(
            ValueError, match=r"DistributedDataParallel.*pass the bare module, average"
        ):
            BlockUpdater(outer, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)


class Skipping(nn.Module):
    """Blocks that take and give tuples, dicts and lists, and an input shared by all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 4)
        self.layers = nn.ModuleList([Mixing() for _ in range(3)])
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        carried = (x, {"skip": [x]})
        for layer in self.layers:
            carried = layer(carried, extra=x)
        return self.head(carried[0])  # type: ignore[no-any-return]


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(
        self, carried: tuple[Tensor, dict[str, list[Tensor]]], extra: Tensor
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        x, more = carried
        x = torch.tanh(self.linear(x) + more["skip"][0] + extra)
        return x, {"skip": [*more["skip"], x]}


def test_what_blocks_carry_in_tuples_dicts_and_keywords_is_not_cut() -> None:
    """With a stem left to the head: its gradient is that of plain freezing."""
    torch.manual_seed(0)
    model = Skipping()
    model.layers[0].requires_grad_(False)
    backward(model(torch.ones(2, 4)).sum())
    expected = model.embed.weight.grad
    model.zero_grad()
    model.requires_grad_(True)
    updater = BlockUpdater(
        model, list(model.layers), Scripted("2"), adamw(model), total_steps=1, stem=[]
    )
    train(updater, None, lambda x: model(x).sum(), torch.ones(2, 4))
    assert model.embed.weight.grad is not None
    torch.testing.assert_close(model.embed.weight.grad, expected)


def test_adapters_train_and_the_weights_beneath_stay_frozen() -> None:
    """Weights frozen beforehand are never thawed, and relevance is read from what trains."""
    model = tower()
    for block in model.blocks:
        block.get_parameter("linear.weight").requires_grad_(False)
    updater = BlockUpdater(
        model, list(model.blocks), Scripted("p 1 p"), adamw(model), total_steps=3
    )
    optimizer = adamw(model)
    before = [block.get_parameter("linear.weight").clone() for block in model.blocks]
    for number in range(3):
        train(updater, optimizer, loss_of, model, number)
    after = [block.get_parameter("linear.weight") for block in model.blocks]
    assert all(map(torch.equal, before, after))


def test_parameters_missing_from_the_optimizer_are_no_matter() -> None:
    """An optimizer that holds the head alone, with moments to reset at every thaw."""
    model = tower()
    optimizer = adamw(model.head)
    updater = BlockUpdater(
        model,
        list(model.blocks),
        Scripted("p 1 p"),
        optimizer,
        total_steps=3,
        moments_on_thaw="reset",
    )
    for number in range(3):
        train(updater, optimizer, loss_of, model, number)


def test_compiled_models_train_what_the_plan_names() -> None:
    """A graph compiled for one depth must not serve another: look which gradients exist after each
    step.
    """
    model = tower(2, dropout=0.0)
    updater = BlockUpdater(
        model, list(model.blocks), Scripted("2 1 2 1"), adamw(model), total_steps=4
    )
    compiled = torch.compile(model, backend="aot_eager")
    for depth in (2, 1, 2, 1):
        train(updater, None, loss_of, compiled)
        has = [all(p.grad is not None for p in block.parameters()) for block in model.blocks]
        assert has == [False] * (2 - depth) + [True] * depth
        model.zero_grad()


def test_static_suffix_of_everything_is_full() -> None:
    """No block rests where the fraction is one."""
    model = tower()
    updater = BlockUpdater(
        model, list(model.blocks), StaticSuffix(active_fraction=1.0), adamw(model), total_steps=1
    )
    step = train(updater, None, loss_of, model, 0)
    assert step.plan.phase == "full"
    assert all(p.grad is not None for p in model.parameters())

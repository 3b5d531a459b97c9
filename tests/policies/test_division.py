"""How a model is divided into stem, blocks and head, and models that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from policies.apply import BlockUpdater
from tests.policies.nets import Scripted, adamw, block, tower, train


class Odd(nn.Module):
    """A parameter of its own, a transition between blocks, a norm registered before the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.norm = nn.LayerNorm(4)
        self.embed = nn.Linear(4, 4)
        self.low = nn.Linear(4, 4)
        self.transition = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
        self.high = nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.high(self.transition(self.low(self.embed(x))))
        return self.head(self.norm(x)) * self.scale  # type: ignore[no-any-return]


class TestDivision:
    def trained(
        self, model: nn.Module, blocks: list[nn.Module], depth: int, **options: Any
    ) -> set[str]:
        updater = BlockUpdater(
            model, blocks, Scripted(str(depth)), adamw(model), total_steps=1, **options
        )
        train(updater, None, lambda x: model(x).sum(), torch.randn(2, 4))
        trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
        updater.close()
        model.zero_grad()
        return trained

    def test_what_runs_before_the_first_block_is_stem(self) -> None:
        """A transition goes with the block before it; a norm registered first but run last and a
        factor of the model itself are the head's.
        """
        model = Odd()
        assert self.trained(model, [model.low, model.high], 1) == {"scale", "norm", "high", "head"}
        assert self.trained(model, [model.low, model.high], 2) == {
            "scale", "norm", "embed", "low", "transition", "high", "head",
        }  # fmt: skip

    def test_named_stems_leave_the_rest_to_the_head(self) -> None:
        """By module, and by parameter."""
        model = Odd()
        assert self.trained(model, [model.low, model.high], 1, stem=[model.embed]) == {
            "scale", "norm", "high", "head",
        }  # fmt: skip
        stem = [model.embed, model.scale]
        assert self.trained(model, [model.low, model.high], 1, stem=stem) == {
            "norm",
            "high",
            "head",
        }

    def test_the_model_itself_may_be_its_only_block(self) -> None:
        """Then all of it trains in every step."""
        model = nn.Linear(4, 1)
        assert self.trained(model, [model], 1) == {"weight", "bias"}

    @pytest.mark.parametrize(
        ("blocks", "fault"),
        [
            (lambda m: [], "at least one module"),
            (lambda m: [m.blocks[0], nn.Linear(1, 1)], r"block 1 \(Linear\) is not"),
            (
                lambda m: [m.blocks[0], m.blocks[1], m.blocks[0]],
                "block 0 and block 2 are one module",
            ),
            (lambda m: (b for b in m.blocks), r"but got a generator; pass list\(...\)"),
            (lambda m: set(m.blocks), "but got a set"),
            (lambda m: dict(m.named_children()), "but got a dict"),
            (lambda m: nn.ModuleDict({"a": m.blocks[0]}), r"block 0 \(str\) is not"),
            (lambda m: [m.blocks[0], m.blocks[0].linear], "block 1 is in block 0"),
        ],
    )
    def test_blocks_that_are_none(self, blocks: Any, fault: str) -> None:
        """None, foreign, repeated and nested ones."""
        model = tower()
        with pytest.raises(ValueError, match=fault):
            BlockUpdater(model, blocks(model), Scripted("1"), adamw(model), total_steps=1)

    def test_a_last_block_with_nothing_to_train(self) -> None:
        """Then the least depth would train no block at all."""
        model = tower()
        model.blocks.append(nn.Identity())
        with pytest.raises(ValueError, match=r"block 4 \(Identity\) has none .*leave it out"):
            BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)
        model = tower()
        model.blocks[3].requires_grad_(False)
        with pytest.raises(ValueError, match=r"block 3 \(Residual\) has none"):
            BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)

    def test_parameters_shared_between_blocks(self) -> None:
        """Between two blocks, and between a block and the head; both are named."""
        model = tower()
        block(model, 1).linear.weight = block(model, 0).linear.weight
        model.head.bias = block(model, 2).linear.bias
        with pytest.raises(ValueError, match="must belong to one block") as caught:
            BlockUpdater(model, list(model.blocks), Scripted("2"), adamw(model), total_steps=1)
        assert "blocks.0.linear.weight and blocks.1.linear.weight are one" in str(caught.value)
        assert "blocks.2.linear.bias and head.bias are one" in str(caught.value)

    def test_stems_that_are_none(self) -> None:
        """One that is no part of the model, and one that holds the blocks."""
        model = tower()
        with pytest.raises(ValueError, match=r"Linear is not one; .*ModuleList contains one"):
            BlockUpdater(
                model,
                list(model.blocks),
                Scripted("2"),
                adamw(model),
                total_steps=1,
                stem=[nn.Linear(1, 1), model.blocks],
            )

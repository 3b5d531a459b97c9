"""Batches whose examples do not lie along the first dimension are found out; others are let be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.application.direction import direction_fault
from models.application.trying import lever_faults
from models.workload import Workload
from tests.models.application.nets import KINDS_OF_INPUT, WIDTH
from tests.support import tiny

EXAMPLES, TIMES = 4, 6
CPU = torch.device("cpu")


class Recurrent(nn.Module):
    """Tokens, times first -> logits; with a new head of zeros everything is as likely."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(KINDS_OF_INPUT, WIDTH)
        self.blocks = nn.ModuleList([nn.GRU(WIDTH, WIDTH), nn.GRU(WIDTH, WIDTH)])
        self.head = nn.Linear(WIDTH, KINDS_OF_INPUT)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.stem(tokens)
        for block in self.blocks:
            x = block(x)[0]
        return self.head(x)  # type: ignore[no-any-return]


def tokens(seed: int, examples: int) -> Tensor:
    """Times first."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(KINDS_OF_INPUT, (TIMES, examples), generator=draws)


def make(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Recurrent()


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    logits: Tensor = model(x)
    return functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def workload(batch: Callable[[Tensor], Any], loss: Callable[[nn.Module, Any], Tensor]) -> Workload:
    """On ``batch`` of tokens with the times first."""
    return replace(
        tiny.tiny(),
        make_model=make,
        blocks=lambda model: list(model.get_submodule("blocks").children()),
        batch_at=lambda seed, step: batch(tokens(step, EXAMPLES)),
        loss=loss,
    )


def labelled(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """One label an example."""
    return functional.cross_entropy(model(batch[0])[-1], batch[1])


def in_a_list(model: nn.Module, batch: list[Tensor]) -> Tensor:
    each = [cross_entropy(model, row[:-1, None], row[1:, None]) for row in batch]
    return torch.stack(each).mean()


def ragged(x: Tensor) -> list[Tensor]:
    return [row[: TIMES - number] for number, row in enumerate(x.T)]


LYING_OTHERWISE = {
    "times first": workload(
        lambda x: (x[:-1], x[1:]), lambda model, batch: cross_entropy(model, *batch)
    ),
    "a label each": workload(lambda x: (x, x[0]), labelled),
    "as many times as examples": workload(lambda x: (x[:EXAMPLES], x[0]), labelled),
    "summed": workload(
        lambda x: {"x": x}, lambda model, b: TIMES * 4 * cross_entropy(model, b["x"], b["x"])
    ),
    "a list of texts": workload(ragged, in_a_list),
}


@pytest.mark.parametrize("kind", LYING_OTHERWISE)
def test_another_way_is_named(kind: str) -> None:
    """The message says which, and what to do; the batch is not searched."""
    fault = str(direction(LYING_OTHERWISE[kind]))
    assert ("in a list" if "list" in kind else "along the second dimension") in fault
    assert "give batches with the examples first" in fault
    assert lever_faults(LYING_OTHERWISE[kind], CPU)["batch"]() == fault


def direction(made: Workload) -> str | None:
    with torch.no_grad():
        return direction_fault(made, CPU)


def first(model: nn.Module, batch: Tensor) -> Tensor:
    """Turned in the loss, as the message says."""
    return cross_entropy(model, batch.T, batch.T)


def of_all_together(model: nn.Module, batch: Tensor) -> Tensor:
    """Each example told from the others of its batch."""
    ends = model(batch.T)[-1]
    return functional.cross_entropy(ends @ ends.T, torch.arange(len(ends)))


def of_all_bags_together(model: nn.Module, batch: Tensor) -> Tensor:
    """Likewise, of words without their order: the same words twice over come to the same."""
    bags: Tensor = model.get_submodule("stem")(batch).mean(1)
    return functional.cross_entropy(bags @ bags.T, torch.arange(len(bags)))


def drawn(model: nn.Module, batch: Tensor) -> Tensor:
    """Of noisy activations, as diffusion is."""
    ends: Tensor = model(batch.T)[-1]
    return (ends + torch.randn_like(ends)).square().mean()


def of_tokens_alone(model: nn.Module, batch: Tensor) -> Tensor:
    """In whichever way they lie, they are examples."""
    logits = model.get_submodule("head")(model.get_submodule("stem")(batch))
    return functional.cross_entropy(logits.mT, batch)


WHATEVER = [first, of_all_together, of_all_bags_together, drawn, of_tokens_alone]


@pytest.mark.parametrize("loss", WHATEVER)
def test_what_lies_first_or_tells_nothing_is_let_be(loss: Any) -> None:
    assert direction(workload(lambda x: x.T.contiguous(), loss)) is None
    for other in (tiny.tiny(), tiny.again()):
        assert direction(other) is None

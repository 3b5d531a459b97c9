"""Which levers a workload's model can have, on models that it would go wrong with in silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.adapters import Examples, bring, shorter, supervised
from models.application.trying import lever_faults
from models.workload import Workload
from tests.models.application.nets import KINDS_OF_INPUT, Net, batch, loss
from tests.support import tiny

EXAMPLES, HALF_AN_EPOCH = 12, 6
CPU = torch.device("cpu")


class Drawing(Net):
    """Dropout that belongs to no module, as hand-written models have it."""

    def forward(self, tokens: Tensor) -> Tensor:
        x = functional.dropout(self.stem(tokens), 0.5, self.training)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


class Centred(Net):
    """Without the mean of the batch, as hand-written models take it away."""

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.stem(tokens)
        x = x - x.mean(0)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


class Tied(Net):
    """The output's matrix is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        self.head[1].weight = self.stem.weight


class Aside(nn.Module):
    """What the first block alone makes reaches the others beside the stream, as T5's does; at
    first it is hardly anything.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor]:
        y = self.inner(x)
        made = 0.05 * y.abs().mean() if beside is None else beside
        return (y if beside is None else y + made * y.roll(1, -1)), made


class Biased(Net):
    """All blocks are given what the first one makes beside."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(map(Aside, self.blocks))

    def forward(self, tokens: Tensor) -> Tensor:
        x, beside = self.stem(tokens), None
        for block in self.blocks:
            x, beside = block(x, beside)
        return self.head(x)  # type: ignore[no-any-return]


def examples_at(seed: int, step: int) -> Tensor:
    """Two batches an epoch."""
    return torch.arange(HALF_AN_EPOCH) + step % 2 * HALF_AN_EPOCH


def tokens_at(seed: int, step: int) -> Tensor:
    return batch(0, EXAMPLES)[examples_at(seed, step)]


def workload(make: Callable[[], nn.Module], **others: Any) -> Workload:
    """Of the next token, with examples that come again."""
    made = Workload(
        "made",
        make_model=lambda seed: make(),
        blocks=lambda model: list(model.get_submodule("blocks").children()),
        batch_at=tokens_at,
        loss=loss,
        evaluate=lambda model: float(loss(model, batch(0))),
        make_optimizer=lambda model: torch.optim.AdamW(model.parameters()),
        steps=6,
        eval_every=3,
        examples_at=examples_at,
    )
    return replace(made, **others)


def prefix_fault(made: Workload) -> str | None:
    return lever_faults(made, CPU)["cached_prefix"]()


def test_a_frozen_prefix_may_hold_dropout() -> None:
    """It rests with the blocks that it is in."""
    assert prefix_fault(workload(lambda: Net(dropout=0.5))) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Drawing, "given other activations of the same example each time"),
        (Tied, "something below block 3 is trained with the blocks above it"),
        (Biased, "the blocks' input is not all that reaches them from below"),
    ],
)
def test_a_prefix_that_would_not_stay_as_it_was_kept_is_left_out(
    make: Callable[[], nn.Module], said: str
) -> None:
    """In evaluation mode, and before the first step, the first two are no other than they were."""
    assert said in str(prefix_fault(workload(make)))


def test_a_prefix_that_hangs_on_the_rest_of_the_batch_is_left_out() -> None:
    """In the next epoch an example stands beside other ones; where it never does all is fine."""

    def shuffled(seed: int, step: int) -> Tensor:
        order = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(step // 2))
        return order.view(2, HALF_AN_EPOCH)[step % 2]

    of_shuffled = {
        "examples_at": shuffled,
        "batch_at": lambda seed, step: batch(0, EXAMPLES)[shuffled(seed, step)],
    }
    assert prefix_fault(workload(Net, **of_shuffled)) is None
    assert prefix_fault(workload(Centred)) is None
    fault = prefix_fault(workload(Centred, **of_shuffled))
    assert "of the same example beside other ones" in str(fault)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ids: [f"example {int(number)}" for number in ids], r"got a list of \(str, str"),
        (lambda ids: ids[:, None], r"got a tensor of shape \(6, 1\)"),
        (lambda ids: ids.float(), "and torch.float32"),
        (lambda ids: None, "got None"),
    ],
    ids=["names", "a column", "floats", "nothing"],
)
def test_examples_have_whole_numbers(change: Callable[[Tensor], Any], said: str) -> None:
    """What else ``examples_at`` returns is named; a list of numbers is as good as a tensor."""
    fault = prefix_fault(workload(Net, examples_at=lambda *at: change(examples_at(*at))))
    assert re.search(f"must return a whole number for each example.*{said}", str(fault))
    assert prefix_fault(workload(Net, examples_at=lambda *at: examples_at(*at).tolist())) is None


@dataclass
class Sample:
    """A batch of a class of its own, as arrays."""

    tokens: np.ndarray
    weight: float = 1.0


def test_an_example_that_is_changed_now_and_then_is_another() -> None:
    """Two of six, in arrays of a dataclass."""

    def changed(seed: int, step: int) -> Sample:
        tokens = tokens_at(seed, step).numpy().copy()
        tokens[-2:] = (tokens[-2:] + step // 2) % KINDS_OF_INPUT
        return Sample(tokens, weight=1.0 + step)

    def kept(seed: int, step: int) -> Sample:
        return Sample(tokens_at(seed, step).numpy(), weight=1.0 + step)

    of_sample = {"loss": lambda model, each: loss(model, torch.as_tensor(each.tokens))}
    assert prefix_fault(workload(Net, batch_at=kept, **of_sample)) is None
    fault = prefix_fault(workload(Net, batch_at=changed, **of_sample))
    assert fault == "the same example is another at steps 0 and 2"


def test_what_is_fine_stays_so() -> None:
    """No lever of the tests' own workload with examples is left out."""
    assert {
        name: fault() for name, fault in lever_faults(tiny.again(), CPU).items()
    } == dict.fromkeys(("batch", "depth", "input", "cached_prefix"))


def test_where_batches_cannot_be_made_smaller_it_says_what_to_give() -> None:
    """Texts beside their targets in a tuple, say, of which nobody knows that they are texts; what
    is said to be given does.
    """
    ids = torch.arange(48).reshape(8, 6)

    def model() -> nn.Module:
        return nn.Sequential(nn.Embedding(48, 6), nn.Linear(6, 6), nn.Linear(6, 48))

    def made(**others: Any) -> Workload:
        data = Examples((ids, ids), 0.5, batch_size=2)
        criterion = supervised(lambda logits, to: functional.cross_entropy(logits.mT, to))
        return bring("pairs", model, data, loss=criterion, steps=4, optimizer=0.1, **others)

    assert "give one, or of models.adapters shorter" in str(lever_faults(made(), CPU)["input"]())
    given = made(shrink=shorter)
    assert lever_faults(given, CPU)["input"]() is None
    assert given.shrink is not None
    small = given.shrink(given.batch_at(0, 0), 0.5)
    assert [part.shape for part in small] == [(2, 3), (2, 3)]


def test_texts_that_are_padded_by_the_batch_cannot_be_joined() -> None:
    """The first batches may be alike, and a trial would fail where two are not; cut they can be.

    Where the data set puts any examples together, all of it can be had.
    """
    plain = tiny.tiny()

    def batch_at(seed: int, step: int) -> Any:
        x, y = plain.batch_at(seed, step)
        return (x, y) if step != 5 else (torch.cat([x, x[:, :1]], 1), y)

    fault = lever_faults(replace(plain, batch_at=batch_at), CPU)["batch"]()
    assert "one shape to be joined" in str(fault)
    assert "pad all batches to one length" in str(fault)
    assert lever_faults(plain, CPU)["batch"]() is None
    sets = [(torch.ones(1 + number % 5), torch.tensor(0)) for number in range(16)]
    texts = Examples(sets, batch_size=2, collate=padded)
    summed = replace(plain, batch_at=texts.batch_at, loss=lambda model, batch: batch[0].sum())
    assert lever_faults(summed, CPU)["batch"]() is None


def padded(examples: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts as long as the longest of them, and their labels."""
    texts, labels = zip(*examples, strict=True)
    return torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True), torch.stack(labels)


def test_batches_of_which_half_has_no_loss_are_left_out() -> None:
    """A loss that takes a fixed number of examples for itself has none of the rest to average."""

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return tiny.loss(model, (x[tiny.BATCH // 2 :], y[tiny.BATCH // 2 :]))

    fault = lever_faults(replace(tiny.tiny(), loss=loss), CPU)["batch"]()
    assert fault == "of 0.5 batches the loss is nan"

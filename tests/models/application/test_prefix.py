"""A prefix that is kept: what is served is what the prefix makes, and nothing below is run."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.application.prefix import Prefix, Rows
from models.levers.cached_prefix import CachedPrefix
from tests.models.application.nets import WIDTH, Net, TupleNet, batch


class Counted(nn.Module):
    """A block that counts how often it runs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.runs = inner, 0

    def forward(self, *args: Tensor, **kwargs: Tensor) -> object:
        """As the block in it."""
        self.runs += 1
        return self.inner(*args, **kwargs)


def runs_of(blocks: nn.ModuleList) -> list[int]:
    return [block.runs for block in blocks if isinstance(block, Counted)]


@pytest.mark.parametrize("tuples", [False, True])
def test_served_is_what_the_prefix_makes(tuples: bool) -> None:
    """The same output to the bit, and the blocks below do not run, whatever they return."""
    model = TupleNet(4).eval() if tuples else Net().eval()
    blocks = model.layers if isinstance(model, TupleNet) else model.blocks
    for index, block in enumerate(blocks):
        blocks[index] = Counted(block)
    prefix = Prefix(list(blocks), CachedPrefix(0.5))
    x = torch.randn(6, WIDTH) if tuples else batch(0)
    ids = torch.arange(len(x))
    with prefix.around(ids) as first:
        expected = model(x)
    with prefix.around(ids) as second:
        served = model(x)
    assert (first.served, first.kept) == (False, True)
    assert (second.served, second.kept) == (True, False)
    assert torch.equal(served, expected)
    assert runs_of(blocks) == [1, 1, 2, 2]
    assert torch.equal(model(x), expected)
    assert runs_of(blocks) == [2, 2, 3, 3]


def test_examples_are_told_apart() -> None:
    """In another order, each has its own activations; one that is new makes the whole batch run."""
    model = Net().eval()
    prefix = Prefix(list(model.blocks), CachedPrefix(0.5))
    x = batch(0)
    ids = torch.arange(len(x))
    with prefix.around(ids):
        model(x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    with prefix.around(ids[order]) as visit:
        served = model(x[order])
    assert visit.served
    torch.testing.assert_close(served, model(x[order]))
    ids[0] = 99
    with prefix.around(ids) as visit:
        model(x)
    assert (visit.served, visit.kept) == (False, True)


def test_saved_and_loaded() -> None:
    """Through a file that holds tensors and plain values alone."""
    model = Net().eval()
    first, second = (Prefix(list(model.blocks), CachedPrefix(0.5)) for _ in range(2))
    x = batch(0)
    ids = torch.arange(len(x))
    with first.around(ids):
        expected = model(x)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    with second.around(ids) as visit:
        assert torch.equal(model(x), expected)
    assert visit.served


def test_memory_is_bounded() -> None:
    """Rows of twelve bytes in fifty: four are kept, the fifth is not."""
    rows = Rows(50, None)
    assert rows.keep([1, 2, 2, 3], torch.arange(12.0).reshape(4, 3))
    assert rows.keep([4, 5], torch.zeros(2, 3))
    assert not rows.keep([6], torch.zeros(1, 3))
    assert rows.has([1, 2, 3, 4])
    assert not rows.has([5])
    assert torch.equal(rows.of([3, 1]), torch.tensor([[9.0, 10, 11], [0, 1, 2]]))


def test_examples_of_another_size_run_through_the_prefix_again() -> None:
    """Batches by length: those of the first one's length are kept, no other is stretched to it."""
    model = Net().eval()
    prefix = Prefix(list(model.blocks), CachedPrefix(0.5))
    visits = []
    for start, width in [(0, 5), (6, 1), (12, 3), (0, 5), (6, 1)]:
        x, ids = batch(start)[:, :width], torch.arange(6) + start
        expected = model(x)
        with prefix.around(ids) as visit:
            assert torch.equal(model(x), expected)
        visits.append((visit.served, visit.kept))
    assert visits == [(False, True), *[(False, False)] * 2, (True, False), (False, False)]


class Texts(nn.Module):
    """The mean over texts of what the blocks make of them, zeros behind them too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(20, WIDTH)
        self.blocks = nn.ModuleList(Counted(nn.Linear(WIDTH, WIDTH)) for _ in range(4))

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) -> (batch, width)."""
        x = self.stem(ids)
        for block in self.blocks:
            x = block(x)
        return x.mean(1)  # type: ignore[no-any-return]


@given(
    lengths=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    batches=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=8),
    saved=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_texts_padded_to_one_another_are_served_at_the_length_they_have_now(
    lengths: list[int], batches: list[set[int]], saved: bool
) -> None:
    """A text that was kept beside a longer one runs through the prefix again beside shorter ones,
    whichever of them came first; what was loaded knows it too.
    """
    torch.manual_seed(0)
    model = Texts().eval()
    prefix = Prefix(list(model.blocks), CachedPrefix(0.5))
    for numbers in map(sorted, batches):
        texts = [torch.full((lengths[number],), number + 1) for number in numbers]
        ids = nn.utils.rnn.pad_sequence(texts, batch_first=True)
        expected, before = model(ids), runs_of(model.blocks)
        with prefix.around(torch.tensor(numbers)) as visit:
            torch.testing.assert_close(model(ids), expected)
        assert runs_of(model.blocks)[0] - before[0] == (not visit.served)
        if saved:
            state, prefix = prefix.state_dict(), Prefix(list(model.blocks), CachedPrefix(0.5))
            prefix.load_state_dict(state)


def test_activations_that_are_no_row_an_example_are_refused() -> None:
    """The message names the block and both numbers."""
    model = Net().eval()
    prefix = Prefix(list(model.blocks), CachedPrefix(0.5))
    with (
        pytest.raises(ValueError, match=r"block 2 is given .* for 1 examples"),
        prefix.around(torch.tensor([0])),
    ):
        model(batch(0))


def test_what_is_trained_below_is_refused_while_it_runs() -> None:
    """Once it is settled what is frozen."""
    model, ids = Net(), torch.arange(6)
    prefix = Prefix(list(model.blocks), CachedPrefix(0.5), lambda: True)
    with (
        pytest.raises(ValueError, match="something below block 2 is trained with the blocks above"),
        prefix.around(ids),
    ):
        model(batch(0))
    for block in [model.stem, *model.blocks[:2]]:
        block.requires_grad_(False)
    with prefix.around(ids) as visit:
        model(batch(0))
    assert visit.kept

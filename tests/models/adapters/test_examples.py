"""Batches by number, from everything that has numbered examples."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset, WeightedRandomSampler

from models.adapters import Cursor, Examples, Windows, from_loader
from models.application.batches import OfSeed, Stream
from models.batches import tensors_of
from models.settings import told

ROWS = torch.arange(40, dtype=torch.float32)[:, None].repeat(1, 3), torch.arange(40)


class Noisy(Dataset[Any]):
    """Draws from every generator whenever an example is read."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Tensor:
        drawn = [torch.rand(1).item(), float(np.random.rand()), random.random()]
        return torch.tensor([index, *drawn])


def of_hugging_face() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"x": [[i, i] for i in range(40)], "y": list(range(40))})


SOURCES: dict[str, Any] = {
    "tensors": lambda: Examples(ROWS, batch_size=8),
    "one tensor": lambda: Examples(ROWS[0], batch_size=8),
    "torch's": lambda: Examples(TensorDataset(*ROWS), batch_size=8),
    "drawing": lambda: Examples(Noisy(), batch_size=8),
    "a list": lambda: Examples([(float(i), i) for i in range(40)], batch_size=8),
    "Hugging Face": lambda: Examples(of_hugging_face(), batch_size=8),
    "a text": lambda: Examples(Windows("to be or not " * 40, 8), batch_size=8),
    "a loader": lambda: from_loader(DataLoader(Noisy(), 8, shuffle=True), [torch.zeros(8, 4)]),
    "a loader with a generator": lambda: from_loader(
        DataLoader(Noisy(), 8, shuffle=True, generator=torch.Generator()), [torch.zeros(8, 4)]
    ),
    "a weighted loader": lambda: from_loader(
        DataLoader(Noisy(), 8, sampler=WeightedRandomSampler([1.0] * 40, 40)), [torch.zeros(8, 4)]
    ),
    "a stream": lambda: Cursor(lambda: (torch.rand(8, 2) for _ in range(5)), [torch.rand(8, 2)]),
    "a loader as a stream": lambda: Cursor(
        lambda: DataLoader(Noisy(), 8, shuffle=True), [torch.rand(8, 4)]
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@given(steps=st.lists(st.integers(0, 14), min_size=1, max_size=6), seed=st.integers(0, 2))
@settings(max_examples=10, deadline=None)
def test_a_batch_depends_on_seed_and_step_alone(name: str, steps: list[int], seed: int) -> None:
    """Asked in any order, of old data and of new, whatever the process drew before; and the
    process's generators stand where they stood.
    """
    data, other = SOURCES[name](), SOURCES[name]()
    for step in steps:
        before = torch.get_rng_state()
        one = tensors_of(data.batch_at(seed, step))
        assert torch.equal(before, torch.get_rng_state())
        torch.rand(1), np.random.rand(), random.random()
        two = tensors_of(other.batch_at(seed, step))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert data.fingerprint == other.fingerprint


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in ("a text", "one tensor")])
def test_other_seeds_have_other_batches(name: str) -> None:
    """And so have the epochs of one."""
    data = SOURCES[name]()
    epoch = 4 if data.examples_at is not None and "loader" not in name else 5
    first = tensors_of(data.batch_at(0, 0))[0]
    assert not torch.equal(first, tensors_of(data.batch_at(1, 0))[0])
    assert not torch.equal(first, tensors_of(data.batch_at(0, epoch))[0])


@pytest.mark.parametrize("name", SOURCES)
def test_what_was_read_is_no_part_of_what_data_are(name: str) -> None:
    """A run is known again by what its workload holds, told before anything was read and after."""
    data = SOURCES[name]()
    assert data.held_out  # as ``bring`` asks for it
    before = told(data.batch_at)
    for seed, step in itertools.product(range(2), range(0, 40, 3)):
        data.batch_at(seed, step)
    assert told(data.batch_at) == before


def test_an_epoch_holds_every_example_once_and_none_that_is_held_out() -> None:
    """Of 40, four are held out; 36 fill four batches of nine."""
    data = Examples(ROWS, batch_size=9)
    seen = torch.cat([data.batch_at(3, step)[1] for step in range(4)]).tolist()
    held = torch.cat([batch[1] for batch in data.held_out]).tolist()
    assert sorted(seen + held) == list(range(40))
    assert data.ids_at(3, 2).tolist() == data.batch_at(3, 2)[1].tolist()


@pytest.mark.parametrize("kind", ["tensors", "torch's", "a list"])
def test_another_data_set_is_held_out_as_a_whole(kind: str) -> None:
    """Of tensors in a pair every row, and not as many as there are tensors."""
    pairs = list(zip(*ROWS, strict=True))
    held = {"tensors": ROWS, "torch's": TensorDataset(*ROWS), "a list": pairs}[kind]
    data = Examples(TensorDataset(*ROWS), held, batch_size=9)
    assert torch.cat([batch[1] for batch in data.held_out]).tolist() == list(range(40))


def test_ids_name_the_same_example_each_time() -> None:
    """Of a loader too: what a number stands for does not change with the epoch."""
    data = from_loader(DataLoader(TensorDataset(*ROWS), 8, shuffle=True), [ROWS])
    assert data.examples_at is not None
    for step in (0, 7, 12):
        assert data.examples_at(0, step).tolist() == data.batch_at(0, step)[1].tolist()


def test_a_stream_is_read_on_and_not_again() -> None:
    """One pass for the steps in order; from the beginning for one that was passed long ago."""
    made = []

    def stream() -> Any:
        made.append(1)
        return iter([torch.full((2, 1), float(i)) for i in range(100)])

    data = Cursor(stream, [torch.zeros(2, 1)])
    made.clear()
    assert [data.batch_at(0, step)[0].item() for step in range(50)] == list(range(50))
    assert len(made) == 1
    assert data.batch_at(0, 47)[0].item() == 47.0
    assert len(made) == 1
    assert data.batch_at(0, 3)[0].item() == 3.0
    assert len(made) == 2
    assert data.batch_at(0, 103)[0].item() == 3.0


HUGGING = datasets.Dataset.from_dict({"x": [1, 2]})
LOADER = DataLoader(TensorDataset(*ROWS), 8)
REFUSED: dict[str, tuple[Any, str]] = {
    "an iterator that is spent": (
        lambda: Cursor(partial(next, itertools.repeat(iter([torch.zeros(1)]))), []),
        "but no batch came: let the function make a new iterator",
    ),
    "a stream of chance": (
        lambda: Cursor(lambda: iter([torch.tensor(np.random.default_rng().random())]), []),
        "a stream must begin alike each time it is made",
    ),
    "too few": (lambda: Examples(ROWS, batch_size=64), "1 <= batch_size <= 36"),
    "a part of an example": (
        lambda: Examples(ROWS, batch_size=8.0),  # type: ignore[arg-type]
        "must hold of a whole number, but got batch_size=8.0",
    ),
    "an empty data set": (lambda: Examples(ROWS, (ROWS[0][:0], ROWS[1][:0])), "an empty data set"),
    "a loader that drops all": (
        lambda: from_loader(DataLoader(Noisy(), 64, drop_last=True), []),
        "gives none of its 40 examples: lower batch_size",
    ),
    "nothing held out": (lambda: Examples(ROWS, 0.001, batch_size=8), "held_out must be a data"),
    "a generator": (lambda: Examples(iter([1])), "examples must be had by number"),
    "columns": (lambda: Examples({"x": ROWS[0]}), "of columns make datasets.Dataset.from_dict"),
    "splits": (
        lambda: Examples(datasets.DatasetDict(train=HUGGING, test=HUGGING)),
        r"give its parts, Examples\(data\['train'\], data\['test'\], ...\)",
    ),
    "a spent generator": (
        lambda: Cursor((row for row in ROWS), []),  # type: ignore[arg-type]
        "but got a generator: give the function that makes it, without calling it",
    ),
    "a loader, not what makes it": (
        lambda: Cursor(DataLoader(Noisy(), 8), []),  # type: ignore[arg-type]
        "but got a DataLoader: give lambda: it",
    ),
    "rows that differ": (lambda: Examples((ROWS[0], ROWS[1][:3])), "as many rows"),
    "a loader": (lambda: Examples(DataLoader(Noisy(), 8)), "make from_loader"),
    "what is trained on": (
        lambda: Examples(ROWS, (ROWS[0], ROWS[1]), batch_size=8),
        "held_out must be other examples than those trained on, but got the same tuple for both",
    ),
    "the loader": (
        lambda: from_loader(LOADER, LOADER),
        "but got the same DataLoader for both: give another",
    ),
    "columns in a list": (
        lambda: Examples(list(ROWS), 0.5, batch_size=8),
        "a list of 2 tensors is as many examples: give their rows in a tuple",
    ),
    "a table of pandas": (
        lambda: Examples(pandas.DataFrame({"x": [1.0] * 40})),
        r"give it.to_dict\('records'\)",
    ),
    "a column of pandas": (lambda: Examples(pandas.Series([1.0] * 40)), r"give it.tolist\(\)"),
    "a path for a text": (
        lambda: Windows(Path("text.txt"), 8),  # type: ignore[arg-type]
        r"but got a \w+Path: give path.read_text\(\)",
    ),
    "a list for tokens": (
        lambda: Windows([1] * 40, 8),  # type: ignore[arg-type]
        r"but got a list: give torch.tensor\(it\)",
    ),
    "a short text": (lambda: Windows("short", 8), "two windows at least"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_batches_by_number_is_refused(name: str) -> None:
    """One message, with what to do."""
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        make()


def test_arrays_are_columns_as_tensors_are() -> None:
    """A pair of them was two examples."""
    arrays = Examples(tuple(each.numpy() for each in ROWS), 0.25, batch_size=8)
    tensors = Examples(ROWS, 0.25, batch_size=8)
    for one, other in zip(arrays.batch_at(0, 1), tensors.batch_at(0, 1), strict=True):
        assert torch.equal(one, other)


TEXTS = [[1 + number] * (1 + number * 7 % 11) for number in range(40)]


def padded(texts: list[list[int]]) -> dict[str, Tensor]:
    """Texts with zeros behind, as long as the longest of them."""
    longest = max(map(len, texts))
    return {"ids": torch.tensor([text + [0] * (longest - len(text)) for text in texts])}


COLLATED: dict[str, Any] = {
    "examples": lambda: Examples(TEXTS, batch_size=8, collate=padded),
    "a loader": lambda: from_loader(
        DataLoader(TEXTS, 8, shuffle=True, collate_fn=padded),  # type: ignore[arg-type]
        [padded(TEXTS)],
    ),
}


@pytest.mark.parametrize("name", COLLATED)
@given(factors=st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0]), min_size=1))
@settings(max_examples=20, deadline=None)
def test_texts_of_a_share_are_padded_to_one_another_alone(name: str, factors: list[float]) -> None:
    """Whatever steps take, they see the texts in the order of the batches, each once and none
    longer than the longest beside it.
    """
    data = COLLATED[name]()
    stream, position = Stream(OfSeed(data.batch_at, 3)), Fraction(0)
    seen: list[int] = []
    for factor in factors:
        ids = stream.take(position, factor)["ids"]
        position += Fraction(factor)
        assert (ids != 0).any(0).all(), "a column that holds nothing but padding"
        assert torch.equal(ids, padded([row[row != 0].tolist() for row in ids])["ids"])
        seen += ids[:, 0].tolist()
    batches = [data.batch_at(3, step)["ids"][:, 0] for step in range(int(position) + 1)]
    assert seen == torch.cat(batches).tolist()[: len(seen)]
    assert len(seen) == position * 8


class OwnOrder(Sampler[Any]):
    """Orders of one generator of its own, or of how often it was asked."""

    def __init__(self, generator: Any, draw: Any, says: int = 40) -> None:
        self.generator, self.draw, self.asked, self.says = generator, draw, 0, says

    def __iter__(self) -> Any:
        self.asked += 1
        return iter(self.draw(self))

    def __len__(self) -> int:
        return self.says


def _torch_order(own: OwnOrder) -> list[int]:
    order: list[int] = torch.randperm(40, generator=own.generator).tolist()
    return order


OWN_ORDERS: dict[str, Any] = {
    "torch": lambda: OwnOrder(torch.Generator(), _torch_order),
    "NumPy": lambda: OwnOrder(np.random.default_rng(0), lambda own: own.generator.permutation(40)),
    "old NumPy": lambda: OwnOrder(
        np.random.RandomState(0), lambda own: own.generator.permutation(40)
    ),
    "Python": lambda: OwnOrder(random.Random(0), lambda own: own.generator.sample(range(40), 40)),
}


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("kind", OWN_ORDERS)
def test_a_sampler_with_a_generator_of_its_own_gives_the_order_of_seed_and_epoch(
    kind: str, batches: bool
) -> None:
    """Whatever was asked before: a run that goes on in a new process sees what the straight one
    does. A second seed has another order.
    """

    def data() -> Any:
        sampler = OWN_ORDERS[kind]()
        if not batches:
            return from_loader(DataLoader(torch.arange(40), 8, sampler=sampler), [torch.arange(8)])  # type: ignore[arg-type]
        sampler.says, draw = 5, sampler.draw
        sampler.draw = lambda own: np.reshape(draw(own), (5, 8)).tolist()
        loader: Any = DataLoader(torch.arange(40), batch_sampler=sampler)  # type: ignore[arg-type]
        return from_loader(loader, [torch.arange(8)])

    straight, resumed = data(), data()
    first = torch.stack([straight.batch_at(3, step) for step in range(15)])
    assert torch.equal(resumed.batch_at(3, 12), first[12])
    epochs = first.view(3, 40)
    assert torch.equal(epochs.sort().values, torch.arange(40).expand(3, 40))
    assert len({tuple(order) for order in epochs.tolist()}) == 3
    assert not torch.equal(straight.batch_at(4, 0), first[0])


def test_a_sampler_whose_order_hangs_on_how_often_it_was_asked_is_refused() -> None:
    """Unless it is told the epoch."""
    counting = OwnOrder(None, lambda own: np.roll(np.arange(40), -own.asked).tolist())
    with pytest.raises(ValueError, match="OwnOrder has a state of its own"):
        from_loader(DataLoader(torch.arange(40), 8, sampler=counting), [torch.arange(8)])  # type: ignore[arg-type]
    counting.set_epoch = lambda epoch: setattr(counting, "asked", epoch)  # type: ignore[attr-defined]
    data = from_loader(DataLoader(torch.arange(40), 8, sampler=counting), [torch.arange(8)])  # type: ignore[arg-type]
    assert data.batch_at(0, 5)[0] == 2
    assert data.batch_at(0, 0)[0] == 1


def test_batches_that_are_fewer_than_their_sampler_says_are_named() -> None:
    """Buckets of texts whose number is an estimate, say."""
    buckets = OwnOrder(None, lambda own: np.arange(40).reshape(5, 8).tolist(), says=6)
    loader: Any = DataLoader(torch.arange(40), batch_sampler=buckets)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gave 5 in epoch 0, and its length says 6"):
        from_loader(loader, [torch.arange(8)])


def test_a_long_order_is_gone_through_once() -> None:
    """Of the second time, which tells a state of its own, the beginning does; the first is kept."""
    drawn: list[int] = []

    def order(own: OwnOrder) -> Any:
        return (drawn.append(index) or index for index in range(40_000))  # type: ignore[func-returns-value]

    sampler = OwnOrder(None, order, says=40_000)
    loader: Any = DataLoader(torch.arange(40_000), 4, sampler=sampler)  # type: ignore[arg-type]
    data = from_loader(loader, [torch.arange(8)])
    assert torch.equal(data.batch_at(0, 9_999), torch.arange(39_996, 40_000))
    assert len(drawn) < 45_000

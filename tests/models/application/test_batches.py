"""Cut and joined batches: every example once, whatever the factors, from anywhere."""

from __future__ import annotations

import copy
import itertools
from collections import UserDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.application.batches import Stream, batch_size, cut, join
from models.levers.batch import position

SIZES = st.lists(st.integers(1, 9), min_size=8, max_size=8)
FACTORS = st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 0.3]), min_size=1, max_size=8)


def stream(sizes: list[int]) -> Stream:
    """Batches of these sizes over and over, whose examples are numbered through."""
    starts = list(itertools.accumulate(sizes * 4, initial=0))
    return Stream(lambda step: torch.arange(starts[step], starts[step + 1]))


@given(SIZES, FACTORS)
@settings(deadline=None)
def test_every_example_once_in_order(sizes: list[int], factors: list[float]) -> None:
    """Property: what the steps see, one after the other, is the stream without a gap; a step that
    would see nothing is refused.
    """
    source, seen, at = stream(sizes), [torch.arange(0)], Fraction(0)
    for factor in factors:
        try:
            seen.append(source.take(at, factor))
        except ValueError as error:
            assert "at least one whole example" in str(error)  # noqa: PT017 - some draws are refused
            return
        at += Fraction(factor)
    examples = torch.cat(seen)
    assert torch.equal(examples, torch.arange(len(examples)))


@given(st.integers(1, 64), st.integers(1, 200))
@settings(deadline=None)
def test_a_share_of_whole_examples_takes_so_many_in_every_step(size: int, wanted: int) -> None:
    """Property: also where the share is no binary float, as a third of three."""
    factor, source = wanted / size, Stream(lambda step: torch.arange(size))
    starts = [step * Fraction(factor) for step in (0, 1, 2, 1000, 10**6)]
    assert [len(source.take(start, factor)) for start in starts] == [wanted] * 5


@given(SIZES, FACTORS, st.integers(0, 7))
@settings(deadline=None)
def test_a_resumed_run_sees_the_same(sizes: list[int], factors: list[float], stop: int) -> None:
    """Property: a stream that begins at the place of any step gives what the straight one gives
    there.
    """
    sizes = [9 * size for size in sizes]
    straight, stop = stream(sizes), min(stop, len(factors) - 1)
    taken = [
        straight.take(position({f: factors[:n].count(f) for f in factors[:n]}), factor)
        for n, factor in enumerate(factors)
    ]
    counts = {f: factors[:stop].count(f) for f in factors[:stop]}
    assert torch.equal(stream(sizes).take(position(counts), factors[stop]), taken[stop])


def test_whole_batches_are_the_workloads_own() -> None:
    """The very object: a factor of 1 costs nothing and changes nothing."""
    batches = [torch.arange(4), torch.arange(4)]
    source = Stream(lambda step: batches[step])
    assert source.take(Fraction(1), 1.0) is batches[1]


class Pair(NamedTuple):
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Record:
    x: Tensor
    name: str


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, x + 1),
        lambda x: [x, None],
        lambda x: {"x": x, "mask": torch.ones(3, 3), "scale": 2.0},
        lambda x: Pair(x, x.float()),
        lambda x: Record(x, "same"),
        lambda x: UserDict(x=x, y=x + 1),
        lambda x: defaultdict(list, x=x),
        lambda x: x.numpy(),
        lambda x: {"inner": (x, {"deep": x[:, None]}), "scalar": torch.ones(())},
    ],
    ids=[
        "tensor",
        "tuple",
        "list",
        "dict",
        "named tuple",
        "dataclass",
        "user dict",
        "default dict",
        "array",
        "nested",
    ],
)
def test_any_structure(wrap: Any) -> None:
    """Cut in two and joined again it is what it was, its other tensors and values untouched."""
    whole = wrap(torch.arange(4))
    halves = [cut(whole, 0, 2, 4), cut(whole, 2, 4, 4)]
    assert [batch_size(half) for half in halves] == [2, 2]
    again = join(halves)
    assert type(again) is type(whole)
    assert _flat(again) == _flat(whole)


@dataclass
class Shifted:
    """Fields that the constructor changes."""

    x: Tensor
    seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.x = self.x + 1
        self.seen += 1


def shifted_once(batch: Shifted) -> bool:
    """Whether the constructor has run once in all."""
    return batch.seen == 1 and int(batch.x[0]) == 1


def test_no_constructor_runs_again() -> None:
    """A dataclass that changes its fields where it is made."""
    halves = [cut(Shifted(torch.arange(4)), low, low + 2, 4) for low in (0, 2)]
    again = join(halves)
    assert shifted_once(again)
    assert again.x.tolist() == [1, 2, 3, 4]


def test_words_and_numbers_go_with_their_examples() -> None:
    """Lists as long as the batch and arrays are cut and joined; lists of other lengths stay."""
    whole = {
        "x": torch.arange(4),
        "text": ["a", "b", "c", "d"],
        "lengths": [1, 2, 3, 4],
        "array": np.arange(8).reshape(4, 2),
        "classes": ["cat", "dog", "cow"],
        "size": (3, 4, 5, 6),
    }
    halves = [cut(whole, 0, 2, 4), cut(whole, 2, 4, 4)]
    assert halves[1]["text"] == ["c", "d"]
    assert halves[1]["array"].tolist() == [[4, 5], [6, 7]]
    assert halves[1]["size"] == whole["size"]
    assert _flat(join(halves)) == _flat(whole)


@pytest.mark.parametrize(
    "things",
    [
        ("a", "b", "c", "d"),
        [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}],
        tuple({"boxes": torch.ones(n, 4), "size": (9, 9)} for n in (2, 4, 1, 3)),
        [torch.arange(n) for n in (3, 1, 2, 5)],
        (torch.tensor(1), torch.tensor(2), torch.tensor(3), torch.tensor(4)),
    ],
    ids=["texts", "facts", "boxes", "sequences", "labels"],
)
def test_things_of_an_example_each_go_with_it(things: Any) -> None:
    """In a list or tuple beside a tensor of the examples; a last batch is of one example."""
    whole = {"x": torch.arange(4), "things": things, "two": (torch.arange(4), torch.ones(2))}
    parts = [cut(whole, low, high, 4) for low, high in ((0, 2), (2, 3), (3, 4))]
    assert [_flat(part["things"]) for part in parts] == [
        _flat(things[:2]), _flat(things[2:3]), _flat(things[3:])
    ]  # fmt: skip
    assert _flat(join(parts)) == _flat(whole)


def test_packed_sequences_are_refused() -> None:
    """Their first dimension holds no examples."""
    packed = torch.nn.utils.rnn.pack_sequence([torch.arange(3.0), torch.arange(2.0)])
    with pytest.raises(ValueError, match="must be of whole examples"):
        batch_size((packed, torch.zeros(2)))


def _flat(batch: Any) -> str:
    return repr(batch)


def test_refused() -> None:
    """Less than an example, nothing with examples, examples of several shapes: each says so."""
    with pytest.raises(
        ValueError, match=r"must leave at least one whole example, but got factor=0.25 of .* of 2"
    ):
        Stream(lambda step: torch.arange(2)).take(Fraction(0), 0.25)
    with pytest.raises(ValueError, match="examples along its first dimension"):
        batch_size({"scale": torch.ones(())})
    with pytest.raises(
        ValueError, match=r"of one shape to be joined, but got \[\(1, 2\), \(1, 3\)"
    ):
        join([torch.ones(1, 2), torch.ones(1, 3)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor(0.5), torch.tensor(0.25)),
        (torch.ones(3, 2), torch.zeros(3, 2)),
        (torch.ones(3, 2), torch.ones(2, 2)),
        (np.ones(3), np.zeros(3)),
        ([1, 2, 3], [1, 2]),
    ],
)
def test_what_is_not_of_the_examples_is_never_lost(one: Any, other: Any) -> None:
    """A weight of the whole batch, texts of many lengths in a list: kept where it is the same in
    both batches, else refused.
    """
    x = torch.ones(4, 2)
    assert len(join([(x, one), (x, copy.deepcopy(one))])[0]) == 8
    with pytest.raises(ValueError, match=r"batches of \[4, 4\] examples must have as many along"):
        join([(x, one), (x, other)])


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([torch.ones(n, 2) for n in (1, 3)], layout=layout)


RIGID: dict[str, tuple[Callable[[], Any], str]] = {
    "nested": (lambda: nested(torch.strided), "nested: pad its examples"),
    "jagged": (lambda: nested(torch.jagged), "nested: pad its examples"),
    "rows": (lambda: torch.eye(2).to_sparse_csr(), "sparse_csr: make it sparse_coo or dense"),
    "columns": (lambda: torch.eye(2).to_sparse_csc(), "sparse_csc: make it sparse_coo or dense"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CS")
@pytest.mark.parametrize("kind", RIGID)
@pytest.mark.parametrize("first", [True, False])
def test_tensors_that_torch_neither_cuts_nor_joins_are_refused_by_the_rule(
    kind: str, first: bool
) -> None:
    """Where they hold the batch's examples; a table that all share stays as it is."""
    made, said = RIGID[kind]
    beside = torch.arange(2)
    batches: list[Any] = [(made(), beside) if first else (beside, made()) for _ in range(2)]
    with pytest.raises(ValueError, match=f"but one is {said}"):
        cut(batches[0], 0, 1, batch_size(batches[0]))
    with pytest.raises(ValueError, match=f"but one is {said}"):
        join(batches)
    shared = (torch.arange(3), made())
    assert cut(shared, 0, 1, 3)[1] is shared[1]


def test_sparse_rows_are_cut_and_joined() -> None:
    """Of tensors by coordinates."""
    dense: Any = torch.eye(4)
    batch = (dense.to_sparse(), torch.arange(4))
    parts: list[Any] = [cut(batch, low, high, batch_size(batch)) for low, high in ((0, 1), (1, 4))]
    assert torch.equal(parts[1][0].to_dense(), dense[1:])
    assert torch.equal(join(parts)[0].to_dense(), dense)

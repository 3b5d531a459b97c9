"""Data sets of any kind whose examples are had by number, and batches of some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate

from models.adapters.drawing import drawing_from
from models.batches import Batch

COLUMN = (Tensor, np.ndarray)
"""What holds a part of every example, along its first dimension."""
Collate = Callable[[list[Any]], Batch]


class Rows:
    """Tensors of as many rows; an example is a row of each."""

    def __init__(self, tensors: Sequence[Tensor], *, alone: bool) -> None:
        lengths = {len(each) for each in tensors}
        if len(lengths) != 1:
            raise ValueError(
                f"tensors of examples must have as many rows, but got {sorted(lengths)}"
            )
        self.tensors, self.alone = tuple(tensors), alone

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> Any:
        rows = tuple(each[index] for each in self.tensors)
        return rows[0] if self.alone else rows


def numbered(given: Any) -> Any:
    """A data set whose examples are had by number, of whatever kind.

    Raises:
        ValueError: it has none.
    """
    if isinstance(given, Tensor):
        return Rows([given], alone=True)
    if isinstance(given, tuple) and given and all(isinstance(each, COLUMN) for each in given):
        return Rows([torch.as_tensor(each) for each in given], alone=False)
    if type(given).__name__ == "TensorDataset":
        return Rows(given.tensors, alone=False)
    lacking = [name for name in ("__len__", "__getitem__") if not hasattr(given, name)]
    other = isinstance(given, (IterableDataset, Mapping, DataLoader)) or _is_of_pandas(given)
    if lacking or other:
        raise ValueError(
            "examples must be had by number, as a list's or a map-style data set's, but "
            f"{type(given).__name__} is not of that kind: {_instead_of(given)}"
        )
    plain = hasattr(given, "with_format") and (getattr(given, "format", None) or {}).get("type")
    return given.with_format("torch") if plain is None else given


def taken(source: Any, ids: list[int], collate: Collate | None, numbers: tuple[int, ...]) -> Batch:
    """The batch of some examples; what is drawn for it depends on ``numbers`` alone."""
    if isinstance(source, Rows) and collate is None:
        rows = tuple(each[ids] for each in source.tensors)
        return rows[0] if source.alone else rows
    with drawing_from(*numbers):
        many = getattr(source, "__getitems__", None)
        found = list(many(ids)) if many else [source[index] for index in ids]
        batch = collate(found) if collate else _put_together(found)
    # A tokenizer's own kind of mapping cannot be cut and joined.
    return dict(batch) if isinstance(batch, Mapping) else batch


def _put_together(found: list[Any]) -> Batch:
    """A batch by torch's own collate.

    Raises:
        ValueError: it cannot be made so.
    """
    try:
        return default_collate(found)
    except (RuntimeError, TypeError, KeyError) as fault:
        raise ValueError(
            "examples must make a batch by torch's own collate, but it raised "
            f"{type(fault).__name__}: {str(fault).splitlines()[0]}; give collate=, which pads "
            "texts of unlike length, say"
        ) from None


def refuse_the_same(train: Any, held_out: Any) -> None:
    """Refuse to evaluate on what is trained on.

    Raises:
        ValueError: both are the same object, or tensors that are.
    """
    one, other = (each if isinstance(each, tuple) else (each,) for each in (train, held_out))
    if len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True)):
        raise ValueError(
            "held_out must be other examples than those trained on, but got the same "
            f"{type(train).__name__} for both: give another, or a share as held_out=0.1; where the "
            "loss on what was learned is wanted, a copy"
        )


def _instead_of(given: Any) -> str:
    """What to give where examples have no number."""
    if isinstance(given, Mapping):
        first, *rest = given or ("train",)
        if hasattr(given.get(first), "features"):
            held = f"data[{rest[0]!r}]" if rest else "0.1"
            return f"give its parts, Examples(data[{first!r}], {held}, ...)"
        return "of columns make datasets.Dataset.from_dict(columns), or a list of dicts"
    if _is_of_pandas(given):
        rows = ".to_dict('records')" if hasattr(given, "columns") else ".tolist()"
        return f"of pandas give it{rows}, or torch.tensor(it.values)"
    if isinstance(given, DataLoader):
        return "of a DataLoader make from_loader(loader, ...)"
    return "of a stream make Cursor(make_stream, ...)"


def _is_of_pandas(given: Any) -> bool:
    """Whether it is a table or column of pandas, which numbers by labels."""
    return type(given).__module__.split(".")[0] == "pandas"


def instead_of_columns(given: Any) -> str:
    """What to say where a list of columns was taken for so many examples."""
    if isinstance(given, list) and given and all(isinstance(each, COLUMN) for each in given):
        return f"; a list of {len(given)} tensors is as many examples: give their rows in a tuple"
    return ""

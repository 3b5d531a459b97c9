"""Keeps what a frozen prefix makes of each example, and lets later steps begin above it.

While blocks are served from what was kept they hand on what they are given, and the block above
them is given the kept activations in place of its input. The stem runs as ever: what it makes
beside the stream (positions, masks) is still made of the batch at hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.levers.cached_prefix import CachedPrefix
from models.making import named
from policies.applying.presence import Manner, passing_on

GIB = 2**30
FIRST_ROWS, MOST_ROWS = 256, 2**40
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def example_numbers(found: Any) -> Tensor:
    """What ``examples_at`` returned, (examples,).

    Raises:
        ValueError: it is no whole number for each example.
    """
    try:
        numbers = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if numbers.dim() != 1 or numbers.dtype not in WHOLE:
        raise ValueError(
            "examples_at(seed, step) must return a whole number for each example, (examples,), but "
            f"got {named(found)}: number what has names or numbers of another kind"
        )
    return numbers


@dataclass
class Visit:
    """What came of one step.

    Attributes:
        served: the prefix was not run.
        kept: it was, and activations of some examples are kept from now on.
    """

    served: bool = False
    kept: bool = False


@dataclass
class Rows:
    """Activations by example, within a bound of memory; all of the first ones' shape.

    Attributes:
        most_bytes: the bound.
        dtype: floats are kept in; None for their own.
    """

    most_bytes: float
    dtype: torch.dtype | None
    row_of: dict[int, int] = field(default_factory=dict)
    values: Tensor | None = None

    def has(self, ids: Sequence[int]) -> bool:
        """Whether all of them are there."""
        return all(number in self.row_of for number in ids)

    def keep(self, ids: Sequence[int], activations: Tensor) -> bool:
        """Keep those that are new, as far as they fit, one row each; whether any was."""
        # In main memory: beside the model a data set's activations would not fit on a card.
        values = activations.detach().to("cpu", self.dtype or activations.dtype)
        if self.values is not None and values.shape[1:] != self.values.shape[1:]:
            return False  # texts of another length, say: they would be stretched, or not go in
        size = max(1, values[0].numel() * values.element_size())
        room = int(min(self.most_bytes / size, MOST_ROWS)) - len(self.row_of)
        new = [place for place, number in enumerate(ids) if number not in self.row_of]
        # An example that is twice in a batch takes one row.
        new = list({ids[place]: place for place in new}.values())[: max(0, room)]
        if not new:
            return False
        rows = range(len(self.row_of), len(self.row_of) + len(new))
        self._grown(rows.stop, values)[rows.start : rows.stop] = values[new]
        self.row_of |= {ids[place]: row for place, row in zip(new, rows, strict=True)}
        return True

    def _grown(self, count: int, like: Tensor) -> Tensor:
        if self.values is None:
            self.values = like.new_empty((max(FIRST_ROWS, count), *like.shape[1:]))
        elif len(self.values) < count:
            # Doubled, so that an epoch copies each row a bounded number of times.
            more = self.values.new_empty((2 * count, *like.shape[1:]))
            more[: len(self.values)] = self.values
            self.values = more
        return self.values

    def of(self, ids: Sequence[int]) -> Tensor:
        """Their activations, (len(ids), ...), as they are kept."""
        assert self.values is not None, "asked for before anything was kept"
        return self.values[torch.tensor([self.row_of[number] for number in ids])]


class Prefix:
    """The kept prefix of one model.

    Args:
        blocks: the model's, in forward order.
        lever: how many of them are kept, in what and in how much memory.
        settled: whether what is not frozen alone is in the graph by now, so that activations that
            hang on what is trained can be told.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        lever: CachedPrefix,
        settled: Callable[[], bool] = lambda: False,
    ) -> None:
        count = lever.blocks(len(blocks))
        self._below, self._above = list(blocks[:count]), blocks[count]
        dtype = None if lever.prefix_dtype == "float32" else getattr(torch, lever.prefix_dtype)
        self._second = blocks[1]
        self._rows = Rows(lever.prefix_memory * GIB, dtype)
        self._manner = Manner()
        self._settled = settled
        self._form: list[list[int]] | None = None
        """Of what the lowest block was given with the examples that are kept."""

    @contextlib.contextmanager
    def around(self, ids: Tensor) -> Iterator[Visit]:
        """One forward of a batch of examples ``ids``, (examples,): served, or kept where they fit.

        Raises:
            ValueError: activations are not one row an example, or hang on what is trained.
        """
        numbers, visit = ids.tolist(), Visit()
        visit.served = self._rows.has(numbers)
        with self._serving(numbers, visit) if visit.served else self._keeping(numbers, visit):
            yield visit

    @contextlib.contextmanager
    def _serving(self, numbers: Sequence[int], visit: Visit) -> Iterator[None]:
        rows = self._rows.of(numbers)

        # Texts that are padded to one another: beside shorter ones they were shorter, or longer.
        def look(_: nn.Module, args: Any, kwargs: Any) -> None:
            visit.served = visit.served and self._form in (None, _form(args, kwargs))

        def give(_: nn.Module, args: Any, kwargs: Any) -> Any:
            return self._manner.replaced(args, kwargs, rows) if visit.served else None

        handles = [
            self._below[0].register_forward_pre_hook(look, with_kwargs=True),
            self._above.register_forward_pre_hook(give, with_kwargs=True),
        ]
        try:
            with passing_on(self._below, self._manner, unless=lambda: not visit.served):
                yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _keeping(self, numbers: Sequence[int], visit: Visit) -> Iterator[None]:
        def take(_: nn.Module, args: Any, kwargs: Any) -> None:
            x = self._manner.given(args, kwargs)
            if not isinstance(x, Tensor) or x.dim() == 0 or len(x) != len(numbers):
                shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(
                    "activations that are kept must have one row an example, but block "
                    f"{len(self._below)} is given {shape} for {len(numbers)} examples"
                )
            # In the first step the graph is whole, as what is frozen is still to be found.
            if x.requires_grad and self._settled():
                raise ValueError(
                    "activations that are kept must be of what is frozen alone, but something "
                    f"below block {len(self._below)} is trained with the blocks above it: an "
                    "embedding tied to the output, say, or what every block is given"
                )
            if self._form in (None, given):
                visit.kept |= self._rows.keep(numbers, x)
                self._form = list(given)

        given: list[list[int]] = []

        def look(_: nn.Module, args: Any, kwargs: Any) -> None:
            given[:] = _form(args, kwargs)

        handles = [
            self._below[0].register_forward_pre_hook(look, with_kwargs=True),
            self._below[0].register_forward_hook(self._manner.see, with_kwargs=True),
            self._second.register_forward_pre_hook(self._manner.follow, with_kwargs=True),
            self._above.register_forward_pre_hook(take, with_kwargs=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def state_dict(self) -> dict[str, Any]:
        """What is kept, for a checkpoint."""
        rows = self._rows
        # A view would save the spare rows with it.
        kept = None if rows.values is None else rows.values[: len(rows.row_of)].clone()
        return {
            "ids": list(rows.row_of),
            "values": kept,
            "form": self._form,
            "manner": self._manner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have what was kept where ``state`` was taken."""
        self._rows.row_of = {number: row for row, number in enumerate(state["ids"])}
        self._rows.values = state["values"]
        self._form = state.get("form")
        self._manner.load_state_dict(state["manner"])


def _form(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[list[int]]:
    """Shapes of the tensors that a block is given, without the number of examples."""
    given = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    return [list(tensor.shape[1:]) for tensor in given if not tensor.is_nested]

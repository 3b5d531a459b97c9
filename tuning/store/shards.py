"""How trials are spread over Parquet files: names, what each holds, which belong together.

A *shard* is one file, named for exactly the trial numbers it holds: ``00000017.parquet`` one trial,
as its worker wrote it, ``00000000-00000063.parquet`` the 64 of an aligned range. Since a name says
what is inside, listing the directory answers which trials are recorded; and a shard whose range
lies in another's is a left-over of compaction, so a crash in the middle of it can be told from
data. Everything here is arithmetic on names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass

FAN_IN = 64
SPANS = (1, FAN_IN, FAN_IN**2)
"""The number of trials in a file of each level. There are no larger files: merging is to take
bounded time, and 4096 rows are a good size.
"""
DIGITS = 8
NUMBERS = 10**DIGITS
"""How many trials there can be: as many as have a name."""
_NAME = re.compile(rf"(\d{{{DIGITS}}})(?:-(\d{{{DIGITS}}}))?\.parquet")


@dataclass(frozen=True, order=True)
class Shard:
    """A file that holds the trials ``low`` .. ``low + span - 1``. ``span`` is one of ``SPANS``, and
    ``low`` is a multiple of it.
    """

    low: int
    span: int = 1

    @property
    def high(self) -> int:
        """The last number it holds."""
        return self.low + self.span - 1

    @property
    def name(self) -> str:
        """Its file's name."""
        first = f"{self.low:0{DIGITS}d}"
        return f"{first}.parquet" if self.span == 1 else f"{first}-{self.high:0{DIGITS}d}.parquet"

    @property
    def numbers(self) -> range:
        """The trial numbers it holds."""
        return range(self.low, self.low + self.span)

    def holders(self) -> Iterator[Shard]:
        """The larger shards that hold, or will hold, all that this one does."""
        for span in SPANS:
            if span > self.span:
                yield Shard(self.low - self.low % span, span)


def parse(name: str) -> Shard | None:
    """The shard of that file name, or None where no shard has it."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    low = int(match[1])
    shard = Shard(low, 1 if match[2] is None else int(match[2]) - low + 1)
    # Only names that this program writes: a hand-made 00000003-00000066 would overlap two ranges.
    return shard if shard.span in SPANS and low % shard.span == 0 and shard.name == name else None


def outermost(shards: Iterable[Shard]) -> tuple[list[Shard], list[Shard]]:
    """``(kept, left_over)``: the shards that no other one holds, by number, and the rest."""
    present = set(shards)
    left_over = {shard for shard in present if any(holder in present for holder in shard.holders())}
    return sorted(present - left_over), sorted(left_over)


def without(shard: Shard, gone: Collection[int]) -> list[Shard]:
    """The largest shards that together hold what ``shard`` does, but for the trials ``gone``.

    >>> [part.name for part in without(Shard(0, 64), range(1, 64))]
    ['00000000.parquet']
    """
    if not any(number in shard.numbers for number in gone):
        return [shard]
    span = max((span for span in SPANS if span < shard.span), default=0)
    starts = range(shard.low, shard.high + 1, span) if span else ()
    return [part for low in starts for part in without(Shard(low, span), gone)]


def complete_group(
    shards: Iterable[Shard], taken: Container[str]
) -> tuple[Shard, list[Shard]] | None:
    """``(merged, parts)`` of the first aligned range all of whose parts are there, or None.

    ``shards`` are those that ``outermost`` keeps. A range whose merged file has a name that is
    ``taken`` is passed over.
    """
    groups: dict[Shard, list[Shard]] = {}
    for shard in shards:
        if (merged := next(shard.holders(), None)) is not None:
            groups.setdefault(merged, []).append(shard)
    complete = [m for m, parts in groups.items() if len(parts) == FAN_IN and m.name not in taken]
    if not complete:
        return None
    first = min(complete)
    return first, sorted(groups[first])

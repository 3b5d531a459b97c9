"""Names of files of records: arithmetic that everything else trusts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.stores import merging_by_three
from tuning.store.shards import FAN_IN, NUMBERS, SPANS, Shard, complete_group, outermost, parse

SHARDS = st.sampled_from(SPANS).flatmap(
    lambda span: st.integers(0, NUMBERS // SPANS[-1] * (SPANS[-1] // span) - 1).map(
        lambda k: Shard(k * span, span)
    )
)


@given(SHARDS)
def test_a_name_says_what_is_inside(shard: Shard) -> None:
    """Any shard is read back from its file's name."""
    assert parse(shard.name) == shard


@pytest.mark.parametrize(
    "name",
    [
        "17.parquet",
        "00000017.csv",
        "00000017.parquet.bak",
        "00000017 (copy).parquet",
        "00000000-00000062.parquet",
        "00000001-00000064.parquet",
        "00000063-00000000.parquet",
        "00000005-00000005.parquet",
        "٠٠٠٠٠٠١٧.parquet",
    ],
)
def test_other_names_are_foreign(name: str) -> None:
    """Near misses: no zeros, another suffix, a range that is not aligned, of no level, of one, or
    other digits.
    """
    assert parse(name) is None


@given(st.sets(SHARDS, max_size=30))
def test_kept_shards_cover_all_numbers_once(shards: set[Shard]) -> None:
    """Kept ranges are disjoint, and each left-over one lies in a kept one."""
    kept, left_over = outermost(shards)
    assert set(kept) | set(left_over) == shards
    assert all(a.high < b.low for a, b in pairwise(kept))
    assert all(any(k.low <= s.low and s.high <= k.high for k in kept) for s in left_over)


@settings(deadline=None)
@given(st.integers(0, 60), st.sets(st.integers(0, 60), max_size=3))
def test_merging_ends_with_few_files_that_hold_everything(count: int, missing: set[int]) -> None:
    """Merges ``count`` trials (some missing) until nothing is left to merge.

    Numbers stay, files are few.
    """
    shards = {Shard(number) for number in range(count) if number not in missing}
    numbers = {shard.low for shard in shards}
    with merging_by_three():
        while (group := complete_group(outermost(shards)[0], ())) is not None:
            merged, parts = group
            assert sorted(n for part in parts for n in part.numbers) == list(merged.numbers)
            shards = shards - set(parts) | {merged}
    assert {n for shard in shards for n in shard.numbers} == numbers
    assert len(shards) <= count // 9 + 2 * 2 * (1 + len(missing))


def test_a_name_that_is_taken_is_passed_over() -> None:
    """A torn file under the merged name blocks its group, and only that."""
    shards = [Shard(number) for number in range(2 * FAN_IN)]
    group = complete_group(shards, {Shard(0, FAN_IN).name})
    assert group is not None
    assert group[0] == Shard(FAN_IN, FAN_IN)

"""The page's table of what the best trials have in common."""

from __future__ import annotations

from tuning.report.importance import MOST, importance_tables


def test_the_largest_stand_first_and_bars_are_in_units_of_it() -> None:
    """A dozen at most."""
    shares = {f"knob{i}": (i + 1) / 210 for i in range(20)}
    (table,) = importance_tables({"importance": shares})
    assert len(table.rows) == MOST
    assert table.rows[0][:2] == ["knob19", "10%"]
    assert [row[2].width for row in table.rows][:2] == [100.0, 95.0]  # type: ignore[union-attr]


def test_without_any_there_is_no_table() -> None:
    """Of runs too short for it, and of older versions."""
    assert (
        importance_tables(None)
        == importance_tables({})
        == importance_tables({"importance": {}})
        == []
    )

"""Which knobs the best trials have in common: a table with bars on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.report.cells import AnyCell, BarCell, Note, Table

MOST = 12
"""The number of knobs that are shown, those with the largest shares."""
NOTE = (
    "How differently a knob's values are spread among the best quarter of the trials and among all "
    "of them (PED-ANOVA), in shares of all knobs that at least twelve trials have. It says where "
    "the best trials lie, of one search; what a lever brings is told by taking the winner apart."
)


def importance_tables(run_info: Mapping[str, Any] | None) -> list[Table]:
    """One table, or none where too few trials could be compared."""
    found = (run_info or {}).get("importance") or {}
    shares = sorted(found.items(), key=lambda pair: -pair[1])[:MOST]
    rows: list[list[AnyCell]] = [
        [name, f"{share:.0%}", BarCell(100 * share / shares[0][1])] for name, share in shares
    ]
    if not rows:
        return []
    headings = ("Knob", "Share", "")
    notes = [Note(NOTE)]
    return [Table("Which knobs the best trials share", headings, rows, frozenset({"Share"}), notes)]

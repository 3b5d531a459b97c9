"""Does any schedule beat training for less? Each is held against full_update over the same solo seconds. Pure.

On one seed a schedule and its control share initial weights and batches, so they are compared in pairs, by Student's
one-sided t on the differences of their losses, corrected for the number of comparisons (``tuning.paired``).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuning.compare_rows import FULL, Row, control_losses
from tuning.paired import holm, p_value

ALPHA = 0.05
WORDS = {"steps": "equal steps", "time": "equal time"}


@dataclass(frozen=True)
class AgainstControl:
    """A schedule beside full_update of the same solo seconds.

    Attributes:
        schedule, mode: which; ``steps`` or ``time``.
        percent: by how many per cent its loss lies above the control's, the mean over seeds; negative is better.
        lower: seeds on which its loss is the lower one.
        seeds: seeds on which both finished.
        p: of "it is no better", corrected for all comparisons; 1 for a single seed.
    """

    schedule: str
    mode: str
    percent: float
    lower: int
    seeds: int
    p: float

    @property
    def wins(self) -> bool:
        """Whether it is better beyond the noise of its seeds."""
        return self.p < ALPHA


def against_control(rows: Sequence[Row]) -> list[AgainstControl]:
    """Every schedule in both modes, in the order of the rows; those without a finished pair are left out.

    So are those that never froze a block on any seed: they are training for less under another name.
    """
    names = list(dict.fromkeys(row["schedule"] for row in rows if row["schedule"] != FULL))
    found = [_compared(rows, name, mode) for mode in WORDS for name in names]
    known = [comparison for comparison in found if comparison is not None]
    return [replace(c, p=p) for c, p in zip(known, holm([c.p for c in known]), strict=True)]


def _compared(rows: Sequence[Row], schedule: str, mode: str) -> AgainstControl | None:
    control = control_losses(rows, schedule, mode)
    mine = [row for row in rows if row["schedule"] == schedule and row["mode"] == mode]
    if not any(row["levels"] for row in mine):
        return None
    own = {row["seed"]: row["val_loss"] for row in mine}
    pairs = [(own[seed], loss) for seed, loss in control.items() if own.get(seed) is not None and loss]
    if not pairs:
        return None
    lower = [control_loss - loss for loss, control_loss in pairs]
    percent = statistics.fmean(100 * (loss / control_loss - 1) for loss, control_loss in pairs)
    return AgainstControl(schedule, mode, percent, sum(d > 0 for d in lower), len(pairs), p_value(lower))


def verdict(comparisons: Sequence[AgainstControl]) -> str:
    """One sentence: which schedules beat the control, or which comes closest."""
    if not comparisons:
        return "Nothing can be said about the control: no schedule finished beside it."
    winners = [c for c in comparisons if c.wins]
    if winners:
        return f"Better than full_update trained for the same seconds: {'; '.join(map(_told, winners))}."
    best = min(comparisons, key=lambda c: c.percent)
    if best.percent > 0:
        return f"No schedule beats full_update trained for the same seconds. Closest: {_told(best)}."
    return f"No schedule is shown to beat full_update trained for the same seconds: {_told(best)} is not beyond chance."


def _told(c: AgainstControl) -> str:
    side = "above" if c.percent > 0 else "below"
    odds = f"; corrected p = {c.p:.2g}" if c.seeds > 1 else ""
    return (
        f"{c.schedule} at {WORDS[c.mode]} (loss {abs(c.percent):.1f} % {side} the control's, "
        f"lower on {c.lower} of {c.seeds} {'seeds' if c.seeds > 1 else 'seed'}{odds})"
    )

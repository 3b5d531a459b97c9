"""Which recipe leads a search: what its next trials are held against. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tuning.study.samplers.control_line import ControlLine
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.trial import ASIDE


def own_line(known: Sequence[Outcome]) -> ControlLine | None:
    """The own control's time to any loss; None while fewer than two of its runs are on the line."""
    return ControlLine.through([run for run in known if run.recipe.is_control])


def leading(known: Sequence[Outcome]) -> Outcome | None:
    """The run of a recipe that is no control and gains most over the own one; None where none
    gains.
    """
    line = own_line(known)
    if line is None:
        return None
    gains = [
        (line.log_gain(run.train_seconds, run.val_loss), -run.number, run)
        for run in known
        if counts(run) and run.origin not in ASIDE and run.recipe.control_kind is None
        if run.train_seconds is not None and run.val_loss is not None
    ]
    gain, _, run = max(gains, key=lambda each: each[:2], default=(0.0, 0, None))
    return run if gain > 0 else None


def loss_of(run: Outcome) -> float:
    """The loss of a run that is known to have one."""
    assert run.val_loss is not None, "only those that have one are looked at"
    return run.val_loss

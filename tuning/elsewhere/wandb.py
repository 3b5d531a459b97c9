"""A project of Weights & Biases: a run a trial, in a group a search. ``WANDB_MODE=offline`` keeps
them on this machine.
"""

from __future__ import annotations

import re
from typing import ClassVar

from tuning.elsewhere.destination import Destination, Source, curve_of, numbers_of, settings_of
from tuning.trial.trial import TrialRecord


class WandB(Destination):
    """Adds a run for each trial; runs that the user's code has open go on."""

    package: ClassVar[str] = "wandb"
    meaning: ClassVar[str] = "a project's name"

    def __init__(self, where: str, source: Source) -> None:
        self._project, self._source = where, source

    def tell(self, record: TrialRecord) -> None:
        """Add a run with the trial's settings, curve and outcome; a trial told again is the same
        run.
        """
        import wandb

        metric, name = self._source.metric, f"{self._source.name}-{record.number}"
        run = wandb.init(
            project=self._project,
            name=name,
            id=re.sub(r"[^A-Za-z0-9_-]", "-", name),
            group=self._source.name,
            job_type=record.origin,
            config=settings_of(record),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        try:
            for step, seconds, value in curve_of(record, metric):
                run.log({metric.name: value, "train_seconds": seconds}, step=step)
            run.summary.update({"state": record.state, **numbers_of(record, metric)})
        finally:
            run.finish(exit_code=int(record.state == "failed"))


DESTINATION = WandB

"""A folder of events that ``tensorboard --logdir`` opens: a run a trial, its curve, its knobs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tuning.elsewhere.destination import Destination, Source, curve_of, numbers_of, settings_of
from tuning.trial.trial import TrialRecord


class TensorBoard(Destination):
    """Scalars by step, and by solo seconds where the horizontal axis is set to relative time."""

    package: ClassVar[str] = "tensorboardX"
    meaning: ClassVar[str] = "a directory"

    def __init__(self, where: str, source: Source) -> None:
        self._source = source
        self._folder = Path(where) / source.name
        self._folder.mkdir(parents=True, exist_ok=True)

    def tell(self, record: TrialRecord) -> None:
        """Write the trial to a folder of its own, unless it has one already."""
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        folder = self._folder / f"trial-{record.number:04d}"
        if folder.exists():
            return
        metric, began = self._source.metric, record.started_at.timestamp()
        with SummaryWriter(str(folder)) as writer:
            for step, seconds, value in curve_of(record, metric):
                # Solo seconds as time, so that "relative" is the axis a search is about.
                writer.add_scalar(metric.name, value, step, walltime=began + seconds)
            if numbers := numbers_of(record, metric):
                final = {f"final/{name}": value for name, value in numbers.items()}
                # Not add_hparams, whose second file has the same name within a second.
                for summary in hparams(settings_of(record), final):
                    writer.file_writer.add_summary(summary)
                for name, value in final.items():
                    writer.add_scalar(name, value, record.steps)


DESTINATION = TensorBoard

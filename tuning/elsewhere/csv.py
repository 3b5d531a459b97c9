"""Every trial as a line of a CSV file; curves and decisions as JSON in their fields."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import ClassVar

from tuning.elsewhere.destination import Destination, Source
from tuning.trial.metric import METRIC
from tuning.trial.recipe import KNOB
from tuning.trial.trial import TrialRecord

PLAIN = tuple(
    f.name for f in dataclasses.fields(TrialRecord) if f.name not in ("recipe", "metrics")
)


class CsvFile(Destination):
    """A CSV file that is written anew each time it is opened, so every trial has to be told
    again.
    """

    meaning: ClassVar[str] = "a file"

    def __init__(self, where: str, source: Source) -> None:
        self._source = source
        self._file = Path(where).open("w", newline="", encoding="utf-8")  # noqa: SIM115 - closed below
        knobs = [KNOB + name for name in source.columns]
        metrics = [METRIC + name for name in source.metrics]
        header = [*PLAIN, "policy", "horizon", *knobs, "val_metric", *metrics]
        self._rows = csv.DictWriter(self._file, header, extrasaction="ignore")
        self._rows.writeheader()

    def tell(self, record: TrialRecord) -> None:
        """Write the trial's row and flush it, so that a reader sees it at once."""
        row = {name: getattr(record, name) for name in PLAIN}
        for name in ("curve", "decisions"):
            row[name] = json.dumps([dataclasses.asdict(each) for each in row[name]])
        knobs = {KNOB + name: value for name, value in record.recipe.knobs.items()}
        loss = record.val_loss
        self._rows.writerow(
            {
                **row,
                **knobs,
                **{METRIC + name: value for name, value in record.metrics.items()},
                "policy": record.recipe.policy,
                "horizon": record.recipe.horizon,
                "val_metric": None if loss is None else self._source.metric.of(loss),
            }
        )
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


DESTINATION = CsvFile

"""An MLflow tracking store, ``sqlite:///FILE`` or a server's address: an experiment a search, a run
a trial.
"""

from __future__ import annotations

import re
import warnings
from typing import ClassVar

from tuning.elsewhere.destination import Destination, Source, curve_of, numbers_of, settings_of
from tuning.trial.trial import TrialRecord

NUMBER = "ttq.number"
"""The tag of an MLflow run that holds its trial's number."""
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
AT_ONCE = 1000
"""The number of metrics that MLflow takes in one call."""


class MLflow(Destination):
    """Uses a client of its own, so that runs that the user's code has open are left alone."""

    package: ClassVar[str] = "mlflow"
    meaning: ClassVar[str] = "a tracking store, sqlite:///FILE or http://HOST:PORT"

    def __init__(self, where: str, source: Source) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its own tables warn of concerns nobody here
            from mlflow import MlflowClient

            self._source, self._client = source, MlflowClient(tracking_uri=where)
            self._experiment = self._made(f"{source.name} ({source.workload})")
            self._known = self._told()

    def _made(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _told(self) -> set[str]:
        found, token = set(), None
        while True:
            page = self._client.search_runs([self._experiment], page_token=token)
            found |= {run.data.tags.get(NUMBER, "") for run in page}
            if not (token := page.token):
                return found

    def tell(self, record: TrialRecord) -> None:
        """Add a run with the trial's settings, curve and outcome."""
        from mlflow.entities import Metric, Param, RunTag

        if str(record.number) in self._known:
            return
        metric, began = self._source.metric, round(1000 * record.started_at.timestamp())
        tags = {"origin": record.origin, "error": record.error or "", NUMBER: str(record.number)}
        made = self._client.create_run(
            self._experiment, start_time=began, run_name=f"trial {record.number}"
        )
        points = [
            Metric(_allowed(metric.name), value, began + round(1000 * seconds), step)
            for step, seconds, value in curve_of(record, metric)
        ]
        last = record.steps or 0
        points += [
            Metric(_allowed(f"final_{name}"), value, began, last)
            for name, value in numbers_of(record, metric).items()
        ]
        key = made.info.run_id
        params = [Param(name, str(value)) for name, value in settings_of(record).items()]
        self._client.log_batch(key, params=params[:100])
        for start in range(0, len(points), AT_ONCE):
            self._client.log_batch(key, metrics=points[start : start + AT_ONCE])
        # The tag comes last: a run without it was not written to its end, and is told again.
        self._client.log_batch(key, tags=[RunTag(name, text) for name, text in tags.items()])
        ended = round(1000 * record.finished_at.timestamp())
        self._client.set_terminated(key, STATES[record.state], ended)


def _allowed(name: str) -> str:
    """The name with characters that MLflow does not take in names of metrics replaced by dashes."""
    return re.sub(r"[^A-Za-z0-9_\-. /]", "-", name)


DESTINATION = MLflow

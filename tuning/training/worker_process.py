"""The same as ``tuning.training.worker`` in a process that does nothing else: one of the driver's,
never the user's, so that torch's compiler may come late.
"""

from __future__ import annotations

from models.late_dynamo import compile_late
from tuning.training import worker
from tuning.trial.task import Ending


def execute(run: str, task: str, epoch: int) -> Ending:
    """See ``tuning.training.worker.execute``."""
    compile_late()
    return worker.execute(run, task, epoch)

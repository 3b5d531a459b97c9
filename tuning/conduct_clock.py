"""A search's clock as its conductor sees it: calibrated before anything is trained, checked when the search goes on."""

from __future__ import annotations

from tuning.clock import CostTable, OtherSurroundings
from tuning.driver import Driver, WorkerError
from tuning.errors import BadInput, SearchFailed
from tuning.session import Watcher
from tuning.store import Store

CALIBRATE = "tuning.worker_clock:calibrate_run"
CHECK = "tuning.worker_clock:check_calibration"


def calibrate(driver: Driver, store: Store, watch: Watcher) -> None:
    """Measure the clock alone on the device, and say what disturbed it.

    Raises:
        SearchFailed: the workload cannot be trained even alone; the message is the worker's.

    """
    try:
        driver.alone(CALIBRATE, store.path)
    except WorkerError as failure:
        raise SearchFailed(f"the clock could not be calibrated: {failure}") from failure
    costs = store.reload_info().calibration
    assert costs is not None, "the worker stored what it measured"
    if costs.disturbances:
        watch.warn(disturbed(costs))


def disturbed(costs: CostTable) -> str:
    """What a user is told of a clock that was not calibrated alone."""
    return (
        f"the clock was calibrated {costs.tries} times and never alone: {'; '.join(costs.disturbances)}. "
        "Seconds of this run compare its trials with each other; for true ones end what else runs and start a new run"
    )


def check_calibration(driver: Driver, store: Store) -> None:
    """Refuse to go on where the stored clock does not hold.

    Raises:
        BadInput: the device or torch is another than the clock was calibrated with.
        SearchFailed: it could not be found out.

    """
    try:
        driver.alone(CHECK, store.path)
    except WorkerError as failure:
        kind, _, reason = str(failure).partition(": ")
        if kind == OtherSurroundings.__name__:
            raise BadInput(reason) from None
        raise SearchFailed(f"the clock could not be checked: {failure}") from failure

"""How the store grows, 1,000 to 100,000 trials, beside an Optuna journal and SQLite.

For each size and each store

- ``append``: recording one trial durably when the store has grown to that size, p50 and p99 over
  the last ``--measured`` trials; those before are laid down as the larger files that merging would
  have made of them;
- ``flush``: what the disk itself takes for as many bytes, content and name flushed, between those
  appends. No store that survives a power failure appends in less, and a disk that others use may
  take long;
- ``cpu``: processor time of an append, which a busy machine or disk changes less;
- ``merge``: making a larger file of small ones, p50 and longest; the session does that, not the
  worker;
- ``open``: opening the store and knowing which trials it has;
- ``front``: reading what the front needs and computing it;
- ``resume``: the study rebuilt from what is stored, and its first ask;
- ``memory``: the reading process at its highest, and what its imports alone take;
- ``disk``: megabytes, and files.

Reading is measured in a fresh process each, imports aside.

    python -m benchmarks.cost.store --sizes 1000 10000 --json scale.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tuning.config.config import SearchConfig
from tuning.layout import RUNNING, TRIALS
from tuning.store.files import FILES
from tuning.store.info import RunInfo, Target
from tuning.store.parquet import RecordFormat
from tuning.store.shards import FAN_IN, SPANS, Shard
from tuning.store.store import Store
from tuning.study.baselines import baseline_specs, knob_columns
from tuning.study.samplers.sampler import OptunaSampler
from tuning.trial.recipe import Recipe
from tuning.trial.trial import CurvePoint, Decision, TrialRecord, TrialSpec
from tuning.version import VERSION

Row = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
CURVE_POINTS = 10
DECISIONS = 6
RECORD_BYTES = 8_000
FLUSH_EVERY = 10
TARGET = 1.95
FRONT_COLUMNS = (
    "number",
    "state",
    "origin",
    "policy",
    "horizon",
    "train_seconds",
    "val_loss",
    "target_loss",
)
CAPS = {"ours": 10**8, "journal": 10_000, "sqlite": 1_000}
"""Most trials each is filled with; more would take the others hours."""


def configuration(trials: int) -> SearchConfig:
    """A search over all knobs of ``dynamic_suffix``."""
    return SearchConfig(run="scale", trials=trials, sampler="tpe")


def trials(count: int) -> Iterator[TrialRecord]:
    """A search's records, with curves: the baselines, then random points with a plausible end."""
    config = configuration(count)
    space = config.search_space()
    sampler = OptunaSampler(
        space, "random", config.seed, config.objective, first=len(baseline_specs("w", 0))
    )
    baselines = baseline_specs(config.workload, config.seed)
    for number in range(count):
        if number < len(baselines):
            yield finished(baselines[number])
        else:
            policy, horizon, knobs = space.split(sampler.draw(number, 0))
            yield finished(
                TrialSpec(
                    number, "sampled", config.workload, Recipe(policy, horizon, knobs), config.seed
                )
            )


def finished(spec: TrialSpec) -> TrialRecord:
    """The record of a trial that ran to its end: less loss for more time, with some scatter."""
    scatter = random.Random(spec.number)
    seconds = 14 * spec.recipe.horizon * scatter.uniform(0.97, 1.0)
    loss = 1.7 + 0.2 / spec.recipe.horizon * scatter.uniform(1.0, 1.2)
    started = START + timedelta(seconds=5 * spec.number)
    points = [(k + 1) / CURVE_POINTS for k in range(CURVE_POINTS)]
    return TrialRecord(
        recipe=spec.recipe,
        number=spec.number,
        state="finished",
        origin=spec.origin,
        workload=spec.workload,
        seed=spec.seed,
        started_at=started,
        finished_at=started + timedelta(seconds=seconds),
        executions=1,
        device="cpu",
        train_seconds=seconds,
        wall_seconds=1.1 * seconds,
        co_residents=1.0,
        val_loss=loss,
        target_loss=TARGET,
        reached=loss <= TARGET,
        seconds_to_quality=seconds if loss <= TARGET else None,
        steps=int(500 * spec.recipe.horizon),
        probes=40,
        mean_active_fraction=scatter.uniform(0.3, 1.0),
        required_flops=seconds * 1e10,
        effective_flops_per_second=1.1e10,
        pipeline_overhead_seconds=0.05 * seconds,
        curve=tuple(
            CurvePoint(int(500 * p), seconds * p, loss + scatter.random() * (1 - p)) for p in points
        ),
        decisions=tuple(Decision(80 * k, 8 - k, "reduced") for k in range(DECISIONS)),
    )


def fill_ours(path: Path, count: int, measured: int) -> Row:
    """Append ``count`` trials to our store, compacting as a session does.

    The last ``measured`` appends are timed, with raw flushes between them.
    """
    config = configuration(count)
    columns = knob_columns(config.search_space())
    info = RunInfo(version=VERSION, created_at=START, config=config.to_json(), knob_columns=columns)
    store = Store.create(path, info)
    store.update_info(target=Target(TARGET))
    records = trials(count)
    lay_down(store, records, (count - measured) // FAN_IN * FAN_IN)
    appends: list[float] = []
    flushes: list[float] = []
    merges: list[float] = []
    cpu = 0.0
    for record in records:
        before = time.process_time()
        appends.append(timed(partial(store.append, record))[0])
        cpu += time.process_time() - before
        if record.number % FLUSH_EVERY == 0:
            flushes.append(flush(path / RUNNING / "flush"))
        seconds, merged = timed(store.compact)
        merges += [seconds] if merged else []
    longest = {
        "merge_p50_ms": 1e3 * quantile(merges, 0.5),
        "merge_max_ms": 1e3 * max(merges, default=0.0),
    }
    return (
        in_milliseconds(append=appends, flush=flushes)
        | {"append_cpu_ms": 1e3 * cpu / len(appends)}
        | longest
    )


def lay_down(store: Store, records: Iterator[TrialRecord], count: int) -> None:
    """Put the first ``count`` (a multiple of ``FAN_IN``) where merging would have."""
    form = RecordFormat(store.info.knob_columns)
    done = 0
    while done < count:
        span = max(span for span in SPANS if span <= count - done)
        table = form.to_table(list(itertools.islice(records, span)))
        (store.path / TRIALS / Shard(done, span).name).write_bytes(form.to_bytes(table))
        done += span


def flush(path: Path) -> float:
    """Seconds to make a file of a record's size durable, by nothing but the system's calls."""
    seconds, _ = timed(lambda: FILES.commit_once(path, bytes(RECORD_BYTES)))
    path.unlink()
    return seconds


def fill_optuna(url: str, count: int, measured: int) -> Row:
    """Append ``count`` trials to an Optuna study in the storage at ``url``.

    Each has parameters and both values; the rest of its record is attributes.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage(url), study_name="scale", directions=["minimize", "minimize"]
    )
    seconds = [timed(partial(study.add_trial, optuna_trial(record)))[0] for record in trials(count)]
    return in_milliseconds(append=seconds[-measured:])


def in_milliseconds(**seconds: list[float]) -> Row:
    """``NAME_p50_ms`` and ``NAME_p99_ms`` of each list."""
    fractions = {"p50": 0.5, "p99": 0.99}
    return {
        f"{name}_{label}_ms": 1e3 * quantile(values, fraction)
        for name, values in seconds.items()
        for label, fraction in fractions.items()
    }


def storage(url: str) -> Any:
    """The Optuna storage of ``journal:PATH`` or ``sqlite:PATH``."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    kind, _, path = url.partition(":")
    return (
        JournalStorage(JournalFileBackend(path))
        if kind == "journal"
        else RDBStorage(f"sqlite:///{path}")
    )


def optuna_trial(record: TrialRecord) -> Any:
    """The record as a complete Optuna trial."""
    import optuna

    params = {"horizon": record.recipe.horizon, **record.recipe.knobs}
    facts: dict[str, Any] = {
        k: v for k, v in vars(record).items() if isinstance(v, (int, float, str))
    }
    facts["curve"] = [list(vars(point).values()) for point in record.curve]
    facts["decisions"] = [list(vars(decision).values()) for decision in record.decisions]
    return optuna.trial.create_trial(
        params=params,
        distributions={name: distribution(value) for name, value in params.items()},
        values=[record.train_seconds or 0.0, record.val_loss or 0.0],
        user_attrs=facts,
    )


def distribution(value: object) -> Any:
    """A range that any value of the knob lies in."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(value, bool):
        return CategoricalDistribution([False, True])
    if isinstance(value, str):
        return CategoricalDistribution(["ratio", "saliency", "keep", "reset"])
    return IntDistribution(0, 1000) if isinstance(value, int) else FloatDistribution(0.0, 10.0)


def read_ours(path: str) -> Row:
    """Open, front and resume of our store, in this process."""
    import tuning.study.samplers.optuna_ask  # noqa: F401 - imports are not what is measured
    from tuning.findings.front import front
    from tuning.session.plan import make_study

    imports = peak_megabytes()
    opened, count = timed(lambda: len(Store.open(Path(path)).numbers()))
    front_seconds, members = timed(lambda: front(Store.open(Path(path)).frame(FRONT_COLUMNS)))

    def resume() -> object:
        store = Store.open(Path(path))
        store.tidy()
        assert store.info.target is not None
        return make_study(store, configuration(count + 1), store.info.target).ask()

    resumed, spec = timed(resume)
    assert spec is not None
    return reading(opened, front_seconds, resumed, imports) | {
        "trials": count,
        "front_size": len(members),
    }


def read_optuna(url: str) -> Row:
    """The same of an Optuna study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    imports = peak_megabytes()

    def load() -> optuna.Study:
        return optuna.load_study(
            study_name="scale", storage=storage(url), sampler=optuna.samplers.TPESampler(seed=0)
        )

    opened, count = timed(lambda: len(load().get_trials(deepcopy=False)))
    front_seconds, members = timed(lambda: load().best_trials)
    asked = {name: distribution(0.5) for name in ("horizon", "threshold", "ema_beta", "recovery")}
    resumed, _ = timed(lambda: load().ask(asked))
    return reading(opened, front_seconds, resumed, imports) | {
        "trials": count,
        "front_size": len(members),
    }


def reading(opened: float, front_seconds: float, resumed: float, imports: float) -> Row:
    """The measurements of one reading process."""
    return {
        "open_s": opened,
        "front_s": front_seconds,
        "resume_s": resumed,
        "memory_mb": peak_megabytes(),
        "imports_mb": imports,
    }


def measure(kind: str, size: int, measured: int, folder: Path) -> Row:
    """One line of the table: fill the store here, read it in a process of its own."""
    path = folder / f"{kind}{size}"
    address = str(path) if kind == "ours" else f"{kind}:{path}"
    measured = min(measured, size)
    filled = (
        fill_ours(path, size, measured) if kind == "ours" else fill_optuna(address, size, measured)
    )
    command = [sys.executable, "-m", "benchmarks.cost.store", "--read", kind, address]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    on_disk = disk_use(path)
    return {
        "store": kind,
        "trials": size,
        **filled,
        **json.loads(done.stdout.splitlines()[-1]),
        **on_disk,
    }


def disk_use(path: Path) -> Row:
    """Bytes and files under ``path``."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return {"disk_mb": sum(p.stat().st_size for p in files) / 1e6, "files": len(files)}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """``(seconds, result)`` of a call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def quantile(values: list[float], fraction: float) -> float:
    """The value that ``fraction`` of them do not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


def peak_megabytes() -> float:
    """The most memory this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


COLUMNS = {
    "store": "store",
    "trials": "trials",
    "append_p50_ms": "append p50, ms",
    "append_p99_ms": "append p99, ms",
    "append_cpu_ms": "append cpu, ms",
    "flush_p50_ms": "flush p50, ms",
    "flush_p99_ms": "flush p99, ms",
    "merge_p50_ms": "merge p50, ms",
    "merge_max_ms": "merge max, ms",
    "open_s": "open, s",
    "front_s": "front, s",
    "resume_s": "resume, s",
    "memory_mb": "memory, MB",
    "imports_mb": "imports, MB",
    "disk_mb": "disk, MB",
    "files": "files",
}


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table(*COLUMNS.values(), title="The store as it grows")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in COLUMNS))
    Console(width=160).print(table)


def cell(value: object) -> str:
    """A number as the table shows it."""
    if isinstance(value, float):
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1_000, 10_000], help="trials (default: 1000 10000)"
    )
    parser.add_argument(
        "--stores", nargs="+", choices=list(CAPS), default=list(CAPS), help="default: all"
    )
    parser.add_argument(
        "--measured", type=int, default=2_000, help="last appends to time (default: 2000)"
    )
    parser.add_argument(
        "--dir", type=Path, default=None, help="where the stores are made (default: temporary)"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the rows to this file")
    parser.add_argument("--read", nargs=2, default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    if given.read is not None:
        kind, address = given.read
        print(json.dumps(read_ours(address) if kind == "ours" else read_optuna(address)))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=given.dir) as name:
        for size in given.sizes:
            kinds = [kind for kind in given.stores if size <= CAPS[kind]]
            rows += [measure(kind, size, given.measured, Path(name)) for kind in kinds]
    show(rows)
    if given.json is not None:
        given.json.write_text(json.dumps({"rows": rows, "cpus": os.cpu_count()}, indent=2))


if __name__ == "__main__":
    main()

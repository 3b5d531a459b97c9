"""What is known of a device only by running on it: one command, over in ten minutes.

Trials that share it (charged the same with 1, 2 and 4 at once, and what a plain wall clock would
have said), a trial that takes more memory than its share (it fails alone), attention's kernels and
compiled blocks (their gradients against eager ones), and what the space ``recipe`` gains on byte_lm
at a size that fills the device. Without a card everything but the memory runs on the CPU, smaller:

    python -m benchmarks.gpu [--device cuda|cpu] [--seconds S] [--keep DIR] [--json FILE]

A part that fails is a row that says so, and the others go on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from scipy.stats import kendalltau

import tuning
from benchmarks.common import Row, machine, parser, publish
from benchmarks.quality.models.byte_lm_large import CARD, SMALL
from benchmarks.quality.wins import rows_of
from models.compute.compiling import compile_fault, compiled
from models.workloads.byte_lm import byte_lm
from tuning.findings.verdict import read_verdict

LARGE = "benchmarks/quality/models/byte_lm_large.py"
HUNGRY = "benchmarks/quality/models/hungry.py:make"
AT_ONCE = (1, 2, 4)

Part = Callable[["Bench"], list[Row]]


@dataclass(frozen=True)
class Bench:
    """Where it runs, until when by ``time.monotonic``, and where its runs are kept."""

    device: str
    until: float
    folder: Path

    @property
    def workload(self) -> str:
        """Byte_lm at a size for the device."""
        return f"{LARGE}:{'card' if self.device == 'cuda' else 'small'}"

    @property
    def left(self) -> float:
        """Seconds that the part still has."""
        return max(0.0, self.until - time.monotonic())

    def door(self, name: str, *words: object) -> str:
        """What a command of ours prints.

        Raises:
            RuntimeError: it failed, or the part's seconds are over.
        """
        command = [sys.executable, "-m", name, *map(str, words)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=self.left,
            )
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"{name} took more than {late.timeout:.0f} s") from None
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout


def main() -> None:
    """Run every part, print, and write JSON where asked."""
    made = parser(__doc__)
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--seconds", type=float, default=570.0, metavar="S", help="of everything")
    made.add_argument("--keep", type=Path, metavar="DIR", help="keep the runs there")
    options = made.parse_args()
    about = machine() | {"device": _name(options.device)}
    with _folder(options) as folder:
        tables = {
            name: _tried(part, options.device, share * options.seconds, folder)
            for name, (part, share) in PARTS.items()
        }
        publish(tables, options.json, about)


@contextlib.contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    if options.keep is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
    else:
        options.keep.mkdir(parents=True, exist_ok=True)
        yield options.keep


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def _tried(part: Part, device: str, seconds: float, folder: Path) -> list[Row]:
    started = time.monotonic()
    try:
        rows = part(Bench(device, started + seconds, folder))
    except (RuntimeError, ValueError, OSError) as fault:
        rows = [{"not measured": str(fault)}]
    return [row | {"seconds": round(time.monotonic() - started, 1)} for row in rows]


def sharing(bench: Bench) -> list[Row]:
    """The same trials with 1, 2 and 4 at once on one clock: solo seconds, and wall seconds, over
    the wall seconds of the first.
    """
    frames = {at_once: _shared(bench, at_once) for at_once in AT_ONCE}
    alone = frames[1]["measured_seconds"].tolist()
    return [
        {
            "trials at once": at_once,
            "trials": len(frame),
            **_against("clock", frame["train_seconds"].tolist(), alone),
            **_against("wall", frame["measured_seconds"].tolist(), alone),
            "same to the bit": bool((frame["val_loss"] == frames[1]["val_loss"]).all()),
        }
        for at_once, frame in frames.items()
    ]


def _shared(bench: Bench, at_once: int) -> pd.DataFrame:
    run = bench.folder / f"sharing-{at_once}"
    first = bench.folder / f"sharing-{AT_ONCE[0]}"
    words = ["--workload", bench.workload, "--space", "static_suffix", "--sampler", "random"]
    words += ["--target", "0", "--trials", "7" if bench.device == "cuda" else "6"]
    words += ["--no-forks", "--no-stopping", "--replicates", "0", "--concurrency", str(at_once)]
    words += ["--gpus-per-trial", str(1 / at_once)] if bench.device == "cuda" else []
    words += [] if run == first else ["--clock", str(first)]
    bench.door("tuning.search", "--run", run, *words)
    frame = tuning.load(run)
    return frame[frame["state"] == "finished"].sort_values("number").reset_index(drop=True)


def _against(name: str, said: Sequence[float], truth: Sequence[float]) -> Row:
    ratios = [float(a / b) for a, b in zip(said, truth, strict=True)]
    return {
        f"{name} over alone": statistics.median(ratios),
        f"{name}: tau": float(kendalltau(said, truth).statistic),
    }


def memory(bench: Bench) -> list[Row]:
    """Two at once with half the card each; about half of them take more than their half."""
    if bench.device != "cuda":
        raise RuntimeError("a CPU has no caps: an allocator's share is a card's")
    return by_share(hungry(bench, "--concurrency", 2, "--gpus-per-trial", 0.5))


def hungry(bench: Bench, *words: object) -> pd.DataFrame:
    """A search over how much of the card a trial takes."""
    run, config = bench.folder / "memory", bench.folder / "memory.toml"
    config.write_text("[knobs]\nuse_own = true\n", encoding="utf-8")
    words = ("--config", config, "--workload", HUNGRY, "--space", "static_suffix", *words)
    words += ("--sampler", "random", "--target", "0", "--trials", 16, "--replicates", 0)
    bench.door("tuning.search", "--run", run, "--no-forks", "--no-stopping", *words)
    return tuning.load(run)


def by_share(frame: pd.DataFrame) -> list[Row]:
    """A row for each share of the card that trials took; the baselines take none."""
    return [
        {
            "share of the card taken": share,
            "trials": len(of),
            "finished": int((of["state"] == "finished").sum()),
            "failed": int((of["state"] == "failed").sum()),
            "reason": next(iter(of["error"].dropna()), None),
        }
        for share, of in frame.groupby(frame["knob_share"].fillna(0.0))
    ]


def kernels(bench: Bench) -> list[Row]:
    """Attention's kernels against math, a step with each, and compiled blocks."""
    words = ["--device", bench.device, "--quick", "--rounds", 3]
    words += ["--json", bench.folder / "attention.json"]
    bench.door("benchmarks.levers.attention", *words)
    tables = json.loads((bench.folder / "attention.json").read_text(encoding="utf-8"))["tables"]
    return [
        {
            "kernel": f"{row['backend']} {row['dtype']}",
            "what": f"attention {name}" if "error" in row else name,
            "gradients' error": row.get("gradients' error"),
            "over math": row.get("forward / math", row.get("/ math")),
        }
        for name, rows in tables.items()
        for row in rows
        if "backend" in row
    ] + [compiling(bench)]


def compiling(bench: Bench) -> Row:
    """One step's gradients with compiled blocks against eager ones, and its seconds."""
    device = torch.device(bench.device)
    row: Row = {"kernel": "compiled blocks", "what": "gradients against eager ones"}
    if fault := compile_fault(device):
        return row | {"what": fault}
    workload = byte_lm(recipe=SMALL)
    batch = workload.batch_at(0, 0).to(device)
    found = []
    for compile_it in (False, True):
        model = workload.make_model(0).to(device)
        if compile_it:
            compiled(model, workload.blocks(model))
        workload.loss(model, batch).backward()  # type: ignore[no-untyped-call]
        found.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    eager, other = found
    return row | {"gradients' error": float((eager - other).abs().max() / eager.abs().max())}


def gains(bench: Bench) -> list[Row]:
    """A search of ``recipe``, and its best on fresh seeds."""
    run = bench.folder / "gains"
    searching = 0.5 * bench.left
    words = ["--workload", bench.workload, "--trials", 24, "--time-budget", f"{searching:.0f}"]
    bench.door("tuning.search", "--run", run, *words)
    bench.door("tuning.confirm", run, "--top", 1, "--seeds", 3, "--time", "solo")
    verdict, remark = read_verdict(run)
    if verdict is None:
        raise RuntimeError(remark or "no verdict")
    return rows_of(bench.workload, verdict)


PARTS: Mapping[str, tuple[Part, float]] = {
    "trials that share the device": (sharing, 0.3),
    "a trial that takes more than its share of memory": (memory, 0.1),
    "kernels and compiled blocks": (kernels, 0.15),
    f"gains of recipe on byte_lm, {CARD.depth} x {CARD.width} on a card": (gains, 0.45),
}
"""Each with its share of the seconds, after which it is stopped."""

if __name__ == "__main__":
    main()

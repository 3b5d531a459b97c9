"""What the best recipe gains over the three controls, on fresh seeds: one search a workload, each
confirmed.

A search of the space ``recipe`` is followed by ``tuning.confirm`` on it; a run that is there
already is taken, searched on or confirmed on where it was. A row a workload: the gain at the
recipe's loss over the own, the tuned and the smaller control with its interval and corrected p.

    python -m benchmarks.quality.wins [--workloads W ...] [--runs DIR] [--trials N] [--seeds K]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Row, machine, parser, publish
from tuning.findings.verdict import Against, CandidateVerdict, Verdict, read_verdict
from tuning.layout import RUN_JSON

WORKLOADS = ("byte_lm", "byte_lm_finetune", "digits")


def main() -> None:
    """Search, confirm, print the rows."""
    made = parser(__doc__)
    made.add_argument("--workloads", nargs="+", default=list(WORKLOADS), metavar="W")
    made.add_argument("--runs", type=Path, default=Path("runs/wins"), metavar="DIR")
    made.add_argument("--trials", type=int, default=80, metavar="N")
    made.add_argument("--seeds", type=int, default=8, metavar="K")
    made.add_argument("--time", default="measured", metavar="KIND", help="as of tuning.confirm")
    options = made.parse_args()
    rows: list[Row] = []
    for workload in options.workloads:
        run = options.runs / Path(workload.replace(":", "-")).name
        rows += rows_of(workload, confirmed(workload, run, options))
    publish({"wins": rows}, options.json, machine())


def confirmed(workload: str, run: Path, options: argparse.Namespace) -> Verdict:
    """The verdict on a search of the workload, made where it is not there yet."""
    if not (run / RUN_JSON).exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        _door("search", "--run", run, "--workload", workload, "--trials", options.trials)
    _door("confirm", run, "--top", 1, "--seeds", options.seeds, "--time", options.time)
    verdict, remark = read_verdict(run)
    if verdict is None:
        raise SystemExit(f"{run} must have a verdict, but {remark or 'has none'}")
    return verdict


def _door(name: str, *words: object) -> None:
    command = [sys.executable, "-m", f"tuning.{name}", *map(str, words)]
    subprocess.run(command, check=True)


def rows_of(workload: str, verdict: Verdict) -> list[Row]:
    """A row for each confirmed recipe."""
    return [_row(workload, candidate) for candidate in verdict.candidates]


def _row(workload: str, candidate: CandidateVerdict) -> Row:
    rivals: dict[str, Against | CandidateVerdict] = {"own": candidate}
    rivals |= {str(name): against for name, against in candidate.over.items()}
    cells = {name: _cell(rival) for name, rival in rivals.items()}
    return {
        "workload": workload,
        "recipe": f"#{candidate.number} {candidate.recipe.name}",
        "horizon": candidate.recipe.horizon,
        "loss": candidate.loss,
        **{f"over {name}": cells.get(name, "none trained") for name in ("own", "tuned", "smaller")},
    }


def _cell(against: Against | CandidateVerdict) -> str:
    if against.gain is None:
        return against.note or "not stated"
    low, high = (f"{end:.2f}" if end is not None else "?" for end in against.interval)
    at = {"at least": "≥ ", "at most": "≤ "}.get(str(against.bound), "")
    return (
        f"{at}{against.gain:.2f} ({low} to {high}), p {against.p_corrected:.2g}, n {against.seeds}"
    )


if __name__ == "__main__":
    main()

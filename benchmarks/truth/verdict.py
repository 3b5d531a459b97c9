"""How often the verdict is right, on synthetic runs whose true gain is known.

Control and candidates follow one curve of loss against time, falling as a power of it; a candidate
of gain g is on it g times as early. A seed moves all its runs by the same loss (which pairing
removes), every run has a loss of its own beside that, and every measured time strays. What the
project's own functions make of that is counted:

- power: how often the candidate of gain g is declared the winner, alone (K = 1) and beside others
  of gain 1.00;
- false wins: how often any candidate of gain 1.00 wins, which must be at most 1 %;
- coverage: how often the 95 % intervals hold the true gain.

    python -m benchmarks.truth.verdict [--simulations N] [--json FILE]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Row, machine, parser, publish
from tuning.findings.judge import wins
from tuning.findings.paired import (
    ControlCurve,
    SeedComparison,
    compare,
    gain_over_seeds,
    holm,
    mean_gain,
    p_value,
)
from tuning.findings.verdict import ALPHA
from tuning.study.confirmation import OWN_RUNS
from tuning.study.prices import around, span

GAINS = (1.0, 1.02, 1.05, 1.1, 1.3)
SEEDS = (3, 5, 8)
CANDIDATES = (1, 3)
HORIZONS = (0.5, 0.625, 0.75, 0.875, 1.0)
"""Of the control, from which a confirmation takes those around its candidates."""
FALSE_WINS_GOAL = 0.01
COVERAGE_SIMULATIONS = 400


@dataclass(frozen=True)
class Noise:
    """Sizes of what a run's numbers stray by.

    Measured on byte_lm_narrow, three seeds by five horizons: seeds shift losses by 0.023, a run
    lies 0.003 off the parabola through its own seed's runs, and 0.009 is left where only seed and
    horizon are taken out.

    Attributes:
        seed: standard deviation of a seed's shift of all losses.
        run: of a run's own loss beside that.
        time: of the logarithm of a run's measured seconds, and of the control's speed on a seed.
        tails: degrees of freedom of Student's t that run and time follow; infinite for normal
            noise.
    """

    name: str
    seed: float = 0.020
    run: float = 0.004
    time: float = 0.015
    tails: float = math.inf

    def draw(self, random: np.random.Generator, size: float, shape: Sequence[int]) -> Any:
        """Values of standard deviation ``size``."""
        if math.isinf(self.tails):
            return size * random.standard_normal(shape)
        return (
            size * random.standard_t(self.tails, shape) / math.sqrt(self.tails / (self.tails - 2))
        )


NOISES = (
    Noise("normal"),
    Noise("heavy tails (t, 4 d.f.)", tails=4.0),
    Noise("twice as large", run=0.008, time=0.03),
)


def true_loss(time: Any) -> Any:
    """Validation loss after ``time`` horizons.

    It is 2.04 at a half and 1.90 at 1, where one per cent more time lowers it by 0.0017.
    """
    return 1.6 + 0.3 * time**-0.55


def confirmation(
    random: np.random.Generator, noise: Noise, gains: Sequence[float], seeds: int
) -> list[list[SeedComparison]]:
    """One confirmation of candidates with these gains, trained for 0.7 to 1.0 horizons.

    The comparisons are listed by candidate; the control is trained for as long as they need.
    """
    horizons = random.uniform(0.7, 1.0, len(gains))
    spans = [span(h / gain, gain) for h, gain in zip(horizons.tolist(), gains, strict=True)]
    own = np.array(around(spans, HORIZONS, OWN_RUNS))
    control_losses = true_loss(own) + noise.draw(random, noise.run, (seeds, len(own)))
    losses = true_loss(horizons) + noise.draw(random, noise.run, (seeds, len(gains)))
    shift = noise.draw(random, noise.seed, (seeds, 1))
    strays = np.exp(noise.draw(random, noise.time, (seeds, len(gains) + 1)))
    found: list[list[SeedComparison]] = [[] for _ in gains]
    for seed in range(seeds):
        curve = ControlCurve.fit(
            (own * strays[seed, -1]).tolist(), control_losses[seed] + shift[seed]
        )
        for index, gain in enumerate(gains):
            seconds = horizons[index] / gain * strays[seed, index]
            found[index].append(
                compare(seed, curve, float(seconds), float(losses[seed, index] + shift[seed, 0]))
            )
    return found


def winners(candidates: Sequence[Sequence[SeedComparison]]) -> list[bool]:
    """Which candidates the project's verdict calls winners."""
    lower = [
        [c.lower_loss for c in comparisons if c.lower_loss is not None]
        for comparisons in candidates
    ]
    ps = [p_value(v) if len(v) == len(c) else 1.0 for v, c in zip(lower, candidates, strict=True)]
    return [wins(p, *mean_gain(c)) for p, c in zip(holm(ps), candidates, strict=True)]


def measure(noise: Noise, simulations: int) -> list[dict[str, Any]]:
    """One row for each gain, number of seeds and number of candidates."""
    rows = []
    for gain in GAINS:
        repeats = simulations * (
            5 if gain == 1.0 else 1
        )  # a rate of one in a hundred needs more of them
        random = np.random.default_rng(round(gain * 1000))
        won = dict.fromkeys([(n, k) for n in SEEDS for k in CANDIDATES], 0)
        false = dict.fromkeys(won, 0)
        for _ in range(repeats):
            everything = confirmation(random, noise, (gain, 1.0, 1.0), max(SEEDS))
            for n, k in won:
                called = winners([comparisons[:n] for comparisons in everything[:k]])
                won[n, k] += called[0]
                false[n, k] += any(called[0 if gain == 1.0 else 1 :])
        rows += [
            {
                "noise": noise.name,
                "gain": gain,
                "seeds": n,
                "candidates": k,
                "simulations": repeats,
                "wins": won[n, k] / repeats,
                "false_wins": false[n, k] / repeats,
            }
            for n, k in won
        ]
    return rows


def coverage(noise: Noise, simulations: int) -> list[dict[str, Any]]:
    """How often the 95 % intervals hold a true gain of 1.05, Student's and the bootstrap's."""
    random, rows = np.random.default_rng(7), []
    held = {n: [0, 0, 0] for n in SEEDS}
    for _ in range(simulations):
        (comparisons,) = confirmation(random, noise, (1.05,), max(SEEDS))
        for n, counts in held.items():
            gain = gain_over_seeds(comparisons[:n])
            if gain.bound or gain.value is None:
                continue
            counts[0] += 1
            counts[1] += _holds(gain.interval, 1.05)
            counts[2] += _holds(gain.bootstrap, 1.05)
    for n, (count, student, bootstrap) in held.items():
        rows.append(
            {
                "noise": noise.name,
                "seeds": n,
                "Student's t": student / count,
                "bootstrap (BCa)": bootstrap / count,
            }
        )
    return rows


def _holds(interval: tuple[float | None, float | None], value: float) -> bool:
    low, high = interval
    return low is not None and high is not None and low <= value <= high


def power_table(rows: Sequence[dict[str, Any]]) -> list[Row]:
    """One row for each noise, number of candidates K and number of seeds.

    It has the wins by gain, and the false wins where all K have a gain of 1.00.
    """
    table = []
    for noise, k, n in dict.fromkeys((r["noise"], r["candidates"], r["seeds"]) for r in rows):
        own = [r for r in rows if (r["noise"], r["candidates"], r["seeds"]) == (noise, k, n)]
        wins_at = {f"gain {r['gain']:.2f}": f"{r['wins']:.2%}" for r in own}
        false = next(r["false_wins"] for r in own if r["gain"] == 1.0)
        table.append({"noise": noise, "K": k, "seeds": n, **wins_at, "false wins": f"{false:.2%}"})
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit status.

    It is 1 where false wins exceed the goal by more than two standard errors.
    """
    made = parser(__doc__)
    made.add_argument(
        "--simulations",
        type=int,
        default=2000,
        metavar="N",
        help="confirmations a row (default: 2000)",
    )
    options = made.parse_args(argv)
    rows = [row for noise in NOISES for row in measure(noise, options.simulations)]
    covered = [row for noise in NOISES for row in coverage(noise, COVERAGE_SIMULATIONS)]
    power = f"confirmations in which the candidate wins (p <= {ALPHA}, corrected for K)"
    tables = {power: power_table(rows), "coverage of the 95 % intervals at a gain of 1.05": covered}
    sizes = {
        noise.name: f"seed {noise.seed}, run {noise.run}, time {noise.time}" for noise in NOISES
    }
    publish(tables, options.json, machine() | sizes | {"simulations": options.simulations})
    return int(any(too_many(row) for row in rows))


def too_many(row: dict[str, Any]) -> bool:
    """Whether the row's false wins cannot be a rate of ``FALSE_WINS_GOAL``."""
    error = math.sqrt(FALSE_WINS_GOAL * (1 - FALSE_WINS_GOAL) / row["simulations"])
    return bool(row["false_wins"] > FALSE_WINS_GOAL + 2 * error)


if __name__ == "__main__":
    raise SystemExit(main())

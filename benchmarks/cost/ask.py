"""What asking for a proposal costs, as more trials are known.

The sampler that a search has by default, told made-up trials at uniform points of a space, the own
control at six horizons first. Milliseconds of a processor, which a busy machine changes less than
those of a clock. Asks that are drawn whatever is known are left out. Every round asks once for each
space and number of trials known, in turn, each time for another trial.

    python -m benchmarks.cost.ask [--spaces recipe] [--known 200 1000] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.common import Row, interleaved, machine, parser, publish
from search_spaces.base import SearchSpace
from search_spaces.registry import find_space
from tuning.config.config import SearchConfig
from tuning.study.samplers.draws import uniform
from tuning.study.samplers.sampler import LOOK_ELSEWHERE, OptunaSampler
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe

HORIZONS = (1.0, 0.5, 0.625, 0.75, 0.875, 1.5)
GOAL_MS = 50.0
"""At 1,000 trials known of the space ``recipe``."""


def made_up(space: SearchSpace, count: int) -> list[Outcome]:
    """Trials that are over: the control at its horizons, then uniform points with some scatter."""
    controls = [Recipe("full_update", horizon) for horizon in HORIZONS]
    points = (Recipe(*space.split(uniform(space, 0, number))) for number in itertools.count())
    recipes = itertools.islice(itertools.chain(controls, points), count)
    return [
        Outcome(
            number,
            "control" if number < len(HORIZONS) else "sampled",
            "finished",
            recipe,
            train_seconds=16 * recipe.horizon,
            val_loss=2.4 - 0.5 * recipe.horizon + 0.1 * math.sin(number),
        )
        for number, recipe in enumerate(recipes)
    ]


def modelled(known: int) -> Iterator[int]:
    """Numbers of trials after those known that a model proposes, whatever it knows."""
    return (n for n in itertools.count(known) if (n - len(HORIZONS)) % LOOK_ELSEWHERE == 1)


def asking(space: SearchSpace, known: int) -> Callable[[], object]:
    """Asks for the next of those trials each time that it is called."""
    config = SearchConfig(run="ask", objective="time-to-quality")
    sampler = OptunaSampler(
        space, config.sampler, config.seed, config.objective, first=len(HORIZONS)
    )
    history, numbers = made_up(space, known), modelled(known)
    return lambda: sampler.propose(next(numbers), history, [])


def rows(spaces: Sequence[str], known: Sequence[int], rounds: int) -> list[Row]:
    """A row for each space and number of trials known."""
    cases = {
        f"{name} {count}": (name, count, asking(find_space(name), count))
        for name in spaces
        for count in known
    }
    seconds = interleaved(
        {case: ask for case, (_, _, ask) in cases.items()}, rounds, time.process_time
    )
    found = []
    for case, (name, count, _) in cases.items():
        low, middle, high = (1e3 * q for q in statistics.quantiles(seconds[case], n=4))
        found.append(
            {
                "space": name,
                "known": count,
                "asks": rounds,
                "median, ms": middle,
                "lower quartile": low,
                "upper quartile": high,
                "goal": GOAL_MS if (name, count) == ("recipe", 1000) else None,
            }
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    given = parser(__doc__, rounds=40)
    given.add_argument("--spaces", nargs="+", default=["recipe"], help="(default: recipe)")
    given.add_argument(
        "--known", type=int, nargs="+", default=[200, 1000], help="trials (default: 200 1000)"
    )
    options = given.parse_args(argv)
    about = machine()
    publish({"an ask": rows(options.spaces, options.known, options.rounds)}, options.json, about)


if __name__ == "__main__":
    main()

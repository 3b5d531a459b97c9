"""Random kills of random processes: what a search loses, ours against plain Ray Tune with
OptunaSearch.

Searches of two dozen trials of about a second, two at once, are killed with SIGKILL again and
again, at moments and of processes drawn from a seed, and resumed after each kill that ended them.
Ours dies in every way there is; plain, which is restored by ``Tuner.restore``, is spared all but
the death of its driver. For each kill the tables have

    finished   trials that had ended before it, and of these
    lost       those that are not in the table any more, or are changed, when the search is over
    twice      those that were trained again
    repeated   steps trained before it that were trained again or thrown away
    training   seconds from the kill until a new process trains

    python -m benchmarks.survival.kills [--searches 4] [--plain-searches 2] [--trials 24] [--seed 0]
    [--json FILE]
"""

from __future__ import annotations

import random
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Row, machine, parser, publish
from benchmarks.survival import sides as chaos_sides
from tests.support import slow
from tests.support.slow import Step
from tests.support.victims import VICTIMS, Victim, eventually

PLAIN_KILLS = 4
EARLY = 0.2
"""So many kills of what ends the search come at its start, before anything trains."""
FATAL = ("driver", "raylet", "group")
MOST_STARTS = 3
END_SECONDS = 60.0
"""A search that a kill should end, and that has not ended by itself, is helped."""


@dataclass(frozen=True)
class Kill:
    """One kill: of what, when in the search's life, when by the clock, and what was there just
    before it.

    Attributes:
        finished: the trials that had ended, and what of them must not change.
        processes: the ids of the search's processes.
    """

    victim: str
    moment: str
    at: float
    finished: dict[str, bytes]
    processes: frozenset[int]


class Side(ABC):
    """A kind of search: how it is started and what it has to show."""

    name: str

    def __init__(self, folder: Path, trials: int) -> None:
        self.folder, self.trials, self.log = folder, trials, folder / "steps"

    @abstractmethod
    def arguments(self) -> list[str]:
        """The command that starts the search, or goes on with it."""

    @abstractmethod
    def finished(self) -> dict[str, bytes]:
        """Every trial that has ended so far, and what of it must not change."""

    @abstractmethod
    def kept(self) -> dict[str, bytes]:
        """The same of the trials in the final table."""

    def start(self) -> Victim:
        """The search as a process."""
        argv = ["benchmarks.survival.sides", self.name, *self.arguments()]
        return Victim(argv, self.folder / "output", {slow.LOG: str(self.log)})

    def steps(self) -> list[Step]:
        """Every step of a task, in order of time."""
        return sorted(
            (step for step in slow.steps_in(self.log) if step.task != "-"), key=lambda step: step.at
        )


class Ours(Side):
    """The search of this project."""

    name = "ours"

    def arguments(self) -> list[str]:
        """``tuning.search``'s own."""
        run = self.folder / "run"
        if (run / "run.json").exists():
            return ["--resume", str(run)]
        options = {
            "--run": run,
            "--workload": slow.NAME,
            "--trials": self.trials,
            "--concurrency": 2,
        }
        return [str(part) for option in options.items() for part in option]

    def finished(self) -> dict[str, bytes]:
        """The records' files, which are to stay the same bytes."""
        files = (self.folder / "run" / "trials").glob("*.parquet")
        return {str(int(path.stem)): path.read_bytes() for path in files}

    def kept(self) -> dict[str, bytes]:
        """The same."""
        return self.finished()


class Plain(Side):
    """Ray Tune, OptunaSearch, ``Tuner.restore``."""

    name = "plain"

    def arguments(self) -> list[str]:
        """The folder, for the start and for the restoration alike."""
        return [str(self.folder), str(self.trials)]

    def finished(self) -> dict[str, bytes]:
        """The trials that came to the end of their function."""
        return {step.task: b"" for step in self.steps() if step.step == chaos_sides.DONE}

    def kept(self) -> dict[str, bytes]:
        """The trials of the final result grid."""
        return dict.fromkeys((self.folder / "kept").read_text().split(), b"")


def strike(side: Side, search: Victim, victim: str, draw: random.Random) -> Kill | None:
    """Kill at a moment drawn; None where the search was over before."""
    early = victim in FATAL and draw.random() < EARLY
    trials, wanted, delay = draw.randrange(5), draw.randrange(5, 80), draw.random() * 8
    if early:
        time.sleep(delay)
    else:
        ended = len(side.finished())
        eventually(lambda: len(side.finished()) >= ended + trials or search.over)
        begun = len(side.steps())
        # A process that is to die must be one that trains: the first steps show that there is one.
        eventually(lambda: len(side.steps()) >= begun + wanted or search.over)
    while not search.over:
        processes = frozenset(process.pid for process in search.look())
        finished, at = side.finished(), time.time()
        if search.kill(victim):
            return Kill(victim, "start-up" if early else "training", at, finished, processes)
        time.sleep(0.05)  # there is no such process yet
    return None


def chaos(side: Side, victims: list[str], draw: random.Random) -> list[Kill]:
    """Kill one search by each of ``victims``, then let it end; the kills that met it alive."""
    kills = []
    search = side.start()
    try:
        for victim in victims:
            if (kill := strike(side, search, victim, draw)) is not None:
                kills.append(kill)
                if victim in FATAL:
                    end(side, search)
                    search = side.start()
        for _ in range(MOST_STARTS):
            if search.wait() == 0:
                return kills
            search = side.start()
        raise RuntimeError(f"the search does not end by itself: {search.said()[-2000:]}")
    finally:
        search.end()


def end(side: Side, search: Victim) -> None:
    """Wait for the end of a search that was killed; what plain leaves behind is ended for it."""
    by = time.monotonic() + END_SECONDS
    while not search.over and time.monotonic() < by:
        time.sleep(0.1)
    if isinstance(side, Plain) or not search.over:
        search.end()


def rows(side: Side, kills: list[Kill], search: int) -> list[Row]:
    """The table's rows of one search that is over."""
    steps, kept = side.steps(), side.kept()
    seen = set[str]()
    made: list[Row] = []
    for kill, undone in zip(kills, repeated(steps, kept, kills), strict=True):
        new = kill.finished.keys() - seen
        gone = [task for task in new if kept.get(task) != kill.finished[task]]
        after = {step.task for step in steps if step.at > kill.at and step.step != chaos_sides.DONE}
        made.append(
            {
                "search": search,
                "killed": kill.victim,
                "moment": kill.moment,
                "finished": len(kill.finished),
                "lost": len(gone),
                "twice": len(new & after),
                "repeated": undone,
                "training": training_again(steps, kill),
            }
        )
        seen |= kill.finished.keys()
    return made


@dataclass(frozen=True)
class Stretch:
    """What one process trained of one task."""

    task: str
    first: int
    last: int
    until: float


def stretches(steps: list[Step]) -> list[list[Stretch]]:
    """Of each task, its stretches one after another."""
    by_task: dict[str, dict[int, list[Step]]] = {}
    for step in steps:
        if step.step != chaos_sides.DONE:
            by_task.setdefault(step.task, {}).setdefault(step.pid, []).append(step)
    return [
        [Stretch(task, of[0].step, of[-1].step, of[-1].at) for of in by_process.values()]
        for task, by_process in by_task.items()
    ]


def repeated(steps: list[Step], kept: dict[str, bytes], kills: list[Kill]) -> list[int]:
    """Steps that each kill undid: those before it that a later process trained again, or of a trial
    that is gone.

    A process goes on for some milliseconds after its driver's death, so a stretch ended by the kill
    nearest in time.
    """
    counts = [0] * len(kills)
    for task in stretches(steps) if kills else ():
        for stretch, after in zip(task, [*task[1:], None], strict=True):
            nearest = min(range(len(kills)), key=lambda i: abs(kills[i].at - stretch.until))
            if after is not None:
                counts[nearest] += max(0, stretch.last + 1 - after.first)
            elif stretch.task not in kept and stretch.task.isdigit():
                counts[nearest] += stretch.last + 1
    return counts


def training_again(steps: list[Step], kill: Kill) -> float | None:
    """Seconds until a process trains that was not there before the kill."""
    return next(
        (
            step.at - kill.at
            for step in steps
            if step.at > kill.at and step.pid not in kill.processes
        ),
        None,
    )


def summary(side: Side, kills: list[Row]) -> Row:
    """One search in a line."""
    ended = [step for step in side.steps() if step.step == chaos_sides.DONE]
    executed = (
        len(ended)
        if isinstance(side, Plain)
        else len(side.finished()) + sum(row["twice"] for row in kills)
    )
    return {
        "side": side.name,
        "kills": len(kills),
        "asked for": side.trials,
        "in the table": len(side.kept()),
        "executed": executed,
        "lost": sum(row["lost"] for row in kills),
        "twice": sum(row["twice"] for row in kills),
        "repeated": sum(row["repeated"] for row in kills),
        "steps": sum(step.step != chaos_sides.DONE for step in side.steps()),
    }


def measure(
    make: type[Side], plans: list[list[str]], trials: int, seed: int
) -> tuple[list[Row], list[Row]]:
    """``(a row a kill, a row a search)`` of one side; ``plans`` say whom to kill in each search."""
    kills, searches = [], []
    for number, victims in enumerate(plans):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            side = make(Path(folder), trials)
            draw = random.Random(f"{seed} {number}")
            found = rows(side, chaos(side, victims, draw), number)
            kills += found
            searches.append(summary(side, found))
            print(searches[-1], flush=True)
    return kills, searches


def main() -> None:
    """Kill, print the tables, write the JSON."""
    made = parser(__doc__)
    for flag, default, what in (
        ("--searches", 4, "searches of ours, each killed in five ways"),
        ("--plain-searches", 2, f"searches of plain, each killed {PLAIN_KILLS} times"),
        ("--trials", 24, "trials a search"),
        ("--seed", 0, "of all that is drawn"),
    ):
        made.add_argument(
            flag, type=int, default=default, metavar="N", help=f"{what} (default: {default})"
        )
    options = made.parse_args()
    about, draw = machine(), random.Random(options.seed)
    ours = [draw.sample(VICTIMS, len(VICTIMS)) for _ in range(options.searches)]
    plain = [["driver"] * PLAIN_KILLS for _ in range(options.plain_searches)]
    our_kills, our_searches = measure(Ours, ours, options.trials, options.seed)
    plain_kills, plain_searches = measure(Plain, plain, options.trials, options.seed)
    tables = {
        "ours, a kill": our_kills,
        "plain, a kill": plain_kills,
        "searches": [*our_searches, *plain_searches],
    }
    publish({title: found for title, found in tables.items() if found}, options.json, about)


if __name__ == "__main__":
    main()

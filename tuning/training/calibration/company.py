"""Noticing company: whether the clock was calibrated alone, and what to say where it was not.

What was measured comes in as *laps* and *evidence*, and time as a ``Host`` that is handed in, so
everything that is decided here is decided by pure functions of numbers.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

MOST_WAITING = 0.05
"""Share of the measured time for which the work waited for a core that another process had."""
MOST_DRIFT = 0.15
"""By how much a full step's share of its round may change from the first third of the rounds to the
last.
"""
MOST_SPREAD = 0.20
"""Relative interquartile range of that share."""
MOST_SPEED = 0.25
"""By which fraction a whole round may take more or less time by the end. The machine's own speed
varies, but that affects all kinds of work alike, so more of it is tolerated.
"""
MOST_ELSEWHERE = 0.20
"""Share of all cores' time that other processes had meanwhile."""
MOST_GPU_BUSY = 0.10
"""Share of the time for which the GPU was at work just before anything here used it."""
TRIES = 3
"""The most attempts at what is timed in company and can soon be timed again."""
REST = 1.0
"""Seconds between two attempts."""
QUEUE = Path("/proc/thread-self/schedstat")
"""Linux's file with the nanoseconds for which the reading thread ran and for which it was queued
for a core.
"""
THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Bits of the NVIDIA driver's reasons for lower clocks that a process alone on the GPU does not
cause. A power cap is normal and not among them.
"""


@dataclass(frozen=True)
class Lap:
    """One timed piece of work.

    Attributes:
        wall: wall seconds.
        cpu: CPU seconds of the thread that did it.
        queued: seconds for which that thread could have run and another had the core; 0 where the
            system does not tell.
    """

    wall: float
    cpu: float
    queued: float = 0.0

    @property
    def waited(self) -> float:
        """Seconds in which the thread did not run although it was not queued for a core: it waited
        for data or for other threads. Where the system does not tell of queues, waiting for a core
        counts, too.
        """
        return max(0.0, self.wall - self.cpu - self.queued)


@dataclass(frozen=True)
class Evidence:
    """What a calibration saw of its surroundings; a value is None where this machine does not tell.

    Attributes:
        waiting: see ``MOST_WAITING``; None on a GPU, for which waiting is part of the work.
        drift: relative change of a full step's share of its round, from the first third of the
            rounds to the last.
        spread: relative interquartile range of that share.
        speed: relative change of a whole round's time, likewise.
        elsewhere: share of all cores' time that other processes had.
        gpu_busy: share of the time for which the GPU was busy before the calibration used it.
        throttled: reasons the driver gives for lowered clocks.
    """

    waiting: float | None
    drift: float
    spread: float
    speed: float = 0.0
    elsewhere: float | None = None
    gpu_busy: float | None = None
    throttled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disturbance:
    """One sign that the machine was shared or changed: what it says, and how many times its limit
    it is.
    """

    text: str
    severity: float


def disturbances(evidence: Evidence) -> tuple[Disturbance, ...]:
    """The signs in ``evidence`` that its measurements were not taken alone on a steady machine;
    empty if there are none.
    """
    measures = (
        (
            evidence.waiting,
            MOST_WAITING,
            "of the time was spent waiting for a core that another process had",
        ),
        (
            evidence.drift,
            MOST_DRIFT,
            "is by how much a full step changed beside the others, from first rounds to last",
        ),
        (evidence.spread, MOST_SPREAD, "is the spread of a full step beside the others"),
        (
            evidence.speed,
            MOST_SPEED,
            "is by how much the machine's speed changed, from first rounds to last",
        ),
        (evidence.elsewhere, MOST_ELSEWHERE, "of the cores' time went to other processes"),
        (
            evidence.gpu_busy,
            MOST_GPU_BUSY,
            "of the time the GPU was busy before anything was measured",
        ),
    )
    found = [
        Disturbance(f"{value:.0%} {what} (at most {limit:.0%})", value / limit)
        for value, limit, what in measures
        if value is not None and value > limit
    ]
    return (
        *found,
        *(
            Disturbance(f"the GPU's clock was lowered: {reason}", 2.0)
            for reason in evidence.throttled
        ),
    )


def solo_costs(laps: Sequence[Lap], *, on_cpu: bool) -> list[float]:
    """What each lap would have cost alone, in seconds.

    On a CPU that is its CPU seconds, to which a neighbour does not add by taking the core away, and
    the least waiting of all laps, which is the waiting without a neighbour (for data, for other
    threads). Time in the queue for a core is left out of every lap: where several other processes
    are busy no lap of some length is without it, and the least of it would be taken for the work's
    own. On another device the host's CPU seconds say nothing, and the cost is the wall seconds.
    """
    if not on_cpu:
        return [lap.wall for lap in laps]
    # Company only ever adds waiting, so that the least is nearest to a lone run's.
    alone = min(lap.waited for lap in laps)
    return [lap.cpu + alone for lap in laps]


def waiting_share(laps: Mapping[str, Sequence[Lap]]) -> float:
    """Share of all laps' wall time that was spent in the queue for a core, or was waiting beyond
    what each kind's quietest lap had.
    """
    beyond = sum(
        sum(lap.queued + lap.waited for lap in kind) - len(kind) * min(lap.waited for lap in kind)
        for kind in laps.values()
    )
    return beyond / sum(lap.wall for kind in laps.values() for lap in kind)


def drift(costs: Sequence[float]) -> float:
    """Relative change of the median from the first third of ``costs`` to the last; 0 for fewer than
    three costs.
    """
    # Thirds, and their medians: single laps stray too much for first and last to be compared.
    third = len(costs) // 3
    if not third:
        return 0.0
    return abs(statistics.median(costs[-third:]) / statistics.median(costs[:third]) - 1)


def relative_spread(values: Sequence[float]) -> float:
    """Interquartile range over median; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


AttemptT = TypeVar("AttemptT")


def quietest(
    measure: Callable[[], AttemptT],
    found: Callable[[AttemptT], Sequence[Disturbance]],
    *,
    tries: int,
    rest: Callable[[], object],
) -> tuple[AttemptT, int]:
    """Measure until nothing disturbs, ``tries`` times at most. Returns the attempt whose worst
    disturbance is mildest, and how many attempts there were.
    """
    attempts: list[AttemptT] = []
    while len(attempts) < tries and (not attempts or found(attempts[-1])):
        if attempts:
            rest()
        attempts.append(measure())
    return min(
        attempts, key=lambda attempt: max((d.severity for d in found(attempt)), default=0.0)
    ), len(attempts)


class Host:
    """The machine as a calibration reads it: time, the cores' use and the GPU's state. Tests hand
    in another one.
    """

    def wall(self) -> float:
        """Seconds from any origin."""
        return time.perf_counter()

    def cpu(self) -> float:
        """CPU seconds of the calling thread."""
        return time.thread_time()

    def queued(self) -> float:
        """Seconds for which the calling thread could have run while another had the core, as Linux
        counts them; 0 where the system does not.
        """
        try:
            return int(QUEUE.read_bytes().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def rest(self, seconds: float) -> None:
        """Wait, so that a disturbance may end."""
        time.sleep(seconds)

    def core_seconds(self) -> tuple[float, float]:
        """(seconds that all cores together have spent on other processes, the hypervisor's too;
        seconds that they had in all).

        Only differences between two readings mean something. Of a container's neighbours it has
        what the kernel shows.
        """
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guests = getattr(times, "guest", 0.0) + getattr(
            times, "guest_nice", 0.0
        )  # counted as user's time as well
        elsewhere = sum(times) - idle - guests - time.process_time()
        return elsewhere, self.wall() * (os.cpu_count() or 1)

    def gpu(self, uuid: str) -> tuple[float | None, tuple[str, ...]]:
        """(the fraction of the last moments for which the GPU was busy, the reasons why its clock
        is lowered), as the driver tells them; (None, ()) where ``nvidia-smi`` is missing or does
        not say.
        """
        program = shutil.which("nvidia-smi")
        if program is None:
            return None, ()
        query = "--query-gpu=utilization.gpu,clocks_throttle_reasons.active"
        command = [program, "-i", uuid, query, "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=20, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None, ()
        return gpu_state(answer)


def gpu_state(answer: str) -> tuple[float | None, tuple[str, ...]]:
    """What ``nvidia-smi`` said, as ``Host.gpu`` returns it.

    >>> gpu_state("37, 0x0000000000000048"), gpu_state("[N/A], 0x0000000000000004")
    ((0.37, ('hardware slowdown', 'heat (hardware)')), (None, ()))
    """
    busy, _, reasons = (part.strip() for part in answer.strip().partition(","))
    try:
        bits = int(reasons, 16)
    except ValueError:
        bits = 0
    lowered = tuple(text for bit, text in THROTTLING.items() if bits & bit)
    return (int(busy) / 100 if busy.isdigit() else None), lowered


def share_elsewhere(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    """The fraction of the cores' time between two ``core_seconds`` readings that other processes
    had; None where no time has passed.
    """
    spent, had = after[0] - before[0], after[1] - before[1]
    return max(0.0, spent / had) if had > 0 else None


class Meanwhile:
    """Watches whether anything else runs on the processor from the time it is made."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cores, self._queued, self._wall = host.core_seconds(), host.queued(), host.wall()

    def signs(self) -> tuple[Disturbance, ...]:
        """The signs that something else ran; empty if there are none."""
        elsewhere = share_elsewhere(self._cores, self._host.core_seconds())
        queued, since = self._host.queued() - self._queued, self._host.wall() - self._wall
        waiting = queued / since if since > 0 else None
        return disturbances(Evidence(waiting, drift=0.0, spread=0.0, elsewhere=elsewhere))


def undisturbed(
    measure: Callable[[], AttemptT], *, tries: int = TRIES, host: Host | None = None
) -> tuple[AttemptT, tuple[str, ...]]:
    """What ``measure`` returns while nothing else runs on the processor, and what disturbed it, in
    words.

    It is called again, with a rest between, while something else does, ``tries`` times at most. The
    result is then the one that was disturbed least.
    """
    host = host or Host()

    def attempt() -> tuple[AttemptT, tuple[Disturbance, ...]]:
        meanwhile = Meanwhile(host)
        found = measure()
        return found, meanwhile.signs()

    (found, signs), _ = quietest(
        attempt, lambda each: each[1], tries=tries, rest=lambda: host.rest(REST)
    )
    return found, tuple(sign.text for sign in signs)

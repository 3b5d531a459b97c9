"""Problems whose true front is known, for ``benchmarks.quality.search``; both axes minimised.

Needs the extra ``bench``: ``pip install --constraint constraints.txt --editable ".[bench]"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Pair = tuple[float, float]
DIMENSIONS = 9
"""Of ZDT1, ZDT2 and DTLZ2; BraninCurrin has two."""


@dataclass(frozen=True)
class Problem:
    """A function from [0, 1]^dimensions to two objectives.

    Attributes:
        reference: the point up to which hypervolume is counted.
        best: hypervolume of the true front.
    """

    name: str
    dimensions: int
    evaluate: Callable[[Sequence[float]], Pair]
    reference: Pair
    best: float

    def fractions(self, values: Sequence[Pair], after: Sequence[int]) -> list[float]:
        """Hypervolume of the first n of ``values`` over the true front's, for each n of
        ``after``.
        """
        from pymoo.indicators.hv import HV

        volume = HV(ref_point=np.array(self.reference))
        return [float(volume(np.array(values[:n]))) / self.best for n in after]


def _zdt(name: str, below: float) -> Problem:
    """Zitzler, Deb and Thiele (2000); ``below`` is the area under the true front."""
    reference = (11.0, 11.0)  # BoTorch's for these problems
    return Problem(name, DIMENSIONS, _pymoo(name, n_var=DIMENSIONS), reference, 121.0 - below)


def _dtlz2() -> Problem:
    """Deb et al. (2002) with two objectives: the true front is a quarter of the unit circle."""
    reference = (1.1, 1.1)
    return Problem(
        "dtlz2",
        DIMENSIONS,
        _pymoo("dtlz2", n_var=DIMENSIONS, n_obj=2),
        reference,
        1.21 - math.pi / 4,
    )


def _pymoo(name: str, **shape: int) -> Callable[[Sequence[float]], Pair]:
    from pymoo.problems import get_problem

    return _evaluating(get_problem(name, **shape).evaluate)


def _branin_currin() -> Problem:
    """The problem of Belakaria, Deshwal and Doppa (2019), as BoTorch has it.

    Its true front is known from NSGA-II only.
    """
    import torch
    from botorch.test_functions.multi_objective import BraninCurrin

    problem = BraninCurrin()
    a, b = problem.ref_point.tolist()
    return Problem(
        "branin_currin",
        2,
        _evaluating(lambda x: problem(torch.as_tensor(x)).numpy()),
        (a, b),
        problem.max_hv,
    )


def _evaluating(rows: Callable[[Any], Any]) -> Callable[[Sequence[float]], Pair]:
    """A function of one point from one of an array of points."""

    def evaluate(point: Sequence[float]) -> Pair:
        a, b = rows(np.array([point], dtype=np.float64))[0]
        return float(a), float(b)

    return evaluate


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "zdt1": lambda: _zdt("zdt1", 1 / 3),
    "zdt2": lambda: _zdt("zdt2", 2 / 3),
    "dtlz2": _dtlz2,
    "branin_currin": _branin_currin,
}

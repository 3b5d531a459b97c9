"""What each piece of a recipe brings, as data. Pure.

``apart.json`` in a run directory is ``Apart.to_json``: the attributes of the classes below by their
names, seconds solo, losses as they are minimised, None as null, and ``format``, which is raised
when a key changes its meaning. A reader that wants one line takes ``sentence``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from policies.rules import Scalar
from tuning.findings import format as form
from tuning.findings.gains import Gained
from tuning.findings.paired import Bound
from tuning.layout import APART
from tuning.trial.built import built
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe import Recipe, flat

FORMAT = 1


@dataclass(frozen=True)
class Measured:
    """What a recipe came to at the horizon of the one that is taken apart.

    Attributes:
        seconds: mean over the seeds.
        loss: the final loss on the seed of the recipe that is taken apart. With more seeds, that
            recipe's loss there plus the mean over the seeds of this one's loss less that recipe's.
        deviation: standard deviation of that difference over the seeds; None for one seed.
        seeds: on how many seeds both finished.
        gain: over the own control; None where it cannot be told.
    """

    seconds: float
    loss: float
    deviation: float | None
    seeds: int
    gain: Gained | None


@dataclass(frozen=True)
class Brought:
    """One piece of the recipe.

    Attributes:
        name: the lever's, or the policy's.
        knobs: its settings that are not at their defaults.
        without: the recipe with it off; None where that has no finished run.
        alone: the recipe with it alone on; likewise.
        brings: the recipe's gain over the gain without it; None where the two cannot be compared.
        in_noise: whether the loss without it is so close that another seed could turn them round;
            None where that is not known.
    """

    name: str
    knobs: Mapping[str, Scalar]
    without: Measured | None
    alone: Measured | None
    brings: Gained | None
    in_noise: bool | None


@dataclass(frozen=True)
class Apart:
    """A recipe taken apart.

    Attributes:
        sentence: what is to be said of it in one or two sentences.
        number: of the trial whose recipe it is.
        recipe: that.
        seeds: the trial's own, then fresh ones.
        whole: what all pieces together come to.
        pieces: what brings most first.
        interaction: how the pieces act together, in words; empty for fewer than two.
        failed: how many of the runs did not finish.
        metric: what a loss is the value of.
    """

    sentence: str
    number: int
    recipe: Recipe
    seeds: tuple[int, ...]
    whole: Measured
    pieces: tuple[Brought, ...]
    interaction: str = ""
    failed: int = 0
    metric: Metric = LOSS
    format: int = FORMAT

    @cached_property
    def power(self) -> int | None:
        """The power of ten in whose steps losses are shown, so that those that differ look it."""
        others = (m for p in self.pieces for m in (p.without, p.alone) if m is not None)
        return form.told_apart([self.whole.loss, *(other.loss for other in others)])

    def shown(self, loss: float | None) -> str:
        """A loss as it is shown to a reader."""
        return form.loss(loss, self.power, self.metric)

    def to_json(self) -> str:
        """JSON text; the same for the same findings to the last byte."""
        return json.dumps(flat(dataclasses.asdict(self)), indent=2, allow_nan=False) + "\n"


def over(whole: Gained | None, other: Gained | None) -> Gained | None:
    """One gain divided by another, with the bound that follows from theirs.

    >>> over(Gained(1.5, "at least"), Gained(1.2)), over(Gained(1.5), Gained(1.2, "at most"))
    (Gained(value=1.25, bound='at least'), Gained(value=1.25, bound='at least'))
    >>> over(Gained(1.5, "at least"), Gained(1.2, "at least")) is None
    True

    Returns:
        None where one is not known, or where their bounds leave the quotient unbounded.
    """
    if whole is None or other is None or not other.value > 0:
        return None
    turned: dict[Bound, Bound] = {"": "", "at least": "at most", "at most": "at least"}
    bounds = {whole.bound, turned[other.bound]} - {""}
    if len(bounds) > 1:
        return None
    return Gained(whole.value / other.value, next(iter(bounds), ""))


def best_first(pieces: Sequence[Brought]) -> tuple[Brought, ...]:
    """The pieces by what they bring, the largest first; pieces of which that is not known come
    last, in their order.
    """

    def key(piece: Brought) -> float:
        return 0.0 if piece.brings is None else -piece.brings.value

    return tuple(sorted(pieces, key=key))


def read_apart(run: Path) -> tuple[Apart | None, str]:
    """What RUN/apart.json holds, or None with a remark on why it cannot be read (empty where there
    is none).
    """
    path = run / APART
    try:
        return apart_from_json(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError) as error:
        return (
            None,
            f"{path} must hold a recipe taken apart that this version reads, but {error!r}; take "
            "it apart again to renew it",
        )


def apart_from_json(text: str) -> Apart:
    """The inverse of ``Apart.to_json``; keys that this version does not know are passed over.

    Raises:
        ValueError, TypeError, KeyError: the text is no such thing, or one of another format.
    """
    data: dict[str, Any] = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']}, and {FORMAT} is read")
    return built(Apart, data, others=True)

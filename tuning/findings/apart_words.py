"""What each piece of a recipe brings, in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from tuning.findings import format as form
from tuning.findings.apart import Brought
from tuning.findings.called import CALLED
from tuning.findings.gains import Gained
from tuning.findings.win_words import times
from tuning.trial.recipe import OWN, Recipe

ALIKE = 1.02
"""Gains that differ by less than this factor are called the same."""


def said(
    number: int, recipe: Recipe, gain: Gained | None, pieces: Sequence[Brought], seeds: int
) -> str:
    """The finding in a sentence or two.

    Args:
        number: of the trial.
        recipe: its own.
        gain: of the whole recipe over the own control.
        pieces: its pieces, the one that brings most first.
        seeds: how many seeds it was trained on.
    """
    name = f"{recipe.name} #{number}"
    if not pieces:
        return f"{name} pulls no lever, so there is nothing to take apart."
    whole = f"{name} is {_times(gain)} {CALLED[OWN]}"
    if len(pieces) == 1:
        return f"{whole}, all of it by its one lever, {pieces[0].name}."
    over = "on one seed" if seeds == 1 else f"over {seeds} seeds"
    brought = _listed(f"{piece.name} {brings(piece)}" for piece in pieces)
    return f"{whole}. Gain with each over gain without it, {over}: {brought}."


def brings(piece: Brought) -> str:
    """What a piece brings, with ``≈`` where that may be luck."""
    known = piece.in_noise and piece.brings is not None
    return ("≈" if known else "") + shown(piece.brings)


def _times(gain: Gained | None) -> str:
    return "not to be compared with" if gain is None else f"{times(gain)} as fast as"


def shown(gain: Gained | None) -> str:
    """A gain in figures; the mark for a missing value where it is not known."""
    return form.NOTHING if gain is None else form.gain(gain.value, gain.bound)


def interaction(whole: Gained | None, pieces: Sequence[Brought]) -> str:
    """How the pieces act together, in words; empty for fewer than two.

    Levers that do not affect each other multiply, so the product of what each gains alone is
    compared with what they gain together.
    """
    if len(pieces) < 2:
        return ""
    return " ".join([_product(whole, pieces), *_needs(pieces)])


def _product(whole: Gained | None, pieces: Sequence[Brought]) -> str:
    alone = [piece.alone.gain if piece.alone else None for piece in pieces]
    known = [gain for gain in (*alone, whole) if gain is not None and not gain.bound]
    # All are known only where there is one more than pieces, and then ``whole`` is the last.
    if whole is None or len(known) <= len(pieces):
        return (
            "Whether they help each other is not known, as not every loss has a price in your own "
            "recipe's runs."
        )
    gains = [gain.value for gain in known[:-1]]
    product = math.prod(gains)
    factors = " × ".join(form.gain(gain) for gain in gains)
    lead = f"One by one they gain {factors} = {form.gain(product)}, together {shown(whole)}:"
    if whole.value > ALIKE * product:
        return f"{lead} they help each other."
    if whole.value * ALIKE < product:
        return f"{lead} they do part of each other's work."
    return f"{lead} they do not touch each other."


def _needs(pieces: Sequence[Brought]) -> Iterator[str]:
    """A sentence for each piece that gains only beside the others, or only without them, by more
    than luck.
    """
    for piece in pieces:
        gain = piece.alone.gain if piece.alone else None
        if gain is None or piece.brings is None or piece.in_noise:
            continue
        if piece.brings.ahead and not gain.ahead:
            yield (
                f"{_capital(piece.name)} gains nothing alone ({shown(gain)}): it needs the others."
            )
        if gain.ahead and not piece.brings.ahead:
            yield (
                f"{_capital(piece.name)} gains {shown(gain)} alone and nothing beside the others "
                f"({shown(piece.brings)})."
            )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _listed(parts: Iterable[str]) -> str:
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last

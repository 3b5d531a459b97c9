"""What a check found, for a terminal: lines of plain text, the verdict first."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator

from tuning.findings.format import amount, seconds
from tuning.trial.anatomy import Ability, Anatomy
from tuning.trial.soundness import CONSEQUENCE, FOLLOWS, Soundness

INDENT = 12
"""Characters before the second column."""
LINE = 100
ALWAYS = "depth of the update, schedules, averaging"
"""What every workload can have, in words."""


def soundness_lines(name: str, found: Soundness) -> Iterator[str]:
    """Whether the workload is sound, and every finding under what follows from it."""
    verdict = (
        "is refused" if found.refusals else "is sound" if found.forks else "is sound, but for forks"
    )
    yield f"{name} {verdict}"
    for follows in FOLLOWS:
        texts = [each.text for each in found.findings if each.follows == follows]
        if texts:
            yield f"{follows} ({CONSEQUENCE[follows]}):"
        for text in texts:
            yield textwrap.fill(
                text,
                LINE,
                initial_indent="  - ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )


def anatomy_lines(found: Anatomy) -> Iterator[str]:
    """What the workload is, and what its steps cost."""
    for part in found.parts:
        yield row(part.name, f"{part.modules}: {amount(float(part.parameters))} parameters")
    if found.frozen:
        yield row("frozen", f"{amount(float(found.frozen))} parameters, for good")
    yield row("optimizer", found.optimizer)
    yield row("batch", found.batch)
    yield row("device", found.device)
    full = max(found.step_seconds)
    less = ", ".join(
        f"{depth}: {seconds(cost)}"
        for depth, cost in sorted(found.step_seconds.items(), reverse=True)
        if depth != full
    )
    of_less = f"; with fewer blocks trained {less}" if less else ""
    text = f"{seconds(found.step_seconds[full])}, its batch {seconds(found.data_seconds)}"
    yield row("a step", text + of_less)
    yield row("evaluation", seconds(found.evaluation_seconds))
    yield from _abilities(found.abilities)


def _abilities(abilities: tuple[Ability, ...]) -> Iterator[str]:
    able = [ability.name for ability in abilities if ability.fault is None]
    yield row("levers", ", ".join([ALWAYS, *able]))
    faulty = sorted((a for a in abilities if a.fault), key=lambda ability: str(ability.fault))
    for fault, group in itertools.groupby(faulty, key=lambda ability: ability.fault):
        yield row("not", f"{', '.join(each.name for each in group)}: {fault}")


def search_line(found: Anatomy, trials: int, at_once: int, search_seconds: float) -> str:
    """How long a search takes, about."""
    text = (
        f"about {duration(search_seconds)} for {trials} trials, up to {at_once} at once; one "
        f"training of the workload's own recipe is {seconds(found.baseline_seconds)}"
    )
    return row("a search", text)


def duration(value: float) -> str:
    """Seconds, minutes or hours, to a reader's precision.

    >>> duration(41.7), duration(600.0), duration(9000.0)
    ('42 seconds', '10 minutes', '2.5 hours')
    """
    if value < 100:
        return f"{value:.0f} seconds"
    return f"{value / 60:.0f} minutes" if value < 6000 else f"{value / 3600:.1f} hours"


def row(name: str, text: str) -> str:
    """A name and its text, which is wrapped beside the name."""
    return textwrap.fill(
        text,
        LINE,
        initial_indent=f"{name:<{INDENT}}",
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )

"""Which destinations there are, and how one is asked for: ``tensorboard:DIR``.

Loads nothing heavy, and no destination before one is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.rules import nearest

if TYPE_CHECKING:
    from tuning.elsewhere.destination import Destination, Source

EXTRA = "pip install 'time-to-quality[logging]'"


def kinds() -> dict[str, type[Destination]]:
    """Every kind of destination by its name, which is that of its file."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = importlib.import_module(f"{__package__}.{module.name}")
        if hasattr(loaded, "DESTINATION"):
            found[module.name] = loaded.DESTINATION
    return found


@dataclass(frozen=True)
class Place:
    """A destination that was asked for: its kind, and where it is."""

    kind: str
    where: str

    def faults(self, flag: str) -> list[str]:
        """What is wrong with it: there is no such kind, no place is given, or a library is
        missing.
        """
        known = kinds()
        if self.kind not in known:
            names = list(known)
            return [
                f"{flag} must name one of {', '.join(names)}, but got {self.kind!r}: "
                f"{nearest(self.kind, names)}"
            ]
        if not self.where:
            return [f"{flag} {self.kind} must be followed by {known[self.kind].meaning}"]
        package = known[self.kind].package
        if package and importlib.util.find_spec(package) is None:
            return [f"{flag} {self.kind} needs {package}, which is not installed: {EXTRA}"]
        return []

    def open(self, source: Source) -> Destination:
        """The destination itself; raises what its library raises."""
        make: Callable[[str, Source], Destination] = kinds()[self.kind]
        return make(self.where, source)


def places(text: str | None) -> tuple[Place, ...]:
    """The destinations that an option's text names; they are not checked yet.

    >>> places("tensorboard:logs,mlflow:sqlite:///trials.db")[1]
    Place(kind='mlflow', where='sqlite:///trials.db')
    """
    words = [] if text is None else text.split(",")
    return tuple(Place(kind, where) for kind, _, where in (word.partition(":") for word in words))

"""What the doors share: from faults to an exit status and one message; checks of single options.

Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

from tuning.errors import BadInput, Interrupted, SearchFailed

INTERRUPTED = 130


def status_of(name: str, work: Callable[[], None], to_go_on: Callable[[], str] = lambda: "") -> int:
    """Do ``work`` and return the command's exit status, its message on standard error.

    Args:
        name: the command's, ``search`` say.
        work: what it does.
        to_go_on: what to tell whoever interrupts it, beside that everything is kept.
    """
    try:
        work()
    except BadInput as fault:
        return _said(2, f"python -m tuning.{name}: cannot do what was asked:\n{fault}")
    except Interrupted as stop:
        command = to_go_on() or f"To go on:\n  {stop}"
        return _said(INTERRUPTED, f"Interrupted; everything is kept. {command}")
    except SearchFailed as failure:
        return _said(1, f"python -m tuning.{name}: {failure}")
    except KeyboardInterrupt:
        return _said(INTERRUPTED, f"Interrupted; what is finished is kept. {to_go_on()}".rstrip())
    return 0


def _said(status: int, message: str) -> int:
    print(message, file=sys.stderr)
    return status


def not_whole(flag: str, text: str | None, least: int, why: str) -> list[str]:
    """The fault of an option's text that should be a whole number of at least ``least``."""
    if text is None:
        return []
    try:
        fits = int(text) >= least
    except ValueError:
        fits = False
    rule = f"{flag} must be a whole number of at least {least}, but got {text!r}: {why}"
    return [] if fits else [rule]


def not_a_loss(flag: str, text: str | None) -> list[str]:
    """The fault of an option's text that should be a finite number."""
    try:
        finite = text is None or math.isfinite(float(text))
    except ValueError:
        finite = False
    return [] if finite else [f"{flag} must be a finite number, a loss, but got {text!r}"]


def not_writable(flag: str, path: Path | None) -> list[str]:
    """The fault of a path at which a file is to be written."""
    if path is None:
        return []
    if path.is_dir():
        return [f"{flag} must be a file, but {path} is a directory; add a file name"]
    if not path.absolute().parent.is_dir():
        rule = f"{flag} must lie in a directory that exists, but {path.parent} does not"
        return [f"{rule}; create it first"]
    return []

"""What the doors share: from faults to an exit status and one message; checks of single options.

Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything else.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tuning.errors import BadInput, Interrupted, NestedSearch, SearchFailed
from tuning.layout import program, too_long
from tuning.terminal import patient_output

INTERRUPTED = 130


def status_of(
    name: str, work: Callable[[], None], kept: Callable[[], str] = lambda: "nothing was written."
) -> int:
    """Do ``work`` and return the command's exit status, its message on standard error.

    Args:
        name: the command's, ``search`` say.
        work: what it does.
        kept: what to tell whoever interrupts it: what is kept, and how to go on.
    """
    with patient_output(), _terminated_as_interrupted():
        return _status_of(name, work, kept)


def _status_of(name: str, work: Callable[[], None], kept: Callable[[], str]) -> int:
    try:
        _refuse_lost_directory()
        work()
    except NestedSearch:
        raise  # to whoever imports the file that called
    except BadInput as fault:
        return _said(2, f"{program(name)}: cannot do what was asked:\n{fault}")
    except SearchFailed as failure:
        return _said(1, f"{program(name)}: {failure}")
    except (Interrupted, KeyboardInterrupt):
        return _said(INTERRUPTED, f"Interrupted; {kept()}")
    return 0


def _refuse_lost_directory() -> None:
    """Refuse to start where the current directory no longer exists: some of torch's libraries end
    the process there, with messages about themselves.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise BadInput(
            "the current directory must exist, but it has been removed since: change to another"
        ) from None


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: with what is kept, and how to go on."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread, which alone may say
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _said(status: int, message: str) -> int:
    print(message, file=sys.stderr)
    return status


def not_whole(flag: str, text: str | None, least: int, why: str = "") -> list[str]:
    """The fault of an option's text that should be a whole number of at least ``least``."""
    if text is None:
        return []
    try:
        fits = int(text) >= least
    except ValueError:
        fits = False
    rule = f"{flag} must be a whole number of at least {least}, but got {text!r}"
    return [] if fits else [f"{rule}: {why}" if why else rule]


def not_finite(flag: str, text: str | None) -> list[str]:
    """The fault of an option's text that should be a finite number."""
    try:
        finite = text is None or math.isfinite(float(text))
    except ValueError:
        finite = False
    rule = f"{flag} must be a finite number, a value of the metric"
    return [] if finite else [f"{rule}, but got {text!r}"]


def not_writable(flag: str, path: Path | None) -> list[str]:
    """The fault of a path at which a file is to be written."""
    if path is None:
        return []
    if too_long(path):
        rule = f"{flag} must be a name that the file system takes"
        return [f"{rule}, but {path} is too long: shorten it"]
    if path.is_dir():
        return [f"{flag} must be a file, but {path} is a directory; add a file name"]
    if not path.absolute().parent.is_dir():
        rule = f"{flag} must lie in a directory that exists, but {path.parent} does not"
        return [f"{rule}; create it first"]
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        return [f"{flag} must be a writable file, but {path} is not: choose another"]
    return []

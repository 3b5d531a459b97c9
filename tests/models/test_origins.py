"""What a training changes had a beginning, and an edit of that is another workload."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

import pytest

from models.settings import settings_of

SOURCE = '''
"""A workload's loss, as a user writes it."""
import functools, operator
import origins_other
from origins_other import PATIENCE
from array import array
from collections import defaultdict, deque
from enum import Enum

DELAY = 25
LEFT = DELAY
PATIENT = PATIENCE
STARTED = origins_other.first()
UNTIL = origins_other.UNTIL + origins_other.calls
GIVES = defaultdict(lambda: 0.5, late=0.5)
TABLE = {"n": 0, "late": 0.5}
named = {"late": 0.5}
WHERE = {"n": "/data/one"}
STAGES = {}


def register(name, value):
    STAGES[name] = value


register("late", 0.5)


class Delay:
    def __init__(self, left):
        self.left = left

    def __call__(self, loss):
        self.left -= 1
        return loss * 2 if self.left < 0 else loss


class Mode(Enum):
    FIRST = 0.5
    SECOND = 0.7


def pairs(late):
    return {"late": late}


class Task:
    mode = Mode.FIRST
    weights = pairs(0.5)
    seen = pairs(0)

    def __init__(self):
        self.delay = Delay(25)

    def count(self):
        Task.seen["late"] += 1
        return self.mode.value


TASK = Task()
PAUSE = Delay(26)
FEED = iter([1.0, 0.5])
QUEUE = deque([1.0, 0.5])
ARRAY = array("d", [1.0, 0.5])
VIEW = memoryview(b"12")
PICK = operator.itemgetter("late")


def beside():
    named = {}
    named["late"] = 1
    return named


def boxed():
    box = {"n": 0, "late": 0.5}

    def inner(loss):
        box["n"] += 1
        return loss * box["late"]

    return inner


INNER = boxed()


def loss(x):
    global LEFT, PATIENT, STARTED, UNTIL
    LEFT -= 1
    PATIENT -= 1
    STARTED -= GIVES["late"]
    UNTIL -= 1
    origins_other.count()
    TABLE["n"] += 1
    WHERE["n"] = x
    x = INNER(PAUSE(x)) * next(FEED) * QUEUE[0] * ARRAY[0] * VIEW[0] * TASK.count()
    return x * named["late"] * STAGES["late"] * TASK.weights["late"] * PICK(TABLE)


if __name__ == "__main__":
    TABLE["n"] = 1
'''

OTHER = """
PATIENCE = 25
UNTIL = 26
calls = 1

def first():
    return 27 + second()

def second():
    return 1

def count():
    global calls
    calls += 1
"""

NUMBERS = itertools.count()


def settings(tmp_path: Path, source: str, other: str = OTHER, *, calls: int = 0) -> dict[str, str]:
    """Of ``loss``, from a new file with this source beside an ``other``, when it was called so
    often.
    """
    (tmp_path / "origins_other.py").write_text(other)
    importlib.invalidate_caches()
    name = f"origins_{next(NUMBERS)}"  # what is known of a module is kept by its name
    (tmp_path / f"{name}.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # an edit of the same second and length would find the old one
    try:
        loss = importlib.import_module(name).loss
        for _ in range(calls):
            loss(1.0)
        found = settings_of([loss])
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(tmp_path))
        for each in (name, "origins_other"):
            sys.modules.pop(each, None)
    return {key.replace(f"{name}.", ""): text for key, text in found.items()}


def differing(tmp_path: Path, old: str, new: str) -> set[str]:
    """Names of the settings that an edit changes."""
    assert old in SOURCE + OTHER
    before = settings(tmp_path, SOURCE)
    after = settings(tmp_path, SOURCE.replace(old, new), OTHER.replace(old, new))
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"n": 0, "late": 0.5}\nnamed', '"n": 0, "late": 0.7}\nnamed', {"what makes TABLE"}),
        ("LEFT = DELAY", "LEFT = 40", {"what makes LEFT"}),
        ("DELAY = 25", "DELAY = 40", {"what makes LEFT"}),
        ("PATIENCE = 25", "PATIENCE = 40", {"what makes PATIENT"}),
        ("UNTIL = 26", "UNTIL = 40", {"what makes UNTIL"}),
        ("27 + second()", "41 - second()", {"what makes STARTED"}),
        ("return 1", "return 2", {"what makes STARTED"}),
        ("lambda: 0.5", "lambda: 0.7", {"what makes GIVES"}),
        ('named = {"late": 0.5}', 'named = {"late": 0.7}', {"what makes named"}),
        ('register("late", 0.5)', 'register("late", 0.7)', {"what makes STAGES"}),
        ("PAUSE = Delay(26)", "PAUSE = Delay(40)", {"what makes PAUSE"}),
        ("iter([1.0, 0.5])", "iter([1.0, 0.7])", {"what makes FEED"}),
        ("deque([1.0, 0.5])", "deque([1.0, 0.7])", {"QUEUE"}),
        ('array("d", [1.0, 0.5])', 'array("d", [1.0, 0.7])', {"ARRAY"}),
        ('memoryview(b"12")', 'memoryview(b"13")', {"VIEW"}),
        ('itemgetter("late")', 'itemgetter("n")', {"PICK"}),
        ('    box = {"n": 0, "late": 0.5}', '    box = {"n": 0, "late": 0.7}', {"what makes box"}),
        ("mode = Mode.FIRST", "mode = Mode.SECOND", {"Task.mode"}),
        ("FIRST = 0.5", "FIRST = 0.6", {"Task.mode"}),
        ("weights = pairs(0.5)", "weights = pairs(0.7)", {"Task.weights"}),
    ],
)
def test_an_edit_of_how_it_was_made_is_seen(
    tmp_path: Path, old: str, new: str, where: set[str]
) -> None:
    """Each acts only after some steps, so that neither a first loss nor a first step shows it."""
    assert differing(tmp_path, old, new) == where


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    named["late"] = 1', '    named["late"] = 2'),  # another function's own
        ('    TABLE["n"] = 1', '    TABLE["n"] = 2'),  # what the file does as a script
        ("/data/one", "/data/two"),
        ("FEED = iter([1.0, 0.5])", "FEED = iter(  # of the loss\n    [1.0, 0.5])"),
    ],
)
def test_what_has_no_part_in_it_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    """Nor do comments and places."""
    assert differing(tmp_path, old, new) == set()


def test_a_state_is_left_out_all_the_same(tmp_path: Path) -> None:
    """A process that has trained says what a new one does."""
    assert settings(tmp_path, SOURCE) == settings(tmp_path, SOURCE, calls=1)

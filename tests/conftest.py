"""What every test has: one thread, so that results are the same to the last bit and tests do not
fight for cores.
"""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

# Before torch is imported: its threads wait by spinning, which on a busy machine costs more than
# the arithmetic.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# And torch's compiler starts no processes of its own: loading torch in them costs more than they
# take over.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)
# Where CI is set the examples are the same every time, so that a change is judged by itself;
# elsewhere they are new.
# Twenty-five of them: a property that has more to say than its first examples says so itself.
settings.register_profile(
    "project", deadline=None, max_examples=25, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("project")

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that the tests' directories may take, several runs of them, with room to spare."""


def _in_memory() -> bool:
    """Whether files that are written through to the disk can lie in memory instead."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        return False
    may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    return may_run and shutil.disk_usage(MEMORY).free >= ROOM


if _in_memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """What every module loaded stays. Loops and compilers of others ask for whole collections,
    which take most of a second each where they look through all of it.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What is frozen to the end counts as leaked, where a library looks."""
    gc.unfreeze()

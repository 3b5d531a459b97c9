"""What every test has: one thread, so that results are the same to the last bit and tests do not
fight for cores.
"""

from __future__ import annotations

import os

# Before torch is imported: its threads wait by spinning, which on a busy machine costs more than
# the arithmetic.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)
# Where CI is set the examples are the same every time, so that a change is judged by itself;
# elsewhere they are new.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")

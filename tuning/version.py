"""The version of the project, which a run directory remembers."""

from __future__ import annotations

VERSION = "0.1.0"

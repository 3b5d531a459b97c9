"""What all commands share, run where a user's own files are in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["random", "types"])
def test_a_file_named_like_a_module_of_pythons_is_told(name: str, tmp_path: Path) -> None:
    """In the folder that a command is run from, which Python looks into first: a message that names
    it, or what was asked for. By its path from elsewhere it is a workload like any other.
    """
    (tmp_path / f"{name}.py").write_text("from tests.support.tiny import tiny\n")
    for folder, workload in ((tmp_path, f"{name}.py:tiny"), (ROOT, f"{tmp_path}/{name}.py:tiny")):
        done = subprocess.run(
            [sys.executable, "-m", "tuning.check", "--workload", workload],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert (folder, done.returncode) == (tmp_path, 2)
            assert f"{name}.py stands before {name}: rename it, or run from" in done.stderr

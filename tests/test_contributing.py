"""What CONTRIBUTING shows is found by itself and keeps the laws of its interface."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
SUITES = ("tests/conformance/test_policies.py", "tests/conformance/test_search_spaces.py")
COPIED = ("models", "policies", "search_spaces", "tests", "tuning")
LAWS = 15
"""The two suites have more than so many for a policy and a space."""


def test_examples_pass_the_conformance_suites(tmp_path: Path) -> None:
    """Puts the files as they stand into a copy of the project, and runs the suites on them."""
    for package in COPIED:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    examples = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {Path(name).parent.name for name, _ in examples} == {"policies", "search_spaces"}
    for name, code in examples:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *SUITES, "-k", "top_half", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > LAWS

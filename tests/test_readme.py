"""What the README shows works: its training loop runs, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from policies.presets import TUNED_V2
from policies.settings import dump_policy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_training_loop_runs(tmp_path: Path) -> None:
    """Runs the first Python block as it stands, in a folder with a policy such as ``tuning.export``
    writes.
    """
    (tmp_path / "policy.toml").write_text(dump_policy(TUNED_V2), encoding="utf-8")
    script = tmp_path / "loop.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n" + blocks("python")[0], encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (tuning\.\w+)", README))))
def test_commands_exist(module: str) -> None:
    """Asks every command of the README for its help."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_make_targets_exist() -> None:
    """Every ``make`` command of the README is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE)
    assert targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)

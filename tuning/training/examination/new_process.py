"""Goes on with a saved rehearsal in a process of its own, which knows nothing of this one.

Started early, so that it loads its libraries while this one is at work, and goes on while this one
does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from models.frames import told

MODULE = "tuning.training.examination.new_process"
PATIENCE = 300.0
"""Seconds that it may take."""


class NewProcess:
    """The other process; ``with`` starts and ends it.

    Args:
        workload: its name, as for ``--workload``.
        corpus: directory of text for a workload that takes one, or None.
    """

    def __init__(self, workload: str, corpus: str | None) -> None:
        self._command = [sys.executable, "-m", MODULE, workload, *([corpus] if corpus else [])]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it; it waits for ``ask``."""
        self._folder = tempfile.TemporaryDirectory(prefix="soundness-")
        self.path = Path(self._folder.name)
        paths = os.pathsep.join(path or os.curdir for path in sys.path)
        with (self.path / "said").open("w") as said:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, if it has not ended by itself."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError, OSError):
                self._process.communicate()
        self._folder.cleanup()

    def ask(self, request: dict[str, Any]) -> None:
        """Send it the request; one that has ended is not asked."""
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps({**request, "answer": str(self.path / "answer.json")})
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of the request: ``start``, ``losses`` and ``evaluations``, or ``error``."""
        assert self._process is not None
        answer = self.path / "answer.json"
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return {"error": f"it was not done after {PATIENCE:.0f} s"}
        if not answer.exists():
            said = (self.path / "said").read_text(errors="replace").strip().splitlines()
            return {"error": (said or [f"it ended with status {self._process.returncode}"])[-1]}
        return dict(json.loads(answer.read_text()))


def main(argv: list[str]) -> None:
    """Load everything, wait for a request on standard input, and write what came of it."""
    import torch

    from models.registry import find_workload
    from tuning.training.checkpoint import load_checkpoint
    from tuning.training.examination.rehearsal import Plan, Rehearsal
    from tuning.training.place import set_threads

    torch.optim.SGD([torch.zeros(1)], lr=0.0)  # the first one loads much
    workload = find_workload(argv[0], Path(argv[1]) if len(argv) > 1 else None)
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    set_threads(request["threads"])
    try:
        rehearsal = Rehearsal(workload, Plan(**request["plan"]), torch.device(request["device"]))
        start = rehearsal.start
        state = load_checkpoint(Path(request["state"]))
        if state is None:
            raise ValueError("what was saved cannot be read")
        rehearsal.run.load_state_dict(state)
        rehearsal.train()
        answer = {
            "start": start,
            "losses": rehearsal.losses,
            "evaluations": list(rehearsal.evaluations.items()),
        }
    except Exception as fault:
        answer = {"error": told(fault)}
    Path(request["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Goes on with a saved rehearsal in a process of its own, which knows nothing of this one.

Started early, so that it loads its libraries while this one is at work, and goes on while this one
does.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from models.frames import told
from models.late_dynamo import compile_late
from tuning.loading import loading

if TYPE_CHECKING:
    from models.workload import Workload

MODULE = "tuning.training.examination.new_process"
PATIENCE = 300.0
"""Seconds that the other process may take."""


class NewProcess:
    """The other process; a ``with`` block starts and ends it.

    Args:
        workload: its name, as for ``--workload``.
        corpus: directory of text for a workload that takes one, or None.
        threads: with how many threads it computes.
        tries: whether it finds out, while it waits, what levers the workload and the device can do;
            the answer has them under ``levers``.
        identifies: whether it makes out, while it waits, the workload's identity; the answer has it
            under ``identity``, None where the workload has none.
    """

    def __init__(
        self,
        workload: str,
        corpus: str | None,
        threads: int,
        *,
        tries: bool = False,
        identifies: bool = False,
    ) -> None:
        self._options = {
            "workload": workload,
            "corpus": corpus,
            "threads": threads,
            "tries": tries,
            "identifies": identifies,
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it; it waits for ``ask``."""
        self._folder = tempfile.TemporaryDirectory(prefix="soundness-")
        self.path = Path(self._folder.name)
        self._answer = self.path / "answer.json"
        options = json.dumps({**self._options, "answer": str(self._answer), "parent": os.getpid()})
        paths = os.pathsep.join(path or os.curdir for path in sys.path)
        with (self.path / "said").open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, options],
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
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.close()
        self._folder.cleanup()

    def ask(self, request: dict[str, Any]) -> None:
        """Send it the request, unless it has ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The result of the request.

        It has ``start``, ``batches`` and ``afresh`` (a training's first losses), and ``losses`` and
        ``evaluations`` of the training that went on, or ``error``, which may stand alone.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # where nothing was asked it ends now
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return {"error": f"it was not done after {PATIENCE:.0f} s"}
        if not self._answer.exists():
            said = (self.path / "said").read_text(errors="replace").strip().splitlines()
            return {"error": (said or [f"it ended with status {self._process.returncode}"])[-1]}
        return dict(json.loads(self._answer.read_text()))


def main(argv: list[str]) -> None:
    """Load everything, wait for a request on standard input, and write the result."""
    with loading():
        compile_late()
        from models.device import set_threads
        from models.registry import find_workload

    options = json.loads(argv[0])
    corpus = options["corpus"]
    workload = find_workload(options["workload"], Path(corpus) if corpus else None)
    set_threads(options["threads"])
    levers = _levers(workload) if options["tries"] else {}
    identity = _identity(workload) if options["identifies"] else None
    line = sys.stdin.readline()
    try:
        answer = gone_on(workload, json.loads(line)) if line else {"error": "nothing was asked"}
    except Exception as fault:
        answer = {"error": told(fault)}
    to = Path(options["answer"])
    to.write_text(json.dumps({**answer, "levers": levers, "identity": identity}))
    if os.getppid() != options["parent"]:  # it was killed: nobody else clears up
        shutil.rmtree(to.parent, ignore_errors=True)


def _levers(workload: Workload) -> dict[str, str | None]:
    """For each value of a lever, why the workload and the device cannot do it, None where they can;
    empty where that cannot be found out.
    """
    from models.application.abilities import faults_by_value
    from models.device import run_device

    try:
        return faults_by_value(workload, run_device())
    except Exception:  # a workload that is refused for it by the other process
        return {}


def _identity(workload: Workload) -> dict[str, Any] | None:
    """The workload's identity in this process; None where it cannot be made out."""
    from models.identity import identity_of
    from tuning.training.generators import generators_kept

    try:
        with generators_kept():
            return identity_of(workload)
    except Exception:  # a workload that is refused for it by the other process
        return None


def gone_on(workload: Workload, request: dict[str, Any]) -> dict[str, Any]:
    """Go on with what was saved, and only then begin a training afresh: what depends on the order
    in which things are asked for then comes out differently.
    """
    import torch

    from models.left_over import left_over
    from tuning.training.examination.rehearsal import Plan, Rehearsal
    from tuning.training.examination.subject import SEED, marks_of

    plan, device = Plan(**request["plan"]), torch.device(request["device"])
    start, went_on = _from_the_state(workload, request)
    batches = [marks_of(workload.batch_at(SEED, step)) for step in range(plan.steps)]
    left_over.let_go()  # the model that went on
    afresh = Rehearsal(workload, plan, device)
    afresh.train(plan.saved_at)
    return {**went_on, "start": start, "batches": batches, "afresh": afresh.losses}


def _from_the_state(workload: Workload, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A digest of the weights that a model begins with here, and the losses of the training that
    went on, or why it could not.
    """
    import torch

    from tuning.training.checkpoint import load_checkpoint
    from tuning.training.examination.rehearsal import Plan, Rehearsal

    rehearsal = Rehearsal(workload, Plan(**request["plan"]), torch.device(request["device"]))
    start = rehearsal.start
    try:
        state = load_checkpoint(Path(request["state"]))
        if state is None:
            raise ValueError("what was saved cannot be read")
        rehearsal.run.load_state_dict(state)
        rehearsal.train()
    except Exception as fault:
        return start, {"error": told(fault)}
    return start, {
        "losses": rehearsal.losses,
        "evaluations": list(rehearsal.evaluations.items()),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
    gc.freeze()  # as in tuning.check: it is waited for

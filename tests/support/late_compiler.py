"""What is done in a process that loads torch's compiler late, each in a fork of one that has not
loaded it yet.

``python -m tests.support.late_compiler`` prints what each came to, as JSON by its name.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch

from models.late_dynamo import PACKAGE, compile_late, is_late

OPTIMIZERS = ("SGD", "AdamW", "Adagrad", "RMSprop", "NAdam", "Muon")


def trained() -> Any:
    """A few steps with several optimizers."""
    losses = [_train(name) for name in OPTIMIZERS]
    return {"losses": losses, "late": is_late(), "sympy": "sympy" in sys.modules}


def a_module_of_it() -> Any:
    """A module of the package is the first thing that is asked for; then the same steps with the
    compiler loaded.
    """
    config = importlib.import_module(f"{PACKAGE}.config")
    whole = importlib.import_module(PACKAGE)
    spec = config.__spec__
    return {
        "one": whole.config is config is sys.modules[f"{PACKAGE}.config"],
        "late": is_late(),
        "loader": type(spec.loader).__name__ if spec else "none",
        "trained": trained(),
    }


def a_module_that_it_does_not_import() -> Any:
    """One that the package leaves out itself."""
    testing = importlib.import_module(f"{PACKAGE}.testing")
    return {"one": importlib.import_module(PACKAGE).testing is testing, "late": is_late()}


def looked_over() -> Any:
    """What those ask for who look over all modules."""
    package = sys.modules[PACKAGE]
    found = [getattr(package, name, None) for name in ("__warningregistry__", "__wrapped__")]
    return {"found": found, "late": is_late(), "file": str(package.__file__)}


def compiled() -> Any:
    """A function that is compiled after optimizers stepped, with a part that must not be traced."""
    _train("SGD")
    model = torch.nn.Linear(2, 2)
    optimizer, graphs = torch.optim.SGD(model.parameters(), lr=0.1), []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def step(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        optimizer.zero_grad()
        return y.sum()

    found = torch.compile(step, backend=backend)(torch.ones(3)).item()
    zero_grad: Any = torch.optim.Optimizer.zero_grad
    note = zero_grad.__wrapped__.__dynamo_disable
    return {
        "found": found,
        "graphs": len(graphs),
        "late": is_late(),
        "left alone": hasattr(note, "_torchdynamo_disable"),
    }


def a_trial() -> Any:
    """A run of a workload with further metrics, as a search trains it."""
    from policies.registry import make_policy
    from tests.support import tiny
    from tests.support.costs import made_up_costs
    from tuning.training.loop import TrainingRun

    run = TrainingRun(
        tiny.metered(),
        make_policy("full_update", {}),
        seed=0,
        horizon=1.0,
        costs=made_up_costs(),
        device=torch.device("cpu"),
    )
    while not run.finished:
        run.advance()
    return {"metrics": sorted(run.measurements().metrics), "late": is_late()}


def _train(name: str) -> float:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3, bias=False)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
    loss = torch.zeros(())
    for _ in range(3):
        optimizer.zero_grad()
        loss = (model(torch.randn(5, 4)) ** 2).mean()
        loss.backward()
        optimizer.step()
    return loss.item()


SCENES: tuple[Callable[[], Any], ...] = (
    trained,
    a_module_of_it,
    a_module_that_it_does_not_import,
    looked_over,
    compiled,
    a_trial,
)


def in_a_fork(scene: Callable[[], Any]) -> Any:
    """What a scene returns, or how it failed."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        try:
            text = json.dumps(scene())
        except BaseException:
            text = json.dumps({"error": traceback.format_exc()})
        os.write(mouth, text.encode())
        os._exit(0)
    os.close(mouth)
    with os.fdopen(ear) as heard:
        text = heard.read()
    os.waitpid(child, 0)
    return json.loads(text)


if __name__ == "__main__":
    torch.set_num_threads(1)
    compile_late()
    print(json.dumps({scene.__name__: in_a_fork(scene) for scene in SCENES}))

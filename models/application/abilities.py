"""What a workload's model and a device can do of what levers offer, each value tried once."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from models.application.capabilities import form_fault
from models.application.trying import lever_faults
from models.levers.approximation import KINDS
from models.levers.computing import BACKENDS, DTYPES
from models.levers.form import PLAIN, Form
from models.levers.optimizer import ADAMW, MUON, Optimization
from models.workload import Workload

SHARE = 0.5
"""Of what is approximated, in a try."""


def forms_to_try() -> Iterator[tuple[str, Form]]:
    """One form a value, by the name of its knob and the value.

    Compilation is left out: that takes longer than all others together, and is tried where a space
    searches it.
    """
    for optimizer in (ADAMW, MUON):
        yield f"optimizer {optimizer}", Optimization(optimizer).shaped(PLAIN)
    for kind in KINDS:
        yield f"approximation {kind}", Form(approximation=kind, share=SHARE)
    for backend in BACKENDS:
        yield f"attention_backend {backend}", Form(attention=backend)
    for dtype in DTYPES:
        if dtype != PLAIN.dtype:
            yield f"dtype {dtype}", Form(dtype=dtype)


def faults_by_value(workload: Workload, device: torch.device) -> dict[str, str | None]:
    """Why each value cannot be had, by its name; None where it can. Whole levers go by theirs."""
    levers = {name: fault_of() for name, fault_of in lever_faults(workload, device).items()}
    return levers | {name: form_fault(workload, form, device) for name, form in forms_to_try()}

"""What a workload's model and a device can do with a form: found by training one step in it."""

from __future__ import annotations

import dataclasses

import torch

from models.batches import to_device
from models.compute.compiling import compile_fault
from models.compute.probe import kernels_used
from models.levers.form import PLAIN, Form
from models.levers.shaping import Shaped
from models.making import new_model
from models.workload import Workload


def form_fault(workload: Workload, form: Form, device: torch.device) -> str | None:
    """Why the workload's model cannot be trained in ``form`` on ``device``, in one line; None where
    it can.

    One step really runs. Whether compilation works is found once for all models, on a small one.
    """
    if form.compiled and (fault := compile_fault(device)):
        return fault
    try:
        used = _train_one_step(workload, dataclasses.replace(form, compiled=False), device)
    except (ValueError, RuntimeError, NotImplementedError) as fault:
        return str(fault).splitlines()[0]
    if form.attention != "default" and not used:
        return (
            f"the model of {workload.name} never calls scaled_dot_product_attention, so there is "
            "nothing to force"
        )
    return None


def _train_one_step(workload: Workload, form: Form, device: torch.device) -> frozenset[str]:
    """Train it; the attention kernels that ran."""
    model = new_model(workload, 0, device)
    batch = to_device(workload.batch_at(0, 0), device)
    shaped = Shaped(model, workload.blocks, PLAIN)
    shaped.change(form, lambda: workload.loss(model, batch))

    def step() -> None:
        with shaped.computing():
            workload.loss(model, batch).backward()  # type: ignore[no-untyped-call]

    return kernels_used(step)

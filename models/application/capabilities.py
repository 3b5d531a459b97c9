"""What a workload's model and a device can do with a form: found by training one step in it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import torch

from models.application.optimizers import make_optimizer
from models.batches import apart, to_device
from models.compute.compiling import compile_fault
from models.compute.probe import kernels_used
from models.frames import told
from models.levers.form import PLAIN, Form
from models.levers.optimizer import Optimization, stand_in
from models.levers.shaping import Shaped
from models.making import blocks_of, new_model, new_optimizer
from models.measuring import loss_of
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
        return told(fault) if form == PLAIN else str(fault).splitlines()[0]
    if form.attention != "default" and not used:
        return (
            f"the model of {workload.name} never calls scaled_dot_product_attention, so there is "
            "nothing to force"
        )
    return None


def _train_one_step(workload: Workload, form: Form, device: torch.device) -> frozenset[str]:
    """Train it; the attention kernels that ran, where the form forces some."""
    model = new_model(workload, 0, device)
    blocks = blocks_of(workload, model)
    batch = to_device(workload.batch_at(0, 0), device)
    shaped = Shaped(model, workload.blocks, PLAIN)
    shaped.change(form, lambda: workload.loss(model, apart(batch)))

    def step() -> None:
        with shaped.computing():
            loss_of(workload, model, apart(batch)).backward()  # type: ignore[no-untyped-call]

    used: frozenset[str] = frozenset()
    if form.attention == "default":
        step()  # being watched takes longer than the step
    else:
        used = kernels_used(step)
    if (lever := stand_in(form)).on:
        make_optimizer(model, blocks, new_optimizer(workload, model), lever).step()
    return used


def number_faults(workload: Workload) -> Callable[[Optimization], str | None]:
    """A function that says why the workload's optimizer cannot be changed as a lever asks.

    It returns None where the optimizer can. No step is taken; the model is made once, when first
    asked.
    """
    made = functools.cache(lambda: new_model(workload, 0))

    def fault_of(lever: Optimization) -> str | None:
        model = made()
        try:
            blocks = blocks_of(workload, model)
            make_optimizer(model, blocks, new_optimizer(workload, model), lever)
        except ValueError as fault:
            return str(fault)
        return None

    return fault_of

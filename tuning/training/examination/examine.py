"""Whether a workload keeps what a search relies on, found by trying.

Models are made twice, batches drawn twice, the validation loss taken twice; every depth is
trained; a few steps are trained, saved, loaded into a new model in a new process and trained on,
and the losses compared to the bit. A rule that is broken is named with what was seen, where, and
what to do; what follows from it is the least that keeps results true.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.frames import told
from tuning.training.examination.again import rehearsal_rules
from tuning.training.examination.depths import depth_rules
from tuning.training.examination.pieces import (
    batch_rules,
    evaluation_rules,
    loss_rules,
    model_rules,
)
from tuning.training.examination.subject import Stage, Subject, refused
from tuning.training.generators import generators_kept
from tuning.training.loop import NonFiniteLossError
from tuning.trial.soundness import Finding, Soundness

STAGES: Mapping[str, Stage] = {
    "make_model, blocks and make_optimizer": model_rules,
    "batch_at(seed, step)": batch_rules,
    "loss(model, batch)": loss_rules,
    "evaluate(model)": evaluation_rules,
    "a step": depth_rules,
    "a training": rehearsal_rules,
}
"""What is tried, in order; a later one rests on those before it."""
CURES = {
    "IndexError: index out of range in self": "; an embedding must have a row for each token and "
    "each position: compare the model's vocabulary and length with the batch's",
    "is out of bounds": "; the model must have as many classes as the labels",
}
"""Advice on errors that torch reports without their cause, by a part of their text."""


@generators_kept()
def examine(subject: Subject) -> Soundness:
    """All that is found about a workload. Nothing more is tried once it is refused."""
    found: list[Finding] = []
    for what, stage in STAGES.items():
        try:
            found += stage(subject)
        except NonFiniteLossError as fault:
            found.append(refused("losses", f"losses must be finite, but the {fault}"))
        except (Exception, SystemExit) as fault:
            text = told(fault)
            plain = isinstance(fault, ValueError) and not text.startswith("ValueError")
            hint = next((cure for sign, cure in CURES.items() if sign in text), "")
            told_whole = text if plain else f"{what} must work, but raised {text}{hint}"
            found.append(refused(what, told_whole))
        if any(finding.follows == "refused" for finding in found):
            break
    return Soundness.of(found)

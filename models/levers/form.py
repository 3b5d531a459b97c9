"""The form a model has in a step: which of its matrices are approximated, and how it computes.

Pure, and without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Form:
    """What a step's cost depends on beside how many blocks it updates. ``PLAIN`` is the workload's
    own model.

    Attributes:
        approximation: a kind of ``models.approximation``, or ``none``.
        share: of the rank, the blocks or the units that is kept.
        placement: which matrices of the blocks.
        recovering: only what the approximation put in is trained.
        attention: one of ``computing.BACKENDS``, or ``default``: what PyTorch chooses.
        dtype: what matrix products are computed in.
        compiled: whether the blocks are compiled.
        optimizer: one of ``optimizer.KINDS``.
        divided: whether its groups are divided by the parameters' roles; Muon's always are.
        newton_schulz_steps: Muon's; 0 for another.
        present: blocks that are run; 0 for all.
        batch: examples, in batches of the workload's own.
        input: share of an example's size.
        cached: blocks from the bottom whose activations were kept.
    """

    approximation: str = "none"
    share: float = 1.0
    placement: str = "mlp"
    recovering: bool = False
    attention: str = "default"
    dtype: str = "float32"
    compiled: bool = False
    optimizer: str = "own"
    divided: bool = False
    newton_schulz_steps: int = 0
    present: int = 0
    batch: float = 1.0
    input: float = 1.0
    cached: int = 0

    @property
    def lasting(self) -> Form:
        """What stays on the model between steps: the form of a step with nothing of its own."""
        return replace(self, present=0, batch=1.0, input=1.0, cached=0)

    @property
    def approximated(self) -> bool:
        """Whether some matrices stand replaced."""
        return self.approximation != "none"

    @property
    def light(self) -> bool:
        """Whether it is a number of blocks and an amount of work, and the model is as it is."""
        return replace(self, present=0, batch=1.0, input=1.0) == PLAIN

    @property
    def key(self) -> str:
        """The form's name in cost tables and ledgers; empty for the workload's own model.

        >>> Form("svd", 0.25, "mlp", recovering=True, attention="flash").key
        'svd 0.25 mlp recovering, flash'
        >>> Form(optimizer="muon", newton_schulz_steps=5).key
        'muon 5'
        >>> Form(present=2, batch=0.5, input=0.25, cached=4).key
        'present 2, batch 0.5, input 0.25, cached 4'
        """
        matrices = (
            f"{self.approximation} {self.share:g} {self.placement}" if self.approximated else ""
        )
        parts = (
            matrices + (" recovering" if matrices and self.recovering else ""),
            "" if self.attention == "default" else self.attention,
            "" if self.dtype == "float32" else self.dtype,
            "compiled" if self.compiled else "",
            self._steps_taken,
            f"present {self.present}" if self.present else "",
            f"batch {self.batch:g}" if self.batch != 1 else "",
            f"input {self.input:g}" if self.input != 1 else "",
            f"cached {self.cached}" if self.cached else "",
        )
        return ", ".join(part for part in parts if part)

    @property
    def _steps_taken(self) -> str:
        words = (
            "" if self.optimizer == "own" else self.optimizer,
            f"{self.newton_schulz_steps}" if self.newton_schulz_steps else "",
            "divided" if self.divided else "",
        )
        return " ".join(word for word in words if word)

    def same_modules(self, other: Form) -> bool:
        """Whether a model of this form has the same modules and parameters as one of ``other``."""
        if not (self.approximated or other.approximated):
            return True
        mine, its = ((f.approximation, f.share, f.placement) for f in (self, other))
        return mine == its


PLAIN = Form()
GROWTH, AVERAGING = "growing by a block", "averaging"
"""Names, in cost tables and ledgers, of what is no form and is charged each time it happens."""
_FILLING = "keeping after {} blocks"


def filling(blocks: int) -> str:
    """The name of keeping the activations of a batch after so many blocks."""
    return _FILLING.format(blocks)


def is_event(name: str) -> bool:
    """Whether what a cost table or a ledger calls so is no form of a step.

    >>> is_event(filling(3)), is_event(GROWTH), is_event(Form(batch=2).key)
    (True, True, False)
    """
    return name in (GROWTH, AVERAGING) or name.startswith(_FILLING.partition("{")[0])

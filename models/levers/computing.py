"""The lever of how the same products are computed: kernel, number format, compilation.

Pure, and without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from models.levers.form import Form
from models.levers.lever import Lever
from policies.rules import setting

DEFAULT = "default"
BACKENDS = ("math", "efficient", "flash", "cudnn", "flex")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Computing(Lever):
    """How a model computes, from the first step to the last."""

    name: ClassVar[str] = "computing"
    switches: ClassVar[tuple[str, ...]] = ("attention_backend", "dtype", "compiled")

    attention_backend: str = setting(
        DEFAULT, choices=(DEFAULT, *BACKENDS), meaning="the kernel that attention is forced onto"
    )
    dtype: str = setting(
        "float32", choices=DTYPES, meaning="what matrix products are computed in (autocast)"
    )
    compiled: bool = setting(False, meaning="whether the blocks run through torch.compile")

    def shaped(self, form: Form, fraction: float = 0.0) -> Form:
        """``form`` computed so."""
        return replace(
            form, attention=self.attention_backend, dtype=self.dtype, compiled=self.compiled
        )

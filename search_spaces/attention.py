"""How the same products are computed: attention's kernel, the number format, compilation."""

from __future__ import annotations

from collections.abc import Mapping

from models.levers.computing import Computing
from policies.base import Scalar
from policies.full_update import FullUpdate
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.knobs import Knob


def computing_knobs(when: Mapping[str, tuple[Scalar, ...]] | None = None) -> tuple[Knob, ...]:
    """The lever's knobs, conditional on ``when``; None makes them unconditional.

    When a search begins on a device, what the device cannot do is left out.
    """
    return tuple(
        knob(Computing, name, when=when) for name in ("attention_backend", "dtype", "compiled")
    )


SPACE = SearchSpace(
    name="attention",
    title="attention's kernel, the number format and compilation",
    knobs=(horizon(), *computing_knobs()),
    policy=FullUpdate.name,
)

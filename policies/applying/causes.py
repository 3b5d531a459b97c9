"""Who may have moved what is frozen, in words, and what to do about it."""

from __future__ import annotations


class MovedError(RuntimeError):
    """What is frozen was moved; the message says when, by whom probably, and what to do."""


BY_MEMORY = (
    "moves parameters that have no gradient, along directions or towards weights that it "
    "remembers; let its step leave out those whose grad is None, use another optimizer, make a new "
    "one where the active blocks change, or take a policy that never freezes (full_update). The "
    "forward may have written to it, too"
)
"""Follows the name of an optimizer that may do so."""

BY_FORWARD = (
    "its step leaves alone what has no gradient, so the forward wrote to it (max_norm of an "
    "embedding, weights that are clipped or normalized there); do that after optimizer.step() "
    "instead, and only where requires_grad is True"
)
"""Of an optimizer that does not."""

BETWEEN = (
    "the forward writes to it, slow or averaged weights are left in place, a decay by hand, also "
    "inside {optimizers}; let it skip what has requires_grad=False. Where a checkpoint was loaded, "
    "call updater.load_state_dict() after the model's"
)
"""Seen when a step begins."""

SHARED = (
    "it shares memory with {other}, which is trained; use one parameter in both places, or give "
    "each its own (.clone())"
)
"""Of two parameters that are views of one tensor."""

BUFFER = (
    "is frozen but changed since the last step: the model ran in training mode outside 'with "
    "updater.step()' (in an optimizer's closure, say), or the loop wrote to it; run training "
    "forwards inside the step"
)
"""Follows the name of a buffer."""

STRANGER = (
    "is in a frozen block and the optimizer would move it: it was replaced, added or thawed after "
    "the updater was made; close() the updater and make another for the model as it is now"
)
"""Follows the name of a parameter."""

SWITCHED = (
    "was frozen by the loop or the model after the updater was made, and is trained again where "
    "the plan says so: what is to stay frozen is to be frozen before the updater is made; close() "
    "gives the model back to make another"
)
"""Follows the name of a parameter."""

EARLY = (
    "in a first step that freezes blocks step.observe(loss) must come right after loss.backward(), "
    "for it shows what else is frozen, but the loop {} before it: it clipped, climbed, stepped "
    "or penalised with all gradients. Call it earlier, or give BlockUpdater "
    "stem=trace_parts(model, blocks, forward)"
)
"""With what the loop did."""

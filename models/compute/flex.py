"""``scaled_dot_product_attention`` in terms of FlexAttention (Dong et al. 2024, arXiv 2412.05496).

FlexAttention is always compiled here: without compiling, torch would quietly compute the whole
matrix of scores. Causal attention becomes a block mask, whose empty blocks are skipped; a mask
given as a tensor becomes a change of the scores. What cannot be expressed exactly is refused.

Shapes: B batch, H heads, T queries, S keys, D head size.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from models.compute.refusal import BackendRefused, describe, first_line

MOST_GRAPHS = 64
"""Shapes, dtypes and masks that FlexAttention is compiled for in one process.

Beyond, torch raises.
"""

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


# As many as the function that it stands in for has.
def flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention (B, H, T, D) with the arguments of ``scaled_dot_product_attention``.

    Raises:
        BackendRefused: dropout, a learned mask, other than four dimensions, or whatever
            FlexAttention itself refuses.
    """
    query, key, value = (_autocast(each) for each in (query, key, value))
    faults = _faults(query, key, value, attn_mask, dropout_p, is_causal)
    if faults:
        raise BackendRefused("flex", describe((query, key, value)), "; ".join(faults))
    # What is compiled cannot see the cache, and warns of it.
    causal = _causal.__wrapped__ if torch.compiler.is_compiling() else _causal
    block_mask = causal(query.shape[-2], key.shape[-2], query.device) if is_causal else None
    score_mod = None if attn_mask is None else _masked(attn_mask, query, key)
    try:
        return _attend(query, key, value, score_mod, block_mask, scale, enable_gqa)
    except (RuntimeError, ValueError) as error:
        if torch.compiler.is_compiling() or isinstance(
            error, BackendRefused | torch.OutOfMemoryError
        ):
            raise
        raise BackendRefused("flex", describe((query, key, value)), first_line(error)) from error


# What it hands to torch's own, each as it is; a bundle would be taken apart again at once.
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: ScoreMod | None,
    block_mask: BlockMask | None,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    """FlexAttention as part of the graph that is being compiled, or compiled by itself."""
    if torch.compiler.is_compiling():
        return flex_attention(query, key, value, score_mod, block_mask, scale, enable_gqa)
    if is_in_torch_dispatch_mode(include_infra_modes=False):
        # Something watches single operations (the FLOP counter, say), under which nothing can be
        # compiled.
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is not compiled
            return flex_attention(query, key, value, score_mod, block_mask, scale, enable_gqa)
    return _compiled()(query, key, value, score_mod, block_mask, scale, enable_gqa)


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    # torch's overloads do not list the limit, which it takes.
    return torch.compile(flex_attention, fullgraph=True, recompile_limit=MOST_GRAPHS)  # type: ignore[call-overload, no-any-return]


def _faults(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
) -> list[str]:
    learns = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
    rules = {
        "query, key and value must have four dimensions": {
            each.dim() for each in (query, key, value)
        }
        != {4},
        f"dropout_p must be 0, but got {dropout_p}": dropout_p != 0,
        "is_causal and attn_mask exclude each other": is_causal and attn_mask is not None,
        "a mask must not need a gradient": attn_mask is not None and attn_mask.requires_grad,
        "FlexAttention has no backward on the CPU": learns and query.device.type == "cpu",
    }
    return [rule for rule, broken in rules.items() if broken]


def _autocast(x: Tensor) -> Tensor:
    """The tensor as autocast would give it to attention; autocast does not see this call."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


@functools.lru_cache(maxsize=64)
def _causal(queries: int, keys: int, device: torch.device) -> BlockMask:
    """Each query sees the keys up to its own place, counted from the first."""
    return create_block_mask(_not_later, None, None, queries, keys, device=device)


def _not_later(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return query >= key


def _masked(mask: Tensor, query: Tensor, key: Tensor) -> ScoreMod:
    """A score function that adds a mask, or where it is boolean keeps the scores where it is True.

    The mask may have any shape that broadcasts to (B, H, T, S).
    """
    whole = mask.expand(*query.shape[:2], query.shape[-2], key.shape[-2])

    def choose(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return torch.where(whole[batch, head, row, column], score, float("-inf"))

    def add(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return score + whole[batch, head, row, column]

    return choose if mask.dtype == torch.bool else add

"""The transformer: its weights come from the seed alone, no position sees a later one, nothing is
tied.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models.workloads.transformer import Shape, Transformer, make_transformer, rotate

SHAPE = Shape(vocabulary=256, depth=4, width=32, heads=2, window=16)


def tokens(batch: int = 2, length: int = SHAPE.window) -> torch.Tensor:
    return torch.randint(
        0, SHAPE.vocabulary, (batch, length), generator=torch.Generator().manual_seed(5)
    )


class TestInitialisation:
    def test_same_seed_same_bits(self) -> None:
        """Two models of a seed agree in every bit of every tensor, buffers included.

        Another seed differs.
        """
        one, same, other = (make_transformer(SHAPE, seed) for seed in (3, 3, 4))
        assert all(
            torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True)
        )
        assert all(torch.equal(a, b) for a, b in zip(one.buffers(), same.buffers(), strict=True))
        assert not torch.equal(one.stem.weight, other.stem.weight)

    def test_global_generator_is_untouched(self) -> None:
        """Its state before equals its state after, and what it was before makes no difference."""
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = make_transformer(SHAPE, 0)
        assert torch.equal(before, torch.get_rng_state())
        torch.manual_seed(2)
        assert torch.equal(one.stem.weight, make_transformer(SHAPE, 0).stem.weight)

    def test_first_loss_is_that_of_guessing(self) -> None:
        """Cross-entropy of random bytes is within 2 % of ln 256."""
        logits = make_transformer(SHAPE, 0)(tokens(8))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens(8).flatten())
        assert loss.item() == pytest.approx(math.log(256), rel=0.02)

    def test_everything_is_finite_float32_on_the_cpu(self) -> None:
        """Nothing is left on the meta device or uninitialised."""
        model = make_transformer(SHAPE, 0)
        for tensor in (*model.parameters(), *model.buffers()):
            assert tensor.device.type == "cpu"
            assert tensor.dtype == torch.float32
            assert tensor.isfinite().all()


class TestForward:
    def test_later_bytes_change_no_earlier_logits(self) -> None:
        """Change each byte in turn: logits before it stay the same to the bit, its own move."""
        model = _with_open_branches(make_transformer(SHAPE, 0))
        x = tokens(1)
        reference = model(x)
        for place in range(SHAPE.window):
            changed = x.clone()
            changed[0, place] = (changed[0, place] + 1) % 256
            logits = model(changed)
            assert torch.equal(logits[0, :place], reference[0, :place])
            assert not torch.equal(logits[0, place], reference[0, place])

    def test_every_earlier_byte_is_seen(self) -> None:
        """The last logits depend on every byte of the window.

        Attention reaches back to the first.
        """
        model = _with_open_branches(make_transformer(SHAPE, 0))
        x = tokens(1)
        for place in range(SHAPE.window):
            changed = x.clone()
            changed[0, place] = (changed[0, place] + 1) % 256
            assert not torch.equal(model(changed)[0, -1], model(x)[0, -1])

    def test_shorter_windows_are_prefixes(self) -> None:
        """Logits of a prefix are those of the whole, as far as it goes."""
        model = make_transformer(SHAPE, 0)
        torch.testing.assert_close(model(tokens()[:, :7]), model(tokens())[:, :7])

    def test_rotation_depends_on_distance_alone(self) -> None:
        """q·k after rotation is the same for the same distance (Su et al., equation 16), and norms
        stay.
        """
        model = make_transformer(SHAPE, 0)
        size = SHAPE.width // SHAPE.heads
        q, k = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
        turned_q, turned_k = (
            rotate(v.expand(SHAPE.window, size), model.cos, model.sin) for v in (q, k)
        )
        products = turned_q @ turned_k.T
        torch.testing.assert_close(products[1:, 1:], products[:-1, :-1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(SHAPE.window))

    def test_stem_blocks_and_head_hold_every_parameter_once(self) -> None:
        """The parts a policy knows share nothing and leave nothing out."""
        model = make_transformer(SHAPE, 0)
        parts = [model.stem, *model.blocks, model.head]
        held = [id(parameter) for part in parts for parameter in part.parameters()]
        assert len(held) == len(set(held))
        assert set(held) == {id(parameter) for parameter in model.parameters()}


def _with_open_branches(model: Transformer) -> Transformer:
    """Give every weight a value, so that each branch adds to the stream as it does after some
    steps.
    """
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.blocks.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3, generator=generator)
    return model

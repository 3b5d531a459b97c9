"""Which layers are meant.

Patterns follow the model's order, placements what layers are called; ties are refused.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from models.approximation.matching import matching, placement_patterns
from models.workloads.byte_lm_narrow import NARROW
from models.workloads.transformer import make_transformer
from tests.models.approximation.cases import net
from tests.support import tiny

TRANSFORMER = make_transformer(replace(NARROW, depth=2).shape, 0)


def test_patterns_match_in_the_models_order() -> None:
    """Whatever the order of the patterns, and once where two match."""
    names = list(matching(net(), ["head", "blocks.*.down", "*.0.*", "stem"]))
    assert names == [
        "stem",
        "blocks.0.up",
        "blocks.0.down",
        "blocks.1.down",
        "blocks.2.down",
        "head",
    ]


@pytest.mark.parametrize(
    ("placement", "names"),
    [
        ("all", ["attention.qkv", "attention.out", "mlp.up", "mlp.down"]),
        ("mlp", ["mlp.up", "mlp.down"]),
        ("attention", ["attention.qkv", "attention.out"]),
    ],
)
def test_placements_of_the_transformer(placement: str, names: list[str]) -> None:
    """Layers of each block and nothing else: the head is a linear layer too."""
    patterns = placement_patterns(TRANSFORMER, placement, list(TRANSFORMER.blocks))  # type: ignore[arg-type]
    expected = [f"blocks.{index}.{name}" for index in range(2) for name in names]
    assert list(matching(TRANSFORMER, patterns)) == list(patterns) == expected


def test_the_outer_part_of_a_name_decides() -> None:
    """T5's MLP has a layer that is called as attention's are elsewhere."""
    attention = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("q", "o")})
    mlp = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("wi", "wo")})
    block = nn.ModuleDict({"SelfAttention": attention, "DenseReluDense": mlp})
    model = nn.ModuleList([block])
    names = {kind: placement_patterns(model, kind, [block]) for kind in ("attention", "mlp")}
    assert names == {
        "attention": ("0.SelfAttention.q", "0.SelfAttention.o"),
        "mlp": ("0.DenseReluDense.wi", "0.DenseReluDense.wo"),
    }


def test_a_block_may_be_an_mlp_itself() -> None:
    """The tiny workload's blocks own up and down.

    It has no attention, and the message says what it has.
    """
    model = tiny.make_model(0)
    assert len(placement_patterns(model, "mlp", tiny.blocks(model))) == 8
    with pytest.raises(ValueError, match=r"'attention' must match .* the blocks have blocks.0.up"):
        placement_patterns(model, "attention", tiny.blocks(model))


def test_a_block_that_is_a_linear_layer_is_not_replaced() -> None:
    """The model's list of blocks would name what stands in it no more; nobody is told that there is
    no linear layer.
    """
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="none within them: they are linear layers themselves"):
        placement_patterns(model, "all", list(model))


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="one of all, attention, mlp, but got 'heads'"):
        placement_patterns(TRANSFORMER, "heads", [])  # type: ignore[arg-type]


def test_names_with_special_characters_match_themselves() -> None:
    """A name that is a pattern of its own is taken literally."""
    model = nn.ModuleDict({"a[0]": nn.ModuleDict({"up": nn.Linear(2, 2)})})
    patterns = placement_patterns(model, "all", [model["a[0]"]])
    assert list(matching(model, patterns)) == ["a[0].up"]


def test_shared_weights_are_refused() -> None:
    """A head tied to an embedding, and one module under two names."""
    tied = nn.ModuleDict({"stem": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    tied["head"].weight = tied["stem"].weight
    twice = nn.Linear(3, 3)
    for model, name in ((tied, "head"), (nn.Sequential(twice, twice), "0")):
        with pytest.raises(ValueError, match=f"must own its weight alone, but {name} share"):
            matching(model, [name])


def test_subclasses_are_left_alone() -> None:
    """``nn.MultiheadAttention`` multiplies by its projection's weight itself."""
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "up": nn.Linear(4, 4)})
    assert list(matching(model, ["*"])) == ["up"]

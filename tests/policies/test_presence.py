"""Models without some of their blocks, and models that grow."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from models.levers.depth import Depth
from models.levers.levers import Levers
from models.levers.planning import planned
from policies.apply import BlockUpdater
from policies.applying.presence import Presence, begin_as, silence
from policies.full_update import FullUpdate
from policies.static_suffix import StaticSuffix
from tests.models.application.nets import (
    Block,
    ConvBlock,
    Net,
    TupleNet,
    batch,
    loss,
    same,
    train,
    values,
)


def test_all_present_changes_no_bit() -> None:
    """A model with all its blocks has no attribute and no hook more than before."""
    model, plain = Net(), Net()
    presence = Presence(list(model.blocks), 4)
    presence.leave_out(())
    assert all("forward" not in block.__dict__ for block in model.blocks)
    train(model, torch.optim.AdamW(model.parameters()), range(3))
    train(plain, torch.optim.AdamW(plain.parameters()), range(3))
    assert same(model, plain)


def test_it_is_the_smaller_model() -> None:
    """Two of four blocks compute, and learn, what a model of two with the same weights does."""
    model, small = Net(depth=4), Net(depth=2)
    small.load_state_dict(
        {n: v for n, v in model.state_dict().items() if not n.startswith(("blocks.2", "blocks.3"))}
    )
    Presence(list(model.blocks), 2)
    for each in (model, small):
        train(each, torch.optim.AdamW(each.parameters()), range(3))
    shared = model.state_dict()
    assert all(torch.equal(value, shared[name]) for name, value in small.state_dict().items())


class Beside(nn.Module):
    """A block that is given something of the stream's shape before the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Block()

    def forward(self, *, place: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.inner(hidden + place), None


def given_places(blocks: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    place = torch.arange(float(x.numel())).reshape(x.shape)
    for block in blocks:
        x, _ = block(place=place, hidden=x)
    return x


def test_the_stream_is_what_the_block_before_returned() -> None:
    """Not whatever else has its shape and comes first."""
    blocks: list[nn.Module] = [Beside() for _ in range(3)]
    x = torch.randn(2, 5, 8)
    expected, smaller = given_places(blocks, x), given_places(blocks[:1], x)
    presence = Presence(blocks, 1)
    assert torch.equal(given_places(blocks, x), smaller)
    copy.deepcopy(blocks)
    presence.have(3)
    assert torch.equal(given_places(blocks, x), expected)
    assert not any(block._forward_pre_hooks or block._forward_hooks for block in blocks)


class Halves(nn.Module):
    """A block whose MLP is two children, the first of which widens, as BERT's."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.intermediate = nn.Sequential(nn.Linear(8, 32), nn.GELU())
        self.output = nn.Sequential(nn.Linear(32, 8), nn.Dropout(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.output(self.intermediate(x))  # type: ignore[no-any-return]


class Stages(nn.Module):
    """A residual block of two stages, each a child that ends as wide as the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.one(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("block", "x"),
    [(Halves(), torch.randn(6, 8)), (Stages(), torch.randn(3, 4, 5, 5))],
    ids=["halves", "stages"],
)
def test_a_block_begun_as_identity_trains_on(block: nn.Module, x: torch.Tensor) -> None:
    """It changes nothing at first, and after a few steps every weight of it has moved."""
    silence(block)
    before = values(block)
    assert torch.equal(block(x), x)
    optimizer = torch.optim.AdamW(block.parameters(), weight_decay=0.0)
    for _ in range(3):
        (block(x) - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not any(torch.equal(value, before[name]) for name, value in values(block).items())


def test_what_is_never_trained_is_not_zeroed() -> None:
    """A projection that no optimizer moves would stand at zero for good, its branch with it."""
    block = Halves()
    block.attention.requires_grad_(False)
    before = values(block)
    silence(block, frozenset(p for p in block.parameters() if p.requires_grad))
    now = block.state_dict()
    assert torch.equal(now["attention.1.weight"], before["attention.1.weight"])
    assert not now["output.0.weight"].any()


def test_adapters_in_a_grown_model_are_trained() -> None:
    """The base of every block is frozen; those that came in as identity have gradients too."""
    model = Net()
    for block in model.layers:
        for part in (block.mix["out"], block.mlp):
            part.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    grows = planned(FullUpdate(), Levers(Depth(0.25, new_blocks="identity")), 4, 0)
    updater = BlockUpdater(model, list(model.blocks), grows, optimizer, total_steps=4)
    for number in range(4):
        with updater.step() as step:
            found = loss(model, batch(number))
            found.backward()  # type: ignore[no-untyped-call]
            step.observe(found)
        gradients = [block.mix["qkv"].weight.grad for block in model.layers]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert all(each is not None and each.any() for each in gradients)


def test_absent_blocks_do_not_move() -> None:
    """No gradient, so neither weight decay nor moments."""
    model = Net()
    before = values(model)
    Presence(list(model.blocks), 2)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.5)
    train(model, optimizer, range(3))
    for name, parameter in model.named_parameters():
        absent = name.startswith(("blocks.2", "blocks.3"))
        assert torch.equal(parameter, before[name]) == absent
        assert (parameter in optimizer.state) != absent


def test_it_grows() -> None:
    """The stack is repeated, and all blocks run."""
    model = Net(depth=5)
    presence = Presence(list(model.blocks), 2)
    presence.grow(5, "copy")
    for new, old in ((2, 0), (3, 1), (4, 0)):
        assert same(model.blocks[new], model.blocks[old])
    loss(model, batch(0)).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in model.parameters())
    assert all("forward" not in block.__dict__ for block in model.blocks)


def test_identity_changes_nothing_but_can_learn() -> None:
    """The grown model computes what the small one did, and every new block learns."""
    model = Net()
    presence = Presence(list(model.blocks), 1)
    before = model(batch(0))
    presence.grow(4, "identity")
    assert torch.equal(model(batch(0)), before)
    was = values(model)
    train(model, torch.optim.AdamW(model.parameters()), range(2))
    for index in (1, 2, 3):
        weight = model.state_dict()[f"blocks.{index}.mlp.3.weight"]
        assert not torch.equal(weight, was[f"blocks.{index}.mlp.3.weight"])


def test_last_projections() -> None:
    """Of each branch that holds layers; of a block of bare layers the last; none where there is
    none.
    """
    block = Block()
    assert silence(block)
    weights = block.state_dict()
    assert weights["mix.qkv.weight"].any()
    assert not weights["mix.out.weight"].any()
    flat = nn.ModuleDict({"up": nn.Linear(2, 2), "act": nn.ReLU(), "down": nn.Linear(2, 2)})
    assert silence(flat)
    weights = flat.state_dict()
    assert weights["up.weight"].any()
    assert not weights["down.weight"].any()
    assert not silence(nn.Sequential(nn.LayerNorm(2)))
    made = nn.Sequential(nn.Sequential(nn.Linear(2, 2), weight_norm(nn.Linear(2, 2))))
    before = copy.deepcopy(made.state_dict())
    assert not silence(made)
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh()),
        lambda: nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Tanh()),
        lambda: nn.Linear(8, 8),
    ],
    ids=["layers", "nested", "layer"],
)
def test_a_block_that_adds_nothing_to_the_stream_is_copied(make: Callable[[], nn.Module]) -> None:
    """With its layer zeroed it would hand on the same whatever it is given."""
    blocks = [make() for _ in range(2)]
    Presence(blocks, 1).grow(2, "identity")
    assert same(blocks[1], blocks[0])


def test_residual_blocks_in_a_row_begin_as_identity() -> None:
    """A unit of several blocks that add each."""
    unit = nn.Sequential(Halves(), Halves())
    x = torch.randn(6, 8)
    assert not torch.equal(unit(x), x)
    assert silence(unit)
    assert torch.equal(unit(x), x)


def test_left_out_for_a_step() -> None:
    """A dropped block has no gradient in that step, and is back in the next."""
    model = Net()
    presence = Presence(list(model.blocks), 3)
    presence.leave_out((1,))
    loss(model, batch(0)).backward()  # type: ignore[no-untyped-call]
    gone = [all(p.grad is None for p in block.parameters()) for block in model.blocks]
    assert gone == [False, True, False, True]
    presence.leave_out(())
    assert (presence.count, ["forward" in b.__dict__ for b in model.blocks]) == (
        3,
        [False, False, False, True],
    )


def test_blocks_of_named_arguments_and_tuples() -> None:
    """An absent block hands on what the present one showed to be the way of its kind."""
    model = TupleNet()
    x = torch.randn(2, 8)
    first, _ = model.layers[0](torch.ones(()), hidden=x)
    Presence(list(model.layers), 1)
    assert torch.equal(model(x), model.head(first))


def test_with_an_updater() -> None:
    """Freezing and absence go together: what is frozen or absent does not move, the rest does."""
    model = Net()
    Presence(list(model.blocks), 3)
    optimizer = torch.optim.AdamW(model.parameters())
    updater = BlockUpdater(
        model, list(model.blocks), StaticSuffix(active_fraction=0.5), optimizer, total_steps=4
    )
    before = values(model)
    for step in range(4):
        with updater.step() as each:
            value = loss(model, batch(step))
            value.backward()  # type: ignore[no-untyped-call]
            each.observe(value)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    moved = [
        not torch.equal(
            model.state_dict()[f"blocks.{i}.mlp.0.weight"], before[f"blocks.{i}.mlp.0.weight"]
        )
        for i in range(4)
    ]
    assert moved == [False, False, True, False]


def test_a_model_with_absent_blocks_can_be_copied_and_pickled() -> None:
    """The copy leaves the same out."""
    model = Net()
    Presence(list(model.blocks), 2)
    x = batch(0)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), model(x))


def test_refused() -> None:
    """No block, more than there are, and a copy of another kind of block."""
    blocks = list(Net(depth=3).blocks)
    with pytest.raises(ValueError, match="1 <= present blocks <= 3 must hold, but got 0"):
        Presence(blocks, 0)
    with pytest.raises(ValueError, match="1 <= present blocks <= 3 must hold, but got 4"):
        Presence(blocks, 1).grow(4, "copy")
    with pytest.raises(ValueError, match="must have the parameters of the block it copies"):
        begin_as(ConvBlock(), Block())


def test_moments_reset_at_a_thaw_go_with_growth() -> None:
    """An updater that forgets moments when a block thaws finds none of an absent block's."""
    model = Net()
    presence = Presence(list(model.blocks), 2)
    optimizer = torch.optim.AdamW(model.parameters())
    updater = BlockUpdater(
        model, list(model.blocks), FullUpdate(), optimizer, total_steps=4, moments_on_thaw="reset"
    )
    for step in range(4):
        if step == 2:
            presence.grow(4, "copy")
        with updater.step() as each:
            value = loss(model, batch(step))
            value.backward()  # type: ignore[no-untyped-call]
            each.observe(value)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    counts = {int(optimizer.state[b.norm.weight]["step"]) for b in model.layers}
    assert counts == {2, 4}

"""Laws of a recipe's pieces: taken apart and put together it is the same."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from models.levers.levers import Levers
from search_spaces.registry import find_space
from tuning.trial.pieces import ITS_NUMBERS, OPTIMIZER, pieces_of, plain, together, without
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Scalar

SPACES = [find_space(name) for name in ("recipe", "joint", "tune")]


@st.composite
def sampled(draw: st.DrawFn) -> Recipe:
    """Any recipe that a search proposes."""
    space = draw(st.sampled_from(SPACES))
    count = len(space.searched)
    point = draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    return Recipe(*space.split(space.at(point)))


@given(sampled(), st.randoms())
def test_apart_and_together_is_the_recipe(recipe: Recipe, random: Random) -> None:
    """Makes policy and levers of both: equal, in whatever order the pieces are given."""
    pieces = list(pieces_of(recipe))
    random.shuffle(pieces)
    again = together(pieces, recipe.horizon)
    assert again.policy_and_levers() == _counted(recipe)
    assert again == plain(recipe) == plain(again)
    assert again.pulled == recipe.pulled


def _counted(recipe: Recipe) -> tuple[object, Levers]:
    """Its policy and levers, those that are off at their defaults."""
    policy, levers = recipe.policy_and_levers()
    return policy, Levers(*(part for part in levers.parts if part.on))


@given(sampled())
def test_one_off_leaves_the_others(recipe: Recipe) -> None:
    """Takes each piece away: what is left has the other pieces, and none of its knobs."""
    pieces = pieces_of(recipe)
    for piece in pieces:
        less = without(recipe, piece)
        assert pieces_of(less) == tuple(each for each in pieces if each != piece)
        assert not less.knobs.keys() & piece.knobs.keys()
        assert less.horizon == recipe.horizon


@given(sampled())
def test_pieces_share_no_knob(recipe: Recipe) -> None:
    """Each knob belongs to one piece, so that no order of the pieces matters."""
    names = [name for piece in pieces_of(recipe) for name in piece.knobs]
    assert len(names) == len(set(names))


def test_the_optimizer_is_two() -> None:
    """Muon with a rate of its own: taken away, either leaves the other."""
    knobs: dict[str, Scalar] = {
        "optimizer": "muon",
        "newton_schulz_steps": 3,
        "rate": 2.0,
        "compiled": False,
    }
    recipe = Recipe("full_update", 0.7, knobs)
    rule, numbers = pieces_of(recipe)
    assert (rule.name, numbers.name) == (OPTIMIZER, ITS_NUMBERS)
    assert without(recipe, rule) == Recipe("full_update", 0.7, {"rate": 2.0})
    assert without(recipe, numbers).pulled == {"optimizer": "muon"}


def test_each_knob_of_the_workloads_own_is_one() -> None:
    """Beside a lever: one off, the other knob and the lever are left."""
    recipe = Recipe("full_update", 1.0, {"width": 64, "batch_start": 0.5, "dropout": 0.2})
    assert [piece.name for piece in pieces_of(recipe)] == ["batch", "dropout", "width"]
    left = Recipe("full_update", 1.0, {"batch_start": 0.5, "dropout": 0.2})
    assert without(recipe, pieces_of(recipe)[2]) == left
    assert together(pieces_of(recipe), 1.0) == recipe


def test_a_control_has_none() -> None:
    """Switches that are off and settings that count only with them are no piece."""
    knobs: dict[str, Scalar] = {"optimizer": "own", "muon_momentum": 0.9, "batch_change_at": 0.3}
    assert pieces_of(Recipe("full_update", 0.5, knobs)) == ()
    assert plain(Recipe("full_update", 0.5, knobs)) == Recipe("full_update", 0.5)


def test_a_schedule_is_a_piece() -> None:
    """Its policy off is the control's."""
    recipe = Recipe("static_suffix", 1.0, {"batch_start": 0.5})
    assert [piece.name for piece in pieces_of(recipe)] == ["static_suffix", "batch"]
    assert without(recipe, pieces_of(recipe)[0]) == Recipe("full_update", 1.0, {"batch_start": 0.5})

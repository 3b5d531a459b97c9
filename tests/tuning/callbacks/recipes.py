"""Recipes as files hold them, for loops of every kind, and what they are compared by."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.levers.levers import make_levers
from policies.registry import make_policy
from tests.support.costs import made_up_costs, with_every_form
from tests.tuning.training.test_loop import DYNAMIC
from tuning.training.plain_loop import LoadedRecipe
from tuning.trial.clock import CostTable
from tuning.trial.course import Timetable
from tuning.trial.recipe_file import RecipeFile, parse

STEPS = 12
RECIPES: dict[str, dict[str, Any]] = {
    "blocks alone": {},
    "muon, averaged": {"optimizer": "muon", "averaging": "last", "averaging_window": 0.3},
    "rates by role": {"optimizer": "adamw", "hidden_rate_factor": 2.0, "decay": 0.5},
    "growing": {"depth_start": 0.34, "growth_at": 0.6},
    "bfloat16": {"dtype": "bfloat16", "averaging": "ema", "averaging_window": 0.2},
}
"""What a loop that holds the optimizer itself can do."""


def recipe(knobs: dict[str, Any], blocks: int = 3, policy: str = "dynamic_suffix") -> LoadedRecipe:
    """What is read back from the file of a trial of ``STEPS`` steps."""
    levers, plain = make_levers(knobs), made_up_costs(blocks)
    every = with_every_form(plain)
    forms = {key: every.forms[key] for key in levers.charges(blocks)}
    text = RecipeFile(
        make_policy(policy, DYNAMIC if policy == "dynamic_suffix" else {}),
        levers,
        {"seed": 3, "horizon": 1.0, "steps": STEPS},
        Timetable(STEPS, 4, 2, 0.3),
        CostTable(**{**vars(plain), "forms": forms}),
    ).to_toml()
    return LoadedRecipe(parse(text, "the text"))


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    """By name, to the bit."""
    mine, its = one.state_dict(), other.state_dict()
    assert mine.keys() == its.keys()
    different = [name for name in mine if not torch.equal(mine[name], its[name])]
    assert not different

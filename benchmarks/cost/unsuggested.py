"""The space `recipe` without the recipes that it suggests."""

from __future__ import annotations

import dataclasses

from search_spaces.recipe import SPACE as RECIPE

SPACE = dataclasses.replace(RECIPE, name="unsuggested", suggested=(), suggested_pretrained=())

"""What all callbacks share: blocks by name, recipes from files, extras that are missing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.support import tiny
from tests.tuning.callbacks.recipes import recipe
from tuning.callbacks.held import blocks_of, loaded


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("trainer", "transformers", "hf"),
        ("lightning", "lightning.pytorch", "lightning"),
        ("accelerate", "accelerate", "hf"),
    ],
)
def test_a_missing_library_names_its_extra(
    module: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message, with what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"tuning.callbacks.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'time-to-quality\[{extra}\]'"):
        importlib.import_module(f"tuning.callbacks.{module}")


def test_blocks_are_named_given_or_asked_for() -> None:
    """The same three; a name that is none is said."""
    model = tiny.ResidualMLP(3)
    wanted = list(model.blocks)
    assert blocks_of(model, "blocks") == wanted
    assert blocks_of(model, wanted) == wanted
    assert blocks_of(model, lambda each: list(each.get_submodule("blocks").children())) == wanted
    with pytest.raises(ValueError, match="name of a list of the model's modules, but got 'layers'"):
        blocks_of(model, "layers")


def test_a_recipe_is_a_file_or_what_was_loaded(tmp_path: Path) -> None:
    """By its path, and as it is; a file that is none is refused."""
    known = recipe({"dtype": "bfloat16"})
    (tmp_path / "recipe.toml").write_text(known.file.to_toml())
    assert loaded(tmp_path / "recipe.toml").file == known.file
    assert loaded(known) is known
    with pytest.raises(ValueError, match="a recipe must be a readable file"):
        loaded("none.toml")

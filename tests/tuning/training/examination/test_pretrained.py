"""Models that come with their weights are told from those that begin by chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from models.workload import Workload
from search_spaces.recipe import FAST, KEPT, LAST_KEPT
from tests.support import tiny
from tests.support.searches import config_of, prepared
from tuning.session.search import fitted_as_there, fitted_to_device
from tuning.training.examination.pretrained import is_pretrained


def given() -> Workload:
    """The tiny workload whose examples come again, with the same weights for every seed."""
    return dataclasses.replace(tiny.again(), make_model=lambda seed: tiny.make_model(7))


def _new_head(seed: int) -> nn.Module:
    """Given blocks below a head that begins by chance."""
    model = tiny.make_model(7)
    model.head.load_state_dict(tiny.make_model(seed).head.state_dict())
    return model


def _one_seed(seed: int) -> nn.Module:
    if seed:
        raise KeyError(seed)
    return tiny.make_model(seed)


@pytest.mark.parametrize(
    ("make_model", "right"),
    [
        (tiny.make_model, False),
        (lambda seed: tiny.make_model(7), True),
        (_new_head, True),
        (_one_seed, False),
    ],
    ids=["by chance", "given", "a new head", "one seed only"],
)
def test_given_weights_are_the_same_for_every_seed(
    make_model: Callable[[int], nn.Module], right: bool
) -> None:
    """Those of the blocks: a head may be new. Another seed's fault is no finding here."""
    workload = dataclasses.replace(tiny.tiny(), make_model=make_model)
    assert is_pretrained(workload) is right


def test_what_suits_a_pretrained_model_is_tried_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the clock of such a search is taken; elsewhere what suits a new one is."""
    config = config_of(tmp_path / "a", space="recipe")
    first = fitted_to_device(config, given())
    assert "begin with the same weights for every seed" in capsys.readouterr().err
    prepared(first)
    again = fitted_as_there(config, tmp_path / "a")
    assert again is not None
    for fitted in (first, again):
        suggested = [knobs for _, _, knobs in fitted.search_space().suggestions("full_update")]
        assert suggested[0] == {k: v for k, v in KEPT.items() if k != "horizon"}
        assert suggested[1] == {k: v for k, v in LAST_KEPT.items() if k != "horizon"}
        assert FAST.items() <= suggested[2].items()
    other = fitted_to_device(config, tiny.again())
    _, _, knobs = other.search_space().suggestions("full_update")[0]
    assert FAST.items() <= knobs.items()
    assert "same weights" not in capsys.readouterr().err

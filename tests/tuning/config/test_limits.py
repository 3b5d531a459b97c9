"""Knobs' values that a workload or a machine is too small for."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.application.trying import count_of_blocks
from search_spaces.narrow import narrow
from search_spaces.registry import find_space
from tests.support import tiny
from tests.support.searches import config_of
from tuning.config.limits import fit_growth, fit_memory
from tuning.config.resources import memory_gib
from tuning.config.spaces import space_named
from tuning.errors import BadInput
from tuning.session.search import fitted_to_device


def test_growth_in_more_steps_than_blocks_come_in_is_left_out() -> None:
    """Of two blocks one is there from the start, and one step is all there is."""
    space = find_space("depth")
    fitted = fit_growth(space, 2)
    assert fitted.choices == {"growth_steps": (1,)}
    assert fitted.remarks == (
        "growth_steps 2 is left out of the space: a model of 2 blocks grows in at most 1",
    )
    assert not fit_growth(space, 3).choices


def test_growth_that_was_asked_for_past_the_blocks_there_are_is_refused() -> None:
    """One message, before anything is created."""
    config = config_of(Path("never"), space="depth", knobs={"growth_steps": 64})
    assert count_of_blocks(tiny.tiny()) == 4
    with pytest.raises(BadInput) as caught:
        fitted_to_device(config, tiny.tiny())
    assert caught.value.faults == [
        "growth_steps has steps that add nothing: a model of 4 blocks grows in at most 3, "
        "but got 64"
    ]
    assert not Path("never").exists()


OWN_SPACE = """
from models.levers.cached_prefix import CachedPrefix
from search_spaces.base import SearchSpace, horizon, knob
from search_spaces.levers import prefix_knobs

SPACE = SearchSpace(
    name="own",
    title="how much is kept",
    knobs=(horizon(), *prefix_knobs(), knob(CachedPrefix, "prefix_memory", choices=(0.5, 900_000))),
    policy="full_update",
)
"""


def test_a_kept_prefix_beyond_the_memory_there_is_is_left_out_or_refused(tmp_path: Path) -> None:
    """Of a space of one's own; one message, before anything is created."""
    (tmp_path / "own.py").write_text(OWN_SPACE)
    own = f"{tmp_path}/own.py:SPACE"
    fitted = fitted_to_device(config_of(tmp_path / "never", space=own), tiny.again())
    assert fitted.device_choices["prefix_memory"] == [0.5]
    asked = config_of(tmp_path / "never", space=own, knobs={"prefix_memory": 900_000})
    with pytest.raises(BadInput, match=r"prefix_memory is more than there is: .* GiB of memory"):
        fitted_to_device(asked, tiny.again())
    ungated = OWN_SPACE.replace("*prefix_knobs(), ", "")
    (tmp_path / "plain.py").write_text(ungated)
    plain = config_of(tmp_path / "never", space=f"{tmp_path}/plain.py:SPACE")
    assert fitted_to_device(plain, tiny.again()).device_choices["prefix_memory"] == [0.5]
    allowed = narrow(space_named(own), {"prefix_memory": 0.5})[0]
    assert fit_memory(allowed, 1.0).faults == ()
    assert fit_memory(allowed, 0.25).faults == (
        "prefix_memory is more than there is: the machine has 0.25 GiB of memory, but got 0.5",
    )


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_control_groups_limit_counts_where_it_is_less(name: str, tmp_path: Path) -> None:
    """Both versions of them; without a limit it is the machine's memory."""
    whole = memory_gib(tmp_path)
    limit = tmp_path / name
    limit.parent.mkdir(exist_ok=True)
    limit.write_text(f"{2**29}\n")
    assert memory_gib(tmp_path) == 0.5
    limit.write_text("max\n" if name == "memory.max" else f"{2**63}\n")
    assert memory_gib(tmp_path) == whole > 0.5

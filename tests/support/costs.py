"""Cost tables for tests.

A fake device whose costs are known, so that whole searches need no measuring; and measuring that
is soon over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import strategies as st

from tuning.training import clock_tasks
from tuning.training.calibration import calibrate, company, forms, light
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.company import Disturbance, Host
from tuning.trial.clock import CostTable

TWO_ROUNDS = Effort(min_rounds=2, max_rounds=2, seconds=0.0, part_rounds=1, tries=1)


class Alone:
    """In place of what sees whether something else ran meanwhile: other tests do."""

    def __init__(self, host: Host) -> None:
        del host

    def signs(self) -> tuple[Disturbance, ...]:
        """Nothing did."""
        return ()


class Company(Alone):
    """In place of the same: half of the cores are always another's."""

    def signs(self) -> tuple[Disturbance, ...]:
        """It is."""
        return (Disturbance("half of the cores", severity=2.0),)


@contextlib.contextmanager
def two_rounds() -> Iterator[None]:
    """In this process steps and forms are really timed, but not long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "Effort", lambda: TWO_ROUNDS)
        assert clock_tasks.CAREFUL is not TWO_ROUNDS, "made by the real one, whoever imports it"
        patch.setattr(company, "Meanwhile", Alone)
        for module in (forms, light):
            patch.setattr(module, "EFFORT", TWO_ROUNDS)
        yield


class _EveryForm(Mapping[str, CostTable]):
    """Costs that have a table for whatever form is asked for.

    Its steps take half the cost, and entering it costs something.
    """

    def __init__(self, plain: CostTable) -> None:
        half = {depth: seconds / 2 for depth, seconds in plain.step_seconds.items()}
        self._table = replace(
            plain, step_seconds=half, entry_seconds=plain.step_cost(plain.num_blocks)
        )

    def __getitem__(self, form: str) -> CostTable:
        return self._table

    def __contains__(self, form: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def with_every_form(plain: CostTable) -> CostTable:
    """``plain`` for a device on which every form of the model has been timed."""
    return replace(plain, forms=_EveryForm(plain))


def made_up_costs(num_blocks: int = 4, full_step: float = 0.01) -> CostTable:
    """Costs of F + 2aF at every depth, with a little overhead, as the arithmetic says."""
    forward = full_step / 3
    return CostTable(
        num_blocks=num_blocks,
        step_seconds={d: forward * (1 + 2 * d / num_blocks) for d in range(1, num_blocks + 1)},
        step_flops={d: 1e6 * (1 + 2 * d / num_blocks) for d in range(1, num_blocks + 1)},
        data_seconds=full_step / 100,
        probe_seconds=full_step / 50,
        probe_flops=0.0,
        evaluation_seconds=full_step,
        device="fake device",
        threads=1,
    )


@st.composite
def cost_tables(draw: st.DrawFn) -> CostTable:
    """Any cost table: steps dearer the deeper, everything else arbitrary and not negative."""
    blocks = draw(st.integers(1, 8))
    seconds = st.floats(1e-6, 10.0)
    steps = sorted(draw(st.lists(seconds, min_size=blocks, max_size=blocks)))
    return CostTable(
        num_blocks=blocks,
        step_seconds={d + 1: value for d, value in enumerate(steps)},
        step_flops={d + 1: float(draw(st.integers(1, 10**12))) for d in range(blocks)},
        data_seconds=draw(st.floats(0, 1.0)),
        probe_seconds=draw(st.floats(0, 1.0)),
        probe_flops=float(draw(st.integers(0, 10**9))),
        evaluation_seconds=draw(st.floats(0, 1.0)),
        device="fake device",
        threads=1,
    )

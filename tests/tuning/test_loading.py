"""What loading does to the collector of garbage."""

from __future__ import annotations

import gc

import pytest

from tuning.loading import loading


def test_nothing_is_collected_while_libraries_load() -> None:
    """Off within the block, on after it."""
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    """Also where loading fails."""
    gc.disable()
    try:
        with pytest.raises(ImportError), loading():
            raise ImportError
        assert not gc.isenabled()
    finally:
        gc.enable()

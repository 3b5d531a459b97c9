"""Searches that end without their page and picture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tuning.session import conduct


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """Drawing takes as long as the trials, and no test here looks at it: what draws is tested by
    itself, and that a search does it, in ``tests/tuning/test_search.py``.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conduct, "write_report", lambda store: None)
        yield

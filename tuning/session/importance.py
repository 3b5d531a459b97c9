"""Which knobs a search's best trials have in common, found when it ends and kept in run.json."""

from __future__ import annotations

from tuning.config.config import SearchConfig
from tuning.store.store import Store
from tuning.trial.outcome import outcome_of


def note_importance(store: Store, config: SearchConfig) -> None:
    """Write each knob's share into ``store.info``, or no shares where too few trials tell."""
    from tuning.study.samplers.importance import importances

    outcomes = [outcome_of(record) for record in store.records()]
    found = importances(config.search_space(), outcomes, config.objective)
    store.update_info(importance=found)

"""Command lines of the doors, whose faults are told in one message as every other fault is."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from tuning.config.option import NumbersParser, no_such_flag


class Parser(NumbersParser):
    """Leaves with status 2 where a command line cannot be understood."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """What was given; every word that is no flag or value is a fault."""
        options: argparse.Namespace
        options, others = self.parse_known_args(args, namespace)
        if others:
            self._leave([no_such_flag(word, self._option_string_actions) for word in others])
        return options

    def error(self, message: str) -> NoReturn:
        """Leave with argparse's own words."""
        self._leave([f"{message}: see --help"])

    def _leave(self, faults: Iterable[str]) -> NoReturn:
        listed = "".join(f"\n- {fault}" for fault in faults)
        self.exit(2, f"{self.prog}: cannot do what was asked:{listed}\n")

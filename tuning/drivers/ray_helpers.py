"""Ray on one machine without those of its processes that are of no use there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def few_helpers() -> Iterator[None]:
    """Within the block Ray starts no autoscaler, which would ask a cloud for machines; nothing that
    brings what workers print to this process, which wants none of it; and no dashboard's server,
    which it starts, and waits for, even where no dashboard is wanted.

    Each is a Python that imports Ray: together half of what Ray's own processes compute to start.
    """
    try:
        from ray._private import parameter
        from ray._private.node import Node

        parameters, serve = parameter.RayParams, Node.start_api_server
    except (ImportError, AttributeError):  # Ray's own business, elsewhere in another version
        yield
        return

    def fewer(*args: Any, **options: Any) -> Any:
        made = parameters(*args, **options)
        made.no_monitor, made.include_log_monitor = True, False
        return made

    parameter.RayParams = fewer
    Node.start_api_server = lambda node, **options: None
    try:
        yield
    finally:
        parameter.RayParams, Node.start_api_server = parameters, serve

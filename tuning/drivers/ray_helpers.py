"""Ray on one machine without those of its processes that are of no use there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def few_helpers() -> Iterator[None]:
    """Within the block, Ray starts without the helper processes that are of no use here.

    These are the autoscaler, which would ask a cloud for machines; the log monitor, which would
    bring what workers print to this process; and the dashboard's server, which Ray starts and waits
    for even where no dashboard is wanted. Each is a Python process that imports Ray: together they
    take half of the computing that Ray's own processes need to start.
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

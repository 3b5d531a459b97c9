"""A Ray cluster of two nodes on this machine, in a process of its own: ``python -m
tests.support.two_nodes``.

It prints its address, kills its second node when it reads a line, and ends with its standard input.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tuning.drivers.ray_cluster import SYSTEM_CONFIG
from tuning.drivers.ray_helpers import few_helpers


def main() -> None:
    """One core for trials on each node."""
    with few_helpers():
        head = {"num_cpus": 1, "_system_config": dict(SYSTEM_CONFIG)}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(num_cpus=1)
    try:
        print(cluster.address, flush=True)
        if sys.stdin.readline():
            cluster.remove_node(second, allow_graceful=False)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()

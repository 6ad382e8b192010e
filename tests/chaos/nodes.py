"""A Ray cluster of several raylets on one machine, as a process: ``python -m tests.chaos.nodes``.

Prints its address; each line ``add`` on stdin adds a raylet of one CPU and prints its pid.
Ends, and all that it has started with it, when stdin is closed.
"""

from __future__ import annotations

import contextlib
import sys

from ray.cluster_utils import Cluster


def main() -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8},
    )
    try:
        print(cluster.address, flush=True)  # noqa: T201 - the protocol
        for _ in sys.stdin:
            node = cluster.add_node(num_cpus=1, object_store_memory=10**8)
            (raylet,) = node.all_processes["raylet"]
            print(raylet.process.pid, flush=True)  # noqa: T201 - the protocol
    finally:
        with contextlib.suppress(Exception):  # of raylets that were killed
            cluster.shutdown()


if __name__ == "__main__":
    main()

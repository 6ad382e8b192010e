"""A Ray cluster for the duration of a study: the one named by RAY_ADDRESS, or a local one."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the one that heeds verbose=0
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C reaches us as KeyboardInterrupt; Tune's own handler would swallow the first.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The store is the truth: Tune's own snapshots are never read.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # workers that die are counted in the store
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def prepare_environment() -> None:
    """Ray's settings, which it reads once, when it is imported; what is set already stays.

    A local cluster gets a token of its own, unless Ray was imported before (a notebook).
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
    if "RAY_ADDRESS" not in os.environ and "ray" not in sys.modules:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Should the driver be killed, Ray's agents wait this long for it to come back.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "5")


@contextlib.contextmanager
def ray_cluster(*, import_from: str | None = None) -> Iterator[dict[str, float]]:
    """Connects to RAY_ADDRESS, or starts Ray on this machine; yields the cluster's resources.

    A local cluster keeps its files in a temporary folder, and is gone afterwards. While it
    starts, Ray Tune is imported: that takes about as long as Ray waits for its node.

    Args:
        import_from: a folder from where workers import modules, too: classes go to them by name.
    """
    address = os.environ.get("RAY_ADDRESS")
    folder = None if address else tempfile.mkdtemp(prefix="regatta-")
    import ray

    own: dict[str, object] = (
        {"address": address}
        if address
        else {
            "address": "local",
            "include_dashboard": False,
            "_temp_dir": folder,
        }
    )
    tune = threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True)
    if import_from is not None:
        own["job_config"] = ray.job_config.JobConfig(_py_driver_sys_path=[import_from])
    try:
        tune.start()
        with _unwatched() if folder is not None else contextlib.nullcontext():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
        tune.join()
        with _untagged(), _hushed():
            yield ray.cluster_resources()
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def cpus_of_nodes() -> list[float]:
    """The CPUs of each machine of the cluster that Ray is connected to."""
    import ray

    return [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def _unwatched() -> Iterator[None]:
    """Ray without its log monitor, whose lines nobody reads, and its autoscaler's monitor.

    Two Python processes fewer beside the workers, and a second less to stop. ``ray.init`` has
    no such option (``ray start`` does), so its parameters are changed here; where another
    version of Ray has none of this name, nothing is.
    """
    from ray._private import parameter

    original = getattr(parameter, "RayParams", None)
    if original is None:
        yield
        return
    parameter.RayParams = functools.partial(original, include_log_monitor=False, no_monitor=True)
    try:
        yield
    finally:
        parameter.RayParams = original


@contextlib.contextmanager
def _untagged() -> Iterator[None]:
    """Ray Tune without counting its callbacks for usage statistics, which are off.

    It would import W&B and MLflow to know theirs: 0.6 s before the first worker is asked for.
    """
    from ray.air._internal import usage

    original = getattr(usage, "tag_callbacks", None)
    if original is None:
        yield
        return
    usage.tag_callbacks = lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = original


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Ray without a paragraph on the terminal for each worker that dies: they are counted in the
    store, started again, and told of at the end."""
    from ray._private import worker

    original = getattr(worker, "print_to_stdstream", None)
    if original is None:
        yield
        return
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = original

"""What all tests share: a small study's data, and configurations to train."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from trainables.configs import Digits, Mlp, RunConfig, Train
from trainables.configs.optimizers import Sgd
from trainables.configs.run import data_key
from trainables.data import DataSet
from trainables.data.dataset import split

# Nothing that a test starts may speak to the outside, or write to the user's home.
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
_CACHE = tempfile.mkdtemp(prefix="rg-cache-")
os.environ["XDG_CACHE_HOME"] = _CACHE
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
# Tiny tensors gain nothing from threads, which wait for each other on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A worker's trainable turns them off for its process, which here is everybody's."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def small_data() -> DataSet:
    """131 examples of 7 features in 5 classes (primes: a wrong broadcast must fail)."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 7))
    y = rng.integers(0, 5, 131)
    x = centers[y] + 0.7 * rng.normal(size=(131, 7))
    return split("small", x, y, Digits(valid=0.15, test=0.15))


@pytest.fixture
def make_run() -> Callable[..., RunConfig]:
    """A small configuration; keyword arguments replace its parts (``train`` is merged)."""

    def make(train: dict[str, Any] | None = None, **parts: Any) -> RunConfig:
        settings: dict[str, Any] = {"epochs": 3.0, "batch_size": 13} | (train or {})
        if "steps" in settings:
            settings.pop("epochs")
        defaults: dict[str, Any] = {
            "data": Digits(valid=0.15, test=0.15),
            "model": Mlp(hidden=(11, 3)),
            "optimizer": Sgd(lr=0.1, momentum=0.9),
        }
        return RunConfig(train=Train(**settings), **(defaults | parts))

    return make


@pytest.fixture
def data_of(small_data: DataSet) -> Callable[[RunConfig], dict[str, DataSet]]:
    return lambda run: {data_key(run): small_data}

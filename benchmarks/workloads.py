"""What the engine's benchmark trains: networks, batches and numbers of lanes, on made-up data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.configs import Digits, Mlp, RunConfig, Train
from trainables.configs.models import Lenet5, Lenet300100, Model, Resnet20, Vit
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.data.dataset import split

_SEEDS = 3
_STEPS = 5000
"""The length of every run: what ``auto`` weighs its measuring against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A network with the shapes of the data that it is usually trained on."""

    model: Model
    input_shape: tuple[int, ...]
    examples: int
    batch: int
    lanes: tuple[int, ...]
    """Lanes measured on a CPU."""
    cuda_lanes: tuple[int, ...]

    def runs(self, lanes: int) -> list[RunConfig]:
        """A sweep over learning rates with three seeds, as a study makes it."""
        return [
            RunConfig(
                data=Digits(),  # only its name enters a run
                model=self.model,
                optimizer=Sgd(lr=0.003 * 10 ** (lane / lanes), momentum=0.9, weight_decay=0.001),
                train=Train(steps=_STEPS, batch_size=self.batch),
                seed=lane % _SEEDS,
            )
            for lane in range(lanes)
        ]

    def data(self) -> DataSet:
        """Normal inputs with random labels: their values change no time."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.examples, *self.input_shape), dtype=np.float32)
        return split("made up", x, rng.integers(0, 10, self.examples), Digits())


WORKLOADS: dict[str, Workload] = {
    "digits-mlp": Workload(
        model=Mlp(hidden=(64, 32)),
        input_shape=(64,),
        examples=1797,
        batch=64,
        lanes=(1, 16, 64, 256),
        cuda_lanes=(1, 16, 64, 256, 1024),
    ),
    "lenet-300-100": Workload(
        model=Lenet300100(),
        input_shape=(1, 28, 28),
        examples=12000,
        batch=60,
        lanes=(1, 16, 64),
        cuda_lanes=(1, 16, 64, 256),
    ),
    "lenet5": Workload(
        model=Lenet5(),
        input_shape=(1, 28, 28),
        examples=12000,
        batch=64,
        lanes=(1, 16),
        cuda_lanes=(1, 16, 64, 256),
    ),
    "vit": Workload(
        model=Vit(depth=2),
        input_shape=(1, 28, 28),
        examples=6000,
        batch=32,
        lanes=(16,),
        cuda_lanes=(1, 16, 64),
    ),
    "resnet20": Workload(
        model=Resnet20(),
        input_shape=(3, 32, 32),
        examples=4000,
        batch=32,
        lanes=(16,),
        cuda_lanes=(1, 16, 64),
    ),
}

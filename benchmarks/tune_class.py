"""Ray Tune with a class trainable whose actors are reused: no new process for a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ray import tune

from benchmarks.contender import Score, main
from benchmarks.eager import EagerRun, Splits
from benchmarks.tune_function import fit
from trainables.configs.run import RunConfig


class EagerTrainable(tune.Trainable):  # type: ignore[misc]  # ray has no types
    """One run; an evaluation is a step."""

    def setup(self, config: dict[str, Any], runs: Sequence[RunConfig], data: Splits) -> None:
        torch.set_num_threads(1)
        self._runs, self._data = runs, data
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._run = EagerRun(self._runs[new_config["run"]], self._data)
        return True

    def step(self) -> dict[str, Any]:
        return self._run.advance() | {"done": self._run.finished}


def train(runs: Sequence[RunConfig], data: Splits, folder: Path) -> list[Score]:
    trainable = tune.with_parameters(EagerTrainable, runs=runs, data=data)
    return fit(trainable, len(runs), folder, reuse_actors=True)


if __name__ == "__main__":
    main(train)

"""Ray Tune's side of the overhead benchmark: its function API, a trial a run."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune

from benchmarks.contender import trained_runs
from benchmarks.eager import EagerRun, Splits
from orchestrator.spec import load_study
from trainables.configs.run import RunConfig
from trainables.data import load


def trainable(config: dict[str, Any], runs: Sequence[RunConfig], data: Splits) -> None:
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    run = EagerRun(runs[config["run"]], data)
    while not run.finished:
        metrics = run.advance()
        tune.report(metrics | {"training": time.perf_counter() - started})


def main(spec: Path) -> None:
    runs = trained_runs(load_study(spec))
    data = Splits.of(load(runs[0].data))
    results = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, runs=runs, data=data), {"CPU": 1}),
        param_space={"run": tune.grid_search(list(range(len(runs))))},
        run_config=tune.RunConfig(storage_path=str(spec.parent / "results")),
    ).fit()
    if results.errors:
        raise RuntimeError(f"{results.num_errors} trials failed") from results.errors[0]
    files = [path for path in (spec.parent / "results").rglob("*") if path.is_file()]
    said = {
        "training": sum(result.metrics["training"] for result in results),
        "processes": os.cpu_count(),
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "results_mb": sum(path.stat().st_size for path in files) / 1e6,
    }
    (spec.parent / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

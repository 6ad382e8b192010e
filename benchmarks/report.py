"""What a report, and the status, of a large study cost: ``python -m benchmarks.report``.

The store is made up, through the store itself: runs with the history of a study that was trained.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.store import Outcome, Store

SEEDS = 5
PACK = 100
"""Runs whose history is written at a time."""
_REASONS = {
    "diverged": "loss above 1e6",
    "stopped": "asha: rung 1",
    "failed": "ValueError: planted in {}",
}
SCHEDULES = ("constant", "cosine", "linear", "step", "wsd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one command took."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of all its threads, in user mode and for the system."""
    memory: float
    """At most, in bytes, of the largest of its processes."""


def make_store(folder: Path, *, runs: int, rows: int, drawn: bool) -> None:
    """A study with a twentieth of its runs diverged, a hundredth failed and a tenth stopped.

    Args:
        rows: evaluations of each run.
        drawn: values of a random search, each with one seed, in place of those of a grid with 5.
    """
    rng = np.random.default_rng(0)
    seeds = range(1 if drawn else SEEDS)
    configurations = list(_configurations(runs // len(seeds), drawn, rng))
    planned = [
        (f"r{place * len(seeds) + seed:06d}", seed, {**config, "seed": seed})
        for place, config in enumerate(configurations)
        for seed in seeds
    ]
    with Store.create(folder) as store:
        store.set_meta(
            study="large",
            axes={} if drawn else _axes(configurations),
            seeds=list(seeds),
            objective={"metric": "valid/loss", "mode": "min"},
            search={"name": "random" if drawn else "grid", "runs": len(configurations)},
        )
        store.plan_runs(planned)
        for first in range(0, len(planned), PACK):
            pack = planned[first : first + PACK]
            store.start_pack(f"p{first}", [run_id for run_id, _, _ in pack], {})
            history, outcomes = _reported(pack, rows, rng)
            store.record(f"p{first}", history, outcomes)


def _configurations(count: int, drawn: bool, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    rates, decays = np.geomspace(1e-4, 3, 20), np.geomspace(1e-6, 1e-1, 5)
    for place in range(count):
        schedule = SCHEDULES[place % 5]
        lr = float(10 ** rng.uniform(-4, 0.5)) if drawn else float(rates[place // 5 % 20])
        decay = float(10 ** rng.uniform(-6, -1)) if drawn else float(decays[place // 100 % 5])
        momentum = float(rng.uniform(0.8, 0.99)) if drawn else 0.8 + 0.04 * (place // 500)
        yield {
            "data": {"name": "digits"},
            "model": {"name": "mlp", "hidden": [64, 32], "activation": "relu"},
            "optimizer": {"name": "sgd", "lr": lr, "momentum": momentum, "weight_decay": decay},
            "schedule": {"name": schedule, "warmup": 0.05},
            "train": {"epochs": 100, "batch_size": 64},
        }


def _axes(configurations: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name in ("lr", "momentum", "weight_decay"):
        values = {config["optimizer"][name] for config in configurations}
        found[f"optimizer.{name}"] = sorted(values)
    found["schedule"] = [{"name": name, "warmup": 0.05} for name in SCHEDULES]
    return found


def _reported(
    pack: Sequence[tuple[str, int, Mapping[str, Any]]], rows: int, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[Outcome]]:
    history: list[dict[str, Any]] = []
    outcomes = []
    for place, (run_id, _, config) in enumerate(pack):
        status = "diverged" if place % 20 == 3 else "failed" if place % 100 == 7 else "completed"
        status = "stopped" if place % 10 == 9 else status
        some = rows if status == "completed" else max(1, rows // 3)
        own = _course(run_id, config, rows, some, rng)
        history += own
        final = {key: value for key, value in own[-1].items() if "/" in key}
        outcomes.append(
            Outcome(
                run_id=run_id,
                lane=place,
                status=status,
                reason=_REASONS.get(status, "").format(run_id),
                steps=20 * some,
                epochs=float(some),
                examples=1280 * some,
                wall_seconds=3.0,
                error=f"Traceback\nValueError: planted in {run_id}" if status == "failed" else "",
                final=final,
                best=final,
            )
        )
    return history, outcomes


def _course(
    run_id: str, config: Mapping[str, Any], rows: int, some: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A decay towards what the configuration comes to: 0.3 at its best, at a rate of 0.1."""
    optimizer = config["optimizer"]
    off = (math.log10(optimizer["lr"]) + 1) ** 2 + 0.1 * (math.log10(optimizer["weight_decay"]) + 3)
    end = 0.3 + 0.1 * abs(off) + 0.01 * SCHEDULES.index(config["schedule"]["name"])
    noise = rng.normal(0, 0.01, (some, 2))
    return [
        {
            "run_id": run_id,
            "level": 0,
            "step": 20 * row,
            "epoch": float(row),
            "examples": 1280 * row,
            "seconds": 0.03 * row,
            "train/loss": end * (0.9 + math.exp(-5 * row / rows)) + noise[row - 1, 0],
            "train/accuracy": 0.9,
            "valid/loss": end * (1 + math.exp(-5 * row / rows)) + noise[row - 1, 1],
            "valid/accuracy": 0.8 + 0.1 * row / rows,
            "test/loss": end * (1 + math.exp(-5 * row / rows)),
            "test/accuracy": 0.8,
            "lr": optimizer["lr"] * (1 - row / (rows + 1)),
            "grad_norm": 1.0 / row,
        }
        for row in range(1, some + 1)
    ]


def measured(arguments: Sequence[str]) -> Cost:
    """What ``regatta`` with these arguments takes, in a process of its own.

    Raises:
        CalledProcessError: it has failed.
    """
    command = [sys.executable, "-c", _MEASURED, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - started
    processor, memory = json.loads(done.stderr.splitlines()[-1])
    return Cost(wall=wall, processor=processor, memory=memory)


_MEASURED = """
import json, resource, sys
from orchestrator.cli import app
sys.argv[0] = "regatta"
try:
    app()
finally:
    own = resource.getrusage(resource.RUSAGE_SELF)
    seconds = own.ru_utime + own.ru_stime
    print(json.dumps([seconds, own.ru_maxrss * 1024]), file=sys.stderr)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    options = parser.parse_args(arguments)
    for drawn in (False, True):
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "large"
            make_store(folder, runs=options.runs, rows=options.rows, drawn=drawn)
            kind = "drawn" if drawn else "grid"
            for command in ("status", "report"):
                print(
                    f"{kind}, {command}: {in_words(measured([command, str(folder)]))}", flush=True
                )
            page = folder / "report.html"
            print(f"{kind}, size of the page: {page.stat().st_size / 1e6:.1f} MB", flush=True)


def in_words(cost: Cost) -> str:
    return (
        f"{cost.wall:.1f} s, {cost.processor:.1f} s of a processor, {cost.memory / 2**30:.2f} GiB"
    )


if __name__ == "__main__":
    main()

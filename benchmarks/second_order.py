"""What a step of every optimizer costs beside one of SGD: ``python -m benchmarks.second_order``.

And how many steps of K-FAC a pack takes in the time of one of a run on its own, written by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.clock import seconds
from benchmarks.eager_kfac import EagerKfac
from benchmarks.workloads import WORKLOADS, Workload
from trainables import models
from trainables.arrays import Arrays
from trainables.configs.optimizers import OPTIMIZERS, Kfac, Optimizer, Sgd
from trainables.engine import Stack
from trainables.memory import Forecast, keep_freed

LANES = 32
BASELINE = Sgd(lr=0.003, momentum=0.9, weight_decay=0.001)
_PERIOD = 20
"""Steps timed at a time, of methods that do the same in all of them."""


class Cost(NamedTuple):
    step: float
    """Of SGD's; what is done every so many steps is divided among these."""
    memory: float
    """Of SGD's: what a stack keeps, and what it takes more while it trains."""


def config_of(name: str) -> Any:
    """The defaults at a rate at which nothing diverges, with SGD's momentum and decay."""
    kind: Any = OPTIMIZERS[name]
    wanted = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 0.001}
    fields = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in wanted.items() if key in fields})


def period_of(config: Optimizer) -> int:
    """Steps after which whatever is not done in every step has been done its share of times."""
    every = [
        getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name.endswith("_every")
    ]
    return max(_PERIOD, math.lcm(*every)) if every else _PERIOD


def costs(
    workload: Workload,
    configs: dict[str, Any],
    *,
    lanes: int = LANES,
    device: str = "cpu",
    rounds: int = 5,
) -> dict[str, Cost | str]:
    """Of each optimizer, or why it refuses the network: the fastest of alternate rounds."""
    data = Arrays.of(workload.data(), torch.device(device), torch.float32)
    stacks: dict[str, Stack] = {}
    found: dict[str, Cost | str] = {}
    memory = {}
    for name, config in {"": BASELINE, **configs}.items():
        runs = [dataclasses.replace(run, optimizer=config) for run in workload.runs(lanes)]
        try:
            stack = Stack(runs, data)
        except ValueError as error:
            found[name] = str(error)
            continue
        forecast = Forecast(lanes, 10**15)
        forecast.observe(stack)
        memory[name] = forecast.kept(lanes) + forecast.more(lanes)
        period = period_of(config)
        stack.advance(-(-stack.step // period) * period)
        stacks[name] = stack
    best = dict.fromkeys(stacks, math.inf)
    for _ in range(rounds):
        for name, stack in stacks.items():
            period = period_of(stack.runs[0].optimizer)
            spent = seconds(lambda s=stack, p=period: s.advance(s.step + p), device)  # type: ignore[misc]
            best[name] = min(best[name], spent / period)
    for name in configs:
        if name in stacks:
            found[name] = Cost(best[name] / best[""], memory[name] / memory[""])
    return {name: found[name] for name in configs}


def speedup(workload: Workload, *, lanes: int = LANES, rounds: int = 5) -> float:
    """Steps of K-FAC that a pack takes in the time of one of a run on its own, on one core each.

    So many times as much work does any number of cores do with packs; single runs are given a
    core each, without the start of a process.
    """
    config = Kfac(lr=1e-4, weight_decay=0.001)
    runs = [dataclasses.replace(run, optimizer=config) for run in workload.runs(lanes)]
    data = workload.data()
    stack = Stack(runs, Arrays.of(data, torch.device("cpu"), torch.float32))
    module = models.build(workload.model, workload.input_shape, data.outputs, 0)
    alone = EagerKfac(module, config)
    x, y = torch.tensor(data.train_x), torch.tensor(data.train_y)
    period, size = period_of(config), workload.batch

    def single() -> None:
        for step in range(period):
            batch = torch.arange(step * size, (step + 1) * size) % len(x)
            alone.train_step(x[batch], y[batch])

    best = [math.inf, math.inf]
    for _ in range(rounds):
        best[0] = min(best[0], seconds(lambda: stack.advance(stack.step + period), "cpu"))
        best[1] = min(best[1], seconds(single, "cpu"))
    return lanes * best[1] / best[0]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workload", choices=WORKLOADS, default="digits-mlp")
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=[*OPTIMIZERS])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed()  # as packs do
    torch.set_flush_denormal(True)  # as packs do
    workload = WORKLOADS[options.workload]
    configs = {name: config_of(name) for name in options.optimizers}
    found = costs(
        workload, configs, lanes=options.lanes, device=options.device, rounds=options.rounds
    )
    print(f"{options.workload}, {options.lanes} lanes: beside SGD with momentum and weight decay")
    print("| optimizer | step | memory |\n|---|---|---|")
    for name, cost in found.items():
        words = f"{cost.step:.2f} | {cost.memory:.2f}" if isinstance(cost, Cost) else f"{cost} |"
        print(f"| `{name}` | {words} |")
    if options.device == "cpu" and options.workload == "digits-mlp":
        ratio = speedup(workload, lanes=options.lanes, rounds=options.rounds)
        print(f"kfac: a pack takes {ratio:.1f} times as many steps as runs on their own, a core")


if __name__ == "__main__":
    main()

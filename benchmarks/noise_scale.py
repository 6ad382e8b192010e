"""What measuring the gradient noise scale costs: ``python -m benchmarks.noise_scale``."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.clock import seconds
from benchmarks.workloads import WORKLOADS, Workload
from trainables.arrays import Arrays
from trainables.configs.probes import NoiseScale, Probes
from trainables.engine import Stack
from trainables.memory import keep_freed

_LANES = {"digits-mlp": (1, 16), "lenet-300-100": (1, 4), "lenet5": (1, 4)}
_STEPS = 8
"""Steps timed at a time, each of them measured."""
EVERY = NoiseScale().every


def measured_steps(
    workload: Workload, lanes: int, *, accumulate: int, device: str = "cpu", rounds: int = 5
) -> float:
    """What a measurement takes, in steps without: the fastest of alternate rounds.

    Args:
        accumulate: 1, so that a measurement is a pass of its own, or parts that training has.
    """
    data = Arrays.of(workload.data(), torch.device(device), torch.float32)
    stacks = []
    for probes in (None, Probes(noise_scale=NoiseScale(every=1))):
        train = dataclasses.replace(workload.runs(1)[0].train, accumulate=accumulate)
        runs = [
            dataclasses.replace(run, train=train, probes=probes) for run in workload.runs(lanes)
        ]
        stacks.append(Stack(runs, data))
    best = [float("inf")] * 2
    for _ in range(rounds):
        for index, stack in enumerate(stacks):
            stack.advance(stack.step + 2)
            steps = partial(stack.advance, stack.step + _STEPS)
            best[index] = min(best[index], seconds(steps, device))
    return best[1] / best[0] - 1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed()  # as packs do
    print(f"a measurement in steps; in brackets its share of training at every: {EVERY}")
    for name, widths in _LANES.items():
        for lanes in widths:
            words = []
            for accumulate in (1, 2):
                steps = measured_steps(
                    WORKLOADS[name],
                    lanes,
                    accumulate=accumulate,
                    device=options.device,
                    rounds=options.rounds,
                )
                words.append(f"accumulate {accumulate}: {steps:.2f} ({steps / EVERY:.1%})")
            print(f"{name}, {lanes} lanes: " + ", ".join(words), flush=True)


if __name__ == "__main__":
    main()

"""Seconds a step takes one GPU, from examples a second at some batch sizes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ThroughputError(Exception):
    """A table of throughputs cannot be read. The message says where and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Seconds of a step at some batch sizes of one GPU; between them straight lines in the log.

    Above the largest, throughput stays as it is there: the GPU is full. Below the smallest, a step
    takes as long as there: it is not known to get any shorter.
    """

    sizes: tuple[float, ...]
    """Examples in a step on one GPU, ascending."""
    seconds: tuple[float, ...]
    source: str

    def step_seconds(self, size: float) -> float:
        """Of a step with ``size`` examples on one GPU."""
        if size > self.sizes[-1]:
            return self.seconds[-1] * size / self.sizes[-1]
        at = np.interp(math.log(size), np.log(self.sizes), np.log(self.seconds))
        return float(np.exp(at))

    def knows(self, size: float) -> bool:
        """Whether ``size`` lies among those that were measured; one alone stands for all above."""
        return self.sizes[0] <= size and (len(self.sizes) == 1 or size <= self.sizes[-1])


def of_rates(rates: Mapping[float, float], source: str) -> Throughput:
    """From examples a second by batch size."""
    sizes = sorted(rates)
    return Throughput(
        sizes=tuple(sizes), seconds=tuple(size / rates[size] for size in sizes), source=source
    )


def measured(trials: pd.DataFrame) -> Throughput | None:
    """As the study itself ran: all examples of a batch size over all of their seconds.

    ``seconds`` are a run's share of its stack, so this is what the machine did, many runs side by
    side. None where no run took any time.
    """
    timed = trials[(trials["seconds"] > 0) & (trials["examples"] > 0)]
    sums = timed.groupby("batch_size")[["examples", "seconds"]].sum()
    rates = {
        float(str(size)): float(some["examples"] / some["seconds"])
        for size, some in sums.iterrows()
    }
    return of_rates(rates, "as measured in the study, runs side by side") if rates else None


def read_csv(path: Path) -> Throughput:
    """Two columns: examples in a step on one GPU, and examples a second; a heading may come first.

    Raises:
        ThroughputError: it is malformed.
        OSError: it cannot be read.
    """
    rates: dict[float, float] = {}
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row or (number == 1 and not _is_number(row[0])):
                continue
            size, rate = _entry(path, number, row)
            if size in rates:
                raise ThroughputError(f"{path}:{number}: batch {size:g} comes twice")
            rates[size] = rate
    if not rates:
        raise ThroughputError(f"{path}: no rows; write batch per GPU, examples per second")
    return of_rates(rates, str(path))


def _entry(path: Path, number: int, row: list[str]) -> tuple[float, float]:
    if len(row) != 2 or not all(map(_is_number, row)):
        raise ThroughputError(
            f"{path}:{number}: must be batch per GPU, examples per second; got {','.join(row)}"
        )
    size, rate = map(float, row)
    if not (0 < size < math.inf and 0 < rate < math.inf):
        raise ThroughputError(f"{path}:{number}: must be above 0, got {','.join(row)}")
    return size, rate


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

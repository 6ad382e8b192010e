"""The engine's training step in several ways, timed side by side: ``python -m benchmarks.engine``.

Needs PyTorch and NumPy only. The ways to train the lanes of a workload are timed in turn, round
after round, so that ratios are of the same minutes; of each the fastest round counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.engine_worker import Contender, Pool, Readiness, Span
from benchmarks.workloads import WORKLOADS

_MOST_STEPS, _MOST_ROUNDS = 400, 10
_CUDA_PROCESSES = 8


class Row(NamedTuple):
    """The figures of one contender."""

    model: str
    batch: int
    lanes: int
    contender: str
    processes: int
    width: int
    """Lanes in a stack."""
    rate: float
    """Steps a second, summed over lanes."""
    of_eager: float
    """``rate`` as a multiple of the eager loop's in one process."""
    of_packing: float | None
    """… of that of as many eager loops as there are processes, side by side."""
    of_peak: float
    """Share of the matrix-product peak of the processes in use."""


class Peak(NamedTuple):
    """FLOP/s in square matrix products, of one process and of all of them at once."""

    one: float
    all: float


def main() -> None:
    given = _arguments()
    count = given.processes or (
        min(_CUDA_PROCESSES, _cores()) if given.device == "cuda" else _cores()
    )
    print(_machine(given.device), f"{count} processes at most", sep="; ", flush=True)
    pool = Pool.start(count, given.device)
    try:
        peaks = _peaks(pool, count, given)
        for precision, peak in peaks.items():
            print(
                f"matmul peak, {precision}: {peak.one / 1e9:,.0f} GFLOP/s,"
                f" {count} processes {peak.all / 1e9:,.0f}"
            )
        rows: list[Row] = []
        print(_line(_HEAD), flush=True)
        for name, lanes in _cases(given):
            found = measure(pool, name, lanes, count, peaks["float32"], given)
            rows += found
            print("\n".join(_line(_cells(row)) for row in found), flush=True)
    finally:
        pool.stop()
    print("\n".join(findings(rows, count)))
    if given.json:
        figures = {
            "machine": _machine(given.device),
            "peaks": {precision: peak._asdict() for precision, peak in peaks.items()},
            "rows": [row._asdict() for row in rows],
        }
        given.json.write_text(json.dumps(figures, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="MODEL")
    parser.add_argument("--lanes", nargs="+", type=int, help="instead of each model's own")
    parser.add_argument("--processes", type=int, help="default: a core each; on CUDA 8 at most")
    parser.add_argument("--rounds", type=int, default=5, help="the fastest counts; default 5")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a round, about")
    parser.add_argument(
        "--compiled", action="store_true", help="also torch.compile; minutes a row on a CPU"
    )
    parser.add_argument("--quick", action="store_true", help="see that it runs; figures are poor")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args()
    if not 1 <= given.rounds <= _MOST_ROUNDS:
        parser.error(f"--rounds {given.rounds}: from 1 to {_MOST_ROUNDS}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device is available")
    if given.quick:
        given.rounds, given.seconds, given.lanes = 1, 0.01, given.lanes or [4]
        given.only = given.only or ["digits-mlp", "lenet5"]
    return given


def _cases(given: argparse.Namespace) -> list[tuple[str, int]]:
    return [
        (name, lanes)
        for name, load in WORKLOADS.items()
        if not given.only or name in given.only
        for lanes in given.lanes or (load.cuda_lanes if given.device == "cuda" else load.lanes)
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return f"{device}: {name}; {_cores()} cores; PyTorch {torch.__version__}"


def _peaks(pool: Pool, count: int, given: argparse.Namespace) -> dict[str, Peak]:
    """By precision. What several processes reach on a GPU is what one reaches."""
    cuda = given.device == "cuda"
    size, times = (8192, 10) if cuda else (1024, 3)
    rounds = 2 if given.quick else 10
    flop = 2 * size**3 * times

    def peak(precision: str, processes: int) -> float:
        spans = [
            _makespan(pool.call(processes, "multiply", precision, size, times, processes))
            for _ in range(rounds)
        ]
        return flop * processes / min(spans)

    found = {}
    for precision in ("float32", "tf32", "bfloat16") if cuda else ("float32",):
        one = peak(precision, 1)
        found[precision] = Peak(one, one if cuda or count == 1 else peak(precision, count))
    return found


def measure(
    pool: Pool, name: str, lanes: int, count: int, peak: Peak, given: argparse.Namespace
) -> list[Row]:
    """All contenders on ``lanes`` lanes of one workload."""
    contenders = [Contender("eager", 1)]
    contenders += [Contender(way, 1) for way in ("fused", "sequential", "auto")]
    if given.compiled:
        contenders.append(Contender("compiled", 1))
    if 1 < count <= lanes:
        contenders += [Contender("eager", count), Contender("auto", count)]
    [flops] = pool.call(1, "flops", name)
    ready: dict[Contender, list[Readiness]] = {}
    for contender in contenders:
        ready[contender] = pool.call(contender.processes, "prepare", name, lanes, contender)
    rates = dict.fromkeys(contenders, 0.0)
    for _ in range(given.rounds):
        for contender, workers in ready.items():
            step = max(worker.seconds for worker in workers)
            steps = max(1, min(_MOST_STEPS, round(given.seconds / step)))
            spans = pool.call(contender.processes, "train", contender, steps)
            trained = steps * sum(worker.lanes for worker in workers)
            rates[contender] = max(rates[contender], trained / _makespan(spans))
    pool.call(count, "forget")
    eager, packing = rates[Contender("eager", 1)], rates.get(Contender("eager", count))
    return [
        Row(
            model=name,
            batch=WORKLOADS[name].batch,
            lanes=lanes,
            contender=contender.way,
            processes=contender.processes,
            width=ready[contender][0].width,
            rate=rate,
            of_eager=rate / eager,
            of_packing=rate / packing if packing and 1 < count <= lanes else None,
            of_peak=rate * flops / (peak.one if contender.processes == 1 else peak.all),
        )
        for contender, rate in rates.items()
    ]


def _makespan(spans: Sequence[Span]) -> float:
    return max(span.end for span in spans) - min(span.start for span in spans)


_HEAD = ("model", "batch", "lanes", "strategy", "width", "steps/s", "× eager", "× packing", "peak")
_WIDTHS = (14, 6, 6, 22, 6, 10, 8, 10, 6)


def _line(cells: Sequence[str]) -> str:
    sides = [cell.ljust if index in (0, 3) else cell.rjust for index, cell in enumerate(cells)]
    return " | ".join(side(width) for side, width in zip(sides, _WIDTHS, strict=True))


def _cells(row: Row) -> list[str]:
    packing = "" if row.of_packing is None else f"{row.of_packing:.2f}"
    processes = f", {row.processes} processes" if row.processes > 1 else ""
    return [
        row.model,
        str(row.batch),
        str(row.lanes),
        row.contender + processes,
        str(row.width),
        f"{row.rate:,.0f}" if row.rate >= 100 else f"{row.rate:.2f}",
        f"{row.of_eager:.2f}",
        packing,
        f"{row.of_peak:.1%}",
    ]


def findings(rows: Sequence[Row], count: int) -> list[str]:
    """What matters, a line a workload: ``auto`` against the strategies and against by hand."""
    lines = ["", "auto, relative to the better of fused and sequential, and to eager alike:"]
    cases: dict[tuple[str, int], dict[Contender, Row]] = {}
    for row in rows:
        key = Contender(row.contender, row.processes)  # type: ignore[arg-type]
        cases.setdefault((row.model, row.lanes), {})[key] = row
    for (name, lanes), found in cases.items():
        auto = found[Contender("auto", 1)].rate
        best = max(found[Contender("fused", 1)].rate, found[Contender("sequential", 1)].rate)
        text = f"{name} × {lanes}: {auto / best:.2f}, {found[Contender('auto', 1)].of_eager:.2f}"
        both = found.get(Contender("auto", count)) if count > 1 else None
        if both is not None and both.of_packing is not None:
            text += f"; {count} processes {both.of_packing:.2f}"
        lines.append(text)
    return lines


if __name__ == "__main__":
    main()

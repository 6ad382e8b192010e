"""Learning curves of lanes that take turns, as the driver sees them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.early_stopping import Clock, Rules

STEPS, BATCH = 7, 5
"""Steps between two evaluations, and examples a step."""


def row(run_id: str, step: int, value: float, seconds: float = 1.0) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "level": 0,
        "step": step,
        "epoch": step / 11,
        "examples": step * BATCH,
        "seconds": seconds,
        "valid/loss": value,
    }


def curves(runs: int, evaluations: int, seed: int) -> dict[str, list[float]]:
    """Losses that fall to levels of their own, with noise: some cross each other."""
    draw = random.Random(seed)
    return {
        f"run-{k:02}": [
            level + slope / (t + 1) + draw.gauss(0, 0.05) for t in range(evaluations)
        ]
        for k in range(runs)
        for level, slope in [(draw.uniform(0, 1), draw.uniform(0, 3))]
    }  # fmt: skip


def turns(losses: Mapping[str, list[float]], seed: int) -> Iterator[tuple[str, int, float, bool]]:
    """(run, step, loss, whether it is the last) in an order in which packs may report."""
    draw = random.Random(seed)
    at = dict.fromkeys(losses, 0)
    while at:
        run_id = draw.choice(sorted(at))
        at[run_id] += 1
        ended = at[run_id] == len(losses[run_id])
        stopped = yield run_id, at[run_id] * STEPS, losses[run_id][at[run_id] - 1], ended
        if ended or stopped:
            del at[run_id]
        if stopped is not None:
            yield run_id, 0, 0.0, False  # what send() returns


def clocks(losses: Mapping[str, list[float]]) -> dict[str, Clock]:
    return {
        run_id: Clock(batch_size=BATCH, per_epoch=11, total=len(values) * STEPS)
        for run_id, values in losses.items()
    }


Ask = Callable[[str, int, float, bool], str | None]


def played(losses: Mapping[str, list[float]], seed: int, ask: Ask) -> dict[str, int]:
    """Plays all curves; returns run → the step at which it was stopped."""
    stopped: dict[str, int] = {}
    player = turns(losses, seed)
    for run_id, step, value, ended in player:
        if ask(run_id, step, value, ended) is not None:
            stopped[run_id] = step
            player.send(True)  # type: ignore[attr-defined]
    return stopped


def asks(rules: Rules) -> Ask:
    return lambda run_id, step, value, ended: rules.observe(row(run_id, step, value), ended=ended)

"""A study without training: an analytic learning curve in place of it, in one process."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from orchestrator.search.adaptive import AdaptiveSource, Asked
from orchestrator.search.advisor import Advisor
from orchestrator.spec import Study, load_study
from orchestrator.store import Outcome
from trainables.configs.run import RunConfig
from trainables.configs.schedules import Cosine

STUDY = """\
study: searched
data: {name: digits}
model: {name: mlp, hidden: [5]}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 3}
search: {name: "tests.search.loop:Drawn", runs: 13}
sweep:
  optimizer.lr: {log_uniform: [1.0e-4, 1.0]}
  optimizer.momentum: {uniform: [0.0, 0.99]}
"""
Curve = Callable[[RunConfig], Sequence[float]]


def study(folder: Path, text: str = STUDY, *changes: str) -> Study:
    path = folder / "study.yaml"
    path.write_text(text)
    return load_study(path, changes)


class Drawn(Searcher):
    """Draws points, and writes down what it is told."""

    def __init__(self, metric: Any = None, mode: Any = None, seed: int = 0) -> None:
        super().__init__(metric=metric, mode=mode)
        self.draw = random.Random(seed)
        self.space: dict[str, Any] = {}
        self.asked: dict[str, dict[str, Any]] = {}
        self.told: list[tuple[str, Any]] = []
        self.progress: list[tuple[str, int, float]] = []

    def set_search_properties(self, metric: Any, mode: Any, config: dict, **spec: Any) -> bool:
        self.space = config
        return True

    def suggest(self, trial_id: str) -> Any:
        random.seed(self.draw.random())
        self.asked[trial_id] = self.next()
        return self.asked[trial_id]

    def next(self) -> dict[str, Any]:
        point = {}
        for path, domain in self.space.items():
            share = self.draw.random()
            if hasattr(domain, "categories"):
                point[path] = domain.categories[int(share * len(domain.categories))]
            elif "Log" in type(domain.get_sampler()).__name__:
                point[path] = domain.lower * (domain.upper / domain.lower) ** share
            else:
                point[path] = domain.lower + (domain.upper - domain.lower) * share
        return point

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        value = result[self.metric]
        self.progress.append((trial_id, result["training_iteration"], value))

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        metrics = self.metric if isinstance(self.metric, list) else [self.metric]
        values = None if error or result is None else tuple(result[m] for m in metrics)
        self.told.append((trial_id, values[0] if values and len(values) == 1 else values))


class Climber(Drawn):
    """Draws near the best that it knows: any searcher that listens beats one that does not."""

    def next(self) -> dict[str, Any]:
        scored = [(value, self.asked[name]) for name, value in self.told if value is not None]
        drawn = super().next()
        if len(scored) < 10:
            return drawn
        best = min(scored, key=lambda one: one[0])[1]
        near = {}
        for path, domain in self.space.items():
            if hasattr(domain, "categories"):
                near[path] = best[path] if self.draw.random() < 0.8 else drawn[path]
                continue
            if "Log" in type(domain.get_sampler()).__name__:
                value = best[path] * 10 ** self.draw.gauss(0, 0.2)
            else:
                value = best[path] + self.draw.gauss(0, 0.05) * (domain.upper - domain.lower)
            near[path] = min(max(value, domain.lower), domain.upper)
        return near


def source_of(
    one: Study, searcher: Searcher, *, outstanding: int = 16, **more: Any
) -> tuple[AdaptiveSource, list[Asked]]:
    """A source over a searcher of this file, and the list of what it puts into the store."""
    from orchestrator.search.searchers import domain

    assert one.space is not None
    searcher.set_search_properties(
        one.objective.metric, one.objective.mode, {d.path: domain(d) for d in one.space.dimensions}
    )
    kept: list[Asked] = []
    advisor = Advisor(searcher, one.space, [objective.metric for objective in one.objectives])
    return AdaptiveSource(one, advisor, keep=kept.append, outstanding=outstanding, **more), kept


def outcome(run_id: str, status: str, **final: float) -> Outcome:
    return Outcome(
        run_id=run_id,
        lane=0,
        status=status,
        reason="",
        steps=3,
        epochs=1.0,
        examples=3,
        wall_seconds=0.0,
        final={f"valid/{name}": value for name, value in final.items()},
        best={},
    )


def simulate(
    source: AdaptiveSource, curve: Curve, *, lanes: int = 8, slots: int = 2, shuffle: int = 0
) -> dict[str, tuple[RunConfig, float]]:
    """Trains packs as a launch would: run_id → its configuration and last value.

    Args:
        shuffle: decides which pack, and which of its lanes, ends first.
    """
    order = random.Random(shuffle)
    packs: list[dict[str, RunConfig]] = []
    values: dict[str, tuple[RunConfig, float]] = {}
    while True:
        while len(packs) < slots and (taken := source.take(lanes, None)):
            packs.append(taken)
        if not packs:
            assert source.take(lanes, None) == {}
            return values
        pack = packs.pop(order.randrange(len(packs)))
        names = list(pack)
        order.shuffle(names)
        for name in names:
            losses = list(curve(pack[name]))
            rows = [{"run_id": name, "step": k, "valid/loss": x} for k, x in enumerate(losses)]
            source.tell([], rows[:-1])
            source.tell([outcome(name, "completed", loss=losses[-1])], rows[-1:])
            values[name] = (pack[name], losses[-1])


def floor_of(run: RunConfig) -> float:
    """What a run's loss comes to without noise: a basin in rate and momentum (the speed is that
    of rate / (1 − momentum)), and what decay, warmup and clipping add where the study has them."""
    rate, momentum = run.optimizer.lr, run.optimizer.momentum
    speed = math.log10(rate) + 1.5 - math.log10(1 - momentum) * 0.7
    loss = 0.1 + 0.3 * speed**2 + (momentum - 0.8) ** 2
    if run.optimizer.weight_decay:
        loss += 0.1 * (math.log10(run.optimizer.weight_decay) + 4) ** 2
    if isinstance(run.schedule, Cosine):
        loss += 2 * (run.schedule.warmup - 0.1) ** 2
    if run.train.clip_norm is not None:
        loss += 0.1 * math.log10(run.train.clip_norm) ** 2
    return loss


def basin(run: RunConfig) -> Sequence[float]:
    """A learning curve that falls to its floor, with the seed's noise."""
    name = f"{run.optimizer} {run.schedule} {run.train.clip_norm} {run.seed}"
    noise = 0.02 * random.Random(name).gauss(0, 1)
    return [floor_of(run) + math.exp(-k) + noise for k in range(5)]

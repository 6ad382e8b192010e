"""A family of learning curves in closed form, so that what is best is known.

With s the share of training that is behind a run, and u in [0, 1]^d its place in the space:

    loss(s) = floor + (start - floor) · (1 + s / τ)^-α,   times exp(noise)

    floor(u) = F · (1 + Σ_k w_k · (u_k - c_k)²)           a quadratic bowl, F = 0.05
    α(u)     = A · exp(-½ ((u_lr - c_lr - 0.2) / 0.35)²)  A = 1.6
    start = ln 10, τ = 1 / 30

The exponent's best learning rate lies a little above the floor's: larger rates lead early and
smaller ones catch up, so that curves cross, as they do where learning rates are compared. A rate
beyond the edge u_lr = c_lr + 0.3 diverges, the sooner the further. Each seed of the family draws
its own c_k in [0.3, 0.7] and w_k in [2, 8]. Where no learning rate is swept, α = A and nothing
diverges; an axis that a configuration does not have adds nothing to its floor. The noise is normal,
once for each run and once for each of its evaluations, of standard deviation ``noise`` each. The
power law is that of Domhan et al. (2015, table 1, "pow3"); it is a toy, made to compare rules with,
and no forecast.

Metrics that are better high are exp(-loss); ``…/error`` is 1 - exp(-loss), ``…/perplexity``
exp(loss).
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from orchestrator.early_stopping import Clock
from orchestrator.plan.packs import steps_per_epoch
from orchestrator.simulate.coordinates import Coordinates, FloatArray
from orchestrator.simulate.curve import Curve, SimulateError
from orchestrator.spec.study import OwnObjective, Study
from trainables.configs.function_run import Run
from trainables.configs.run import (
    HIGHER_IS_BETTER,
    RunConfig,
    evaluation_interval,
    length,
    step_ends,
)

START = math.log(10)
FLOOR, EXPONENT, TAU = 0.05, 1.6, 1 / 30
AHEAD, SPREAD, EDGE = 0.2, 0.35, 0.3
_RATES = ("lr", "learning_rate")
_GRID = 4001


class Landscape:
    """Floor, exponent and edge over the unit cube, for one seed of the family."""

    def __init__(self, paths: Sequence[str], seed: int) -> None:
        rng = np.random.default_rng([0x5EED, seed])
        self.centre = rng.uniform(0.3, 0.7, len(paths))
        self.weights = rng.uniform(2.0, 8.0, len(paths))
        rates = [k for k, path in enumerate(paths) if path.rpartition(".")[2] in _RATES]
        self.rate: int | None = rates[0] if rates else None
        """The axis that decides on speed and divergence, if there is one."""

    def floor(self, u: FloatArray) -> float:
        """An axis that a configuration does not have (NaN) adds nothing."""
        return float(FLOOR * (1 + np.nansum(self.weights * (u - self.centre) ** 2)))

    def _beyond(self, u: FloatArray, centre: float) -> float:
        found = 0.0 if self.rate is None else float(u[self.rate] - self.centre[self.rate] - centre)
        return 0.0 if math.isnan(found) else found

    def exponent(self, u: FloatArray) -> float:
        ahead = self._beyond(u, AHEAD)
        return EXPONENT * math.exp(-0.5 * (ahead / SPREAD) ** 2)

    def diverges_at(self, u: FloatArray) -> float | None:
        """The share of training after which a run diverges, or None."""
        beyond = self._beyond(u, EDGE)
        if self.rate is None or beyond <= 0:
            return None
        return 0.3 * math.exp(-10 * beyond)

    def loss(self, u: FloatArray, share: FloatArray) -> FloatArray:
        """Without noise, at each share of training."""
        floor = self.floor(u)
        values: FloatArray = floor + (START - floor) * (1 + share / TAU) ** -self.exponent(u)
        return values

    def best(self) -> float:
        """The least loss at the end of training in the whole cube, without noise: at the centre
        but for the learning rate, along which it is looked for."""
        u = np.array(self.centre)
        rates = np.linspace(0.0, 1.0, _GRID) if self.rate is not None else np.zeros(1)
        found = []
        for rate in rates:
            if self.rate is not None:
                u[self.rate] = rate
            if self.diverges_at(u) is None:
                found.append(float(self.loss(u, np.ones(1))[0]))
        return min(found)


class Synthetic:
    """The curves of a study's runs: see ``Curves``."""

    def __init__(self, study: Study, metrics: Sequence[OwnObjective], seed: int, noise: float):
        """
        Args:
            metrics: what the runs report, each with its mode.
            seed: of the family.
            noise: standard deviation of the logarithm of a loss, per run and per evaluation.

        Raises:
            SimulateError: the runs of the study have no known length.
        """
        if study.trainable is not None:
            raise SimulateError(
                "how long your own training takes is not known: give --curves, the folder of a"
                " study that was trained"
            )
        self._coordinates = Coordinates(study.space)
        self.landscape = Landscape(self._coordinates.paths, seed)
        self._metrics = {one.metric: _transform(one) for one in metrics}
        self._seed, self._noise = seed, noise
        self._known: dict[str, Curve] = {}

    def of(self, run_id: str, run: Run) -> Curve:
        """See ``Curves.of``."""
        if run_id not in self._known:
            assert isinstance(run, RunConfig)
            self._known[run_id] = self._curve(run_id, run)
        return self._known[run_id]

    def _curve(self, run_id: str, run: RunConfig) -> Curve:
        batches, steps, per_epoch = evaluations(run)
        u = np.array(self._coordinates.of(run))
        share = np.array(batches) / batches[-1]
        draw = np.random.default_rng(_digest(f"{self._seed}:{run_id}"))
        noise = self._noise * (draw.standard_normal() + draw.standard_normal(len(batches)))
        loss = self.landscape.loss(u, share) * np.exp(noise)
        status, reason, count = "completed", "trained to the end", len(batches)
        bad = self.landscape.diverges_at(u)
        if bad is not None:
            status, reason = "diverged", "batch loss inf"
            count = 1 + int(np.searchsorted(share, bad))
            loss[count - 1] = math.nan
        reached = _reached(run, loss[:count])
        if reached is not None:
            status, reason, count = "completed", "target reached", reached + 1
        batches, steps, loss = batches[:count], steps[:count], loss[:count]
        return Curve(
            batches=batches,
            steps=steps,
            epochs=[at / per_epoch for at in batches],
            examples=[at * run.train.batch_size for at in batches],
            values={name: change(loss).tolist() for name, change in self._metrics.items()},
            status=status,
            reason=reason,
        )

    def best(self, objective: OwnObjective) -> float:
        """The best value at the end of training in the whole space, without noise."""
        return float(self._metrics[objective.metric](np.array([self.landscape.best()]))[0])

    def clock(self, run: Run) -> Clock:
        """See ``Curves.clock``."""
        assert isinstance(run, RunConfig)
        return Clock.of(run, _per_epoch(run) * run.train.batch_size)

    def notes(self) -> list[str]:
        """See ``Curves.notes``."""
        return [f"synthetic curves, noise {self._noise:g}: a family to compare with, no forecast"]


def evaluations(run: RunConfig) -> tuple[list[int], list[int], int]:
    """Batches and steps at each evaluation of a run, and the batches of an epoch.

    Raises:
        SimulateError: the size of its data is not known.
    """
    per_epoch = _per_epoch(run)
    total = length(run.train, per_epoch)
    every = evaluation_interval(run.train, per_epoch)
    due = [*range(every, total, every), total]
    if run.train.batch_growth is None:
        return due, due, per_epoch
    ends = step_ends(run.train, per_epoch, total)
    steps = sorted({bisect.bisect_left(ends, at) for at in due})
    return [ends[step] for step in steps], steps, per_epoch


def _per_epoch(run: RunConfig) -> int:
    found = steps_per_epoch(run)
    if found is not None:
        return found
    if run.train.epochs is None:
        return 1
    raise SimulateError(
        "how many steps an epoch has is not known before the data is loaded: give --curves, the"
        " folder of a study that was trained on it, or write train.steps"
    )


def _reached(run: RunConfig, loss: FloatArray) -> int | None:
    """The first evaluation that is strictly better than the run's target, if there is one."""
    target = run.train.target
    if target is None:
        return None
    higher = target.metric in HIGHER_IS_BETTER
    mode: Literal["min", "max"] = "max" if higher else "min"
    values = _transform(OwnObjective(metric=target.metric, mode=mode))(loss)
    better = values > target.value if higher else values < target.value
    return int(better.argmax()) if better.any() else None


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _transform(one: OwnObjective) -> Callable[[FloatArray], FloatArray]:
    if one.mode == "max":
        return lambda loss: np.exp(-loss)
    if one.metric.endswith("/error"):
        return lambda loss: 1 - np.exp(-loss)
    if one.metric.endswith("/perplexity"):
        return lambda loss: np.exp(loss)
    return lambda loss: loss

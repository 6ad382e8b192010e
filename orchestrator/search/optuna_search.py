"""Optuna over a study's space: define-by-run, so that an axis is asked for only where it is."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial
from ray.tune.search.optuna import OptunaSearch

from orchestrator.search.coding import Dimension, decode, stepped
from orchestrator.spec.space import PointError, Space

SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
}


class ConditionalOptunaSearch(OptunaSearch):  # type: ignore[misc]  # ray has no types
    """Ray Tune's ``OptunaSearch``, which can also be told of points that it did not ask for.

    Tune's own ``add_evaluated_point`` refuses a define-by-run space, since it does not know the
    distributions of its parameters. Here they follow from the study's space.
    """

    def __init__(self, space: Space, **settings: Any) -> None:
        super().__init__(space=_define(space), **settings)
        self._dimensions = {dimension.path: dimension for dimension in space.dimensions}

    def suggest(self, trial_id: str) -> Any:
        with _quiet():
            return super().suggest(trial_id)

    def add_evaluated_point(
        self, parameters: Mapping[str, Any], value: float | Sequence[float], **state: Any
    ) -> None:
        """
        Args:
            parameters: axis → what ``encode`` gives for its value.
            value: of the objective; one for each where there are several.
        """
        self._ot_study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                params=dict(parameters),
                distributions={name: distribution(self._dimensions[name]) for name in parameters},
                **({"values": value} if isinstance(value, Sequence) else {"value": value}),
            )
        )


def make_optuna(
    space: Space,
    *,
    metric: Sequence[str],
    mode: Sequence[str],
    sampler: str,
    seed: int,
    options: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
) -> ConditionalOptunaSearch:
    """The searcher; one metric and mode an objective.

    Args:
        options: further arguments of the sampler.
        points: encoded points to suggest first; the sampler fills what is missing in them.

    Raises:
        TypeError, ValueError: the sampler does not take the options.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    several = len(metric) > 1
    with _quiet():
        return ConditionalOptunaSearch(
            space,
            metric=list(metric) if several else metric[0],
            mode=list(mode) if several else mode[0],
            sampler=SAMPLERS[sampler](**{"seed": seed, **options}),
            points_to_evaluate=[dict(point) for point in points],
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings that a sampler is experimental (it was asked for by name), and that the
    space takes long to define (it is the sampler that does: ``gp`` fits a model)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Define-by-run function")
        yield


def distribution(dimension: Dimension) -> BaseDistribution:
    """Of what ``encode`` gives. A list has no order for Optuna, even one of numbers."""
    found = dimension.range
    if found is None:
        return CategoricalDistribution(range(len(dimension.values)))
    if stepped(dimension):
        return IntDistribution(0, len(found.points()) - 1)
    if found.whole:
        return IntDistribution(int(found.low), int(found.high), log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)


def _define(space: Space) -> Any:
    def define(trial: Any) -> None:
        try:
            space.walk(lambda dimension: decode(dimension, _suggested(trial, dimension)))
        except PointError:
            return  # a tie that cannot be evaluated: the point is refused later

    return define


def _suggested(trial: Any, dimension: Dimension) -> Any:
    one: Any = distribution(dimension)
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(dimension.path, one.choices)
    suggest = trial.suggest_int if isinstance(one, IntDistribution) else trial.suggest_float
    return suggest(dimension.path, one.low, one.high, log=one.log)

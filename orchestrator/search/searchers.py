"""The searcher that a study names, made of Ray Tune's: over its space, knowing what is known."""

from __future__ import annotations

import importlib.util
import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.search.advisor import Advisor, SearchError
from orchestrator.search.coding import Dimension, encode, stepped
from orchestrator.spec.searches import Optuna, Searcher
from orchestrator.spec.space import Space
from orchestrator.spec.study import Study
from trainables.user_code import UserCodeError, resolve

PACKAGES = {
    "ax": {"ax": "ax-platform"},
    "bayesopt": {"bayes_opt": "bayesian-optimization"},
    "bohb": {"hpbandster": "hpbandster", "ConfigSpace": "ConfigSpace"},
    "hebo": {"hebo": "HEBO"},
    "hyperopt": {"hyperopt": "hyperopt"},
    "nevergrad": {"nevergrad": "nevergrad"},
    "optuna": {"optuna": "optuna"},
    "zoopt": {"zoopt": "zoopt"},
}
"""Searcher → the modules that it imports, and what to install for them."""
_SAMPLER_PACKAGES = {"cmaes": {"cmaes": "cmaes"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Warm:
    """What a searcher is to know before it is first asked."""

    evaluated: Sequence[tuple[Mapping[str, Any], Sequence[float]]] = ()
    """Points with the values of their objectives."""
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Suggestions of an earlier launch that have not ended: id → point."""
    first: Sequence[Mapping[str, Any]] = ()
    """Points to suggest before others, in part maybe."""
    asked: int = 0
    """How often a searcher of this study was asked before."""


def missing_package(study: Study) -> str | None:
    """Why the study's searcher cannot be imported, in a line; nothing is imported."""
    search = study.search
    wanted = dict(PACKAGES.get(search.name, {}))
    if isinstance(search, Optuna):
        wanted |= _SAMPLER_PACKAGES.get(search.sampler, {})
    missing = [name for module, name in wanted.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return None
    return f"search.name: {search.name} needs {' and '.join(missing)}: pip install " + " ".join(
        missing
    )


def make_advisor(study: Study, warm: Warm) -> Advisor:
    """The study's searcher.

    What is known goes to the searcher by ``add_evaluated_point`` where it has one (optuna,
    hebo). Others are replayed: known points are their first suggestions
    (``points_to_evaluate``), and are answered at once.

    Raises:
        SearchError: it cannot be made.
    """
    if (why := missing_package(study)) is not None:
        raise SearchError(why)
    space, search = study.space, study.search
    assert space is not None
    try:
        if isinstance(search, Optuna):
            searcher, told = _optuna(study, space, search, warm), True
        else:
            assert isinstance(search, Searcher)
            searcher, told = _other(study, space, search, warm)
    except SearchError:
        raise
    except UserCodeError as error:
        raise SearchError(f"search.name: {error}") from error
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise SearchError(f"search: {search.name}: {type(error).__name__}: {first}") from error
    advisor = Advisor(searcher, space, [objective.metric for objective in study.objectives])
    advisor.warm(warm.evaluated, warm.pending, directly=told)
    return advisor


def _optuna(study: Study, space: Space, search: Optuna, warm: Warm) -> Any:
    from orchestrator.search.optuna_search import make_optuna  # a second, and needs the package

    points = [*warm.pending.values(), *warm.first]
    return make_optuna(
        space,
        metric=[objective.metric for objective in study.objectives],
        mode=[objective.mode for objective in study.objectives],
        sampler=search.sampler,
        seed=_seed(search.seed, warm.asked),
        options=search.options,
        points=[encoded(space, point) for point in points],
    )


def _seed(seed: int, asked: int) -> int:
    """A sampler that goes on must not draw its first points once more."""
    fresh = random.Random(f"{seed} {asked}").getrandbits(31)  # noqa: S311
    return fresh if asked else seed % 2**32


def _other(study: Study, space: Space, search: Searcher, warm: Warm) -> tuple[Any, bool]:
    """The searcher, and whether it takes evaluated points as they are."""
    from ray.tune.search import SEARCH_ALG_IMPORT
    from ray.tune.search import Searcher as TuneSearcher

    factory: Any = resolve(search.name) if ":" in search.name else SEARCH_ALG_IMPORT[search.name]()
    own: Any = getattr(factory, "add_evaluated_point", None)
    told = own is not None and own is not TuneSearcher.add_evaluated_point
    known = [] if told else [point for point, _ in warm.evaluated]
    filled = [_filled(space, point, n) for n, point in enumerate(warm.first)]
    points = [encoded(space, point) for point in (*known, *warm.pending.values(), *filled)]
    metric = [objective.metric for objective in study.objectives]
    mode = [objective.mode for objective in study.objectives]
    aims = {"metric": metric, "mode": mode} if len(metric) > 1 else _single(metric, mode)
    wanted = _taken(factory, aims | ({"points_to_evaluate": points} if points else {}))
    if warm.first and "points_to_evaluate" not in wanted:
        raise SearchError(f"search.first: {search.name} takes no points_to_evaluate; leave it out")
    searcher = factory(**wanted, **search.options)
    if not isinstance(searcher, TuneSearcher):
        raise TypeError(f"makes no ray.tune.search.Searcher, but {type(searcher).__name__}")
    searcher.set_search_properties(
        aims["metric"], aims["mode"], {d.path: domain(d) for d in space.dimensions}
    )
    return searcher, told


def _single(metric: Sequence[str], mode: Sequence[str]) -> dict[str, Any]:
    return {"metric": metric[0], "mode": mode[0]}


def _taken(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the factory has."""
    has = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in has):
        return dict(arguments)
    names = {parameter.name for parameter in has}
    return {name: value for name, value in arguments.items() if name in names}


def _filled(space: Space, point: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The point with values drawn for what it leaves out: most searchers want whole ones."""
    draw = random.Random(f"first {number}")  # noqa: S311
    drawn = {d.path: d.value(d.cell(draw.random())) for d in space.dimensions}
    return drawn | dict(point)


def encoded(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """The point as a searcher has it."""
    return {d.path: encode(d, point[d.path]) for d in space.dimensions if d.path in point}


def domain(dimension: Dimension) -> Any:
    """The dimension as Ray Tune's: of what ``encode`` gives. Conditions it does not know."""
    from ray import tune

    found = dimension.range
    if found is None:
        return tune.choice(list(range(len(dimension.values))))
    if stepped(dimension):
        return tune.randint(0, len(found.points()))
    if found.whole:
        whole = tune.lograndint if found.log else tune.randint
        return whole(int(found.low), int(found.high) + 1)
    return (tune.loguniform if found.log else tune.uniform)(found.low, found.high)

"""How a study searches its space: a fixed design, or a searcher that learns from results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from trainables.configs.base import Bound, Config, Duration, Positive

MAX_RUNS = 1_000_000
MAX_POPULATION = 4096
Runs = Annotated[int, Bound(ge=1, le=MAX_RUNS)]
Seed = Annotated[int, Bound(ge=0, lt=2**63)]
RAY_SEARCHERS = ("ax", "bayesopt", "bohb", "hebo", "hyperopt", "nevergrad", "zoopt")
"""Names of ``ray.tune.search.SEARCH_ALG_IMPORT`` that adapt, apart from ``optuna``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search(Config):
    first: tuple[dict[str, Any], ...] = ()
    """Points to try before all others: axis → value. A design of drawn points and a searcher fill
    the axes that are left out; a grid needs all of them."""
    constraints: tuple[str, ...] = ()
    """What must hold at each point, such as ``optimizer.lr * train.batch_size < 100``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid(_Search):
    """Every combination of the axes' values."""

    name: Literal["grid"] = "grid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Random(_Search):
    """Points drawn independently. More ``runs`` keep those that there are."""

    name: Literal["random"] = "random"
    runs: Runs
    """Configurations; each is trained with every seed."""
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sobol(_Search):
    """Scrambled Sobol' points (Owen 1998): more even than random ones, most so where ``runs`` is a
    power of two. More ``runs`` keep those that there are."""

    name: Literal["sobol"] = "sobol"
    runs: Runs
    """Configurations; each is trained with every seed."""
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pbt(_Search):
    """Population-based training (Jaderberg et al. 2017): members train side by side, and every
    ``interval`` the worst go on as copies of the best, with other hyperparameters."""

    name: Literal["pbt"] = "pbt"
    population: Annotated[int, Bound(ge=2, le=MAX_POPULATION)]
    """Members, one lane each; the first ones are drawn at random. Each seed is a population."""
    interval: Duration
    """Between two exchanges; a multiple of ``train.evaluate_every``."""
    quantile: Annotated[float, Bound(gt=0, le=0.5)] = 0.25
    """Share of the members that are replaced, and of those that are copied."""
    resample: Annotated[float, Bound(ge=0, le=1)] = 0.25
    """How often a hyperparameter is drawn anew instead of multiplied."""
    factors: tuple[Positive, ...] = (0.8, 1.2)
    """What a hyperparameter may be multiplied by."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not self.factors:
            raise ValueError("factors must be at least one number, such as [0.8, 1.2]")

    @property
    def runs(self) -> int:
        """Configurations of the design."""
        return self.population


@dataclass(frozen=True, kw_only=True, slots=True)
class Optuna(_Search):
    """Optuna, by Ray Tune's ``OptunaSearch``."""

    name: Literal["optuna"] = "optuna"
    runs: Runs
    """Configurations; each is trained with every seed."""
    seed: Seed = 0
    sampler: Literal["tpe", "random", "cmaes", "gp", "qmc", "nsgaii", "nsgaiii"] = "tpe"
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the sampler, such as ``n_startup_trials``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Searcher(_Search):
    """Any other searcher of Ray Tune, by its name there, or ``module:callable`` that makes one."""

    name: str
    runs: Runs
    """Configurations; each is trained with every seed."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the searcher."""


Search = Grid | Random | Sobol | Pbt | Optuna | Searcher
SEARCHES: dict[str, type[Config]] = {
    "grid": Grid,
    "random": Random,
    "sobol": Sobol,
    "pbt": Pbt,
    "optuna": Optuna,
    **dict.fromkeys(RAY_SEARCHERS, Searcher),
}

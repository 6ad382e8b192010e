"""The typed study: what a YAML file says, resolved and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from orchestrator.spec.searches import Grid, Optuna, Search, Searcher
from orchestrator.spec.stopping_rules import StoppingRule
from trainables.configs.base import Bound, Config, Count
from trainables.configs.function_run import Run
from trainables.configs.lottery import Lottery, Procedure
from trainables.configs.run import Metric

if TYPE_CHECKING:  # it needs the sections, and they need the classes here
    from orchestrator.spec.space import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnObjective(Config):
    """What a study with a ``trainable`` looks for: any metric that its function reports."""

    metric: str
    """As it is reported; nested ones joined with ``/``, such as ``valid/loss``."""
    mode: Literal["min", "max"]
    """Needed unless the metric's name ends in loss, accuracy or r2."""

    def __post_init__(self) -> None:
        if not self.metric.strip():
            raise ValueError("metric must be the name of a metric that is reported")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective(OwnObjective):
    """What the study looks for; ``final`` values of this metric rank the configurations."""

    metric: Metric = "valid/loss"
    mode: Literal["min", "max"] = "min"


@dataclass(frozen=True, kw_only=True, slots=True)
class Minutes(Config):
    """A duration by the clock."""

    minutes: Annotated[float, Bound(gt=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution(Config):
    """How packs are trained. None of this changes what a run computes beyond rounding."""

    strategy: Literal["auto", "fused", "sequential"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether steps go through ``torch.compile``: auto where that is measured to pay."""
    lanes: Count | None = None
    """At most this many runs side by side in a pack; by default as few packs as keep every slot
    busy. A dense network and all that comes from it are in one pack, however many."""
    checkpoint_every: Count | Minutes | None = None
    """Evaluations between checkpoints, or ``{minutes: n}``; by default about every 30 seconds."""
    keep: Count = 2
    """Checkpoints kept of each pack: where the last one is damaged, the one before is used."""
    save: Literal["none", "best", "all"] = "none"
    """Whose final states are kept, to be loaded or gone on from: of no run, of the best
    ``report.top`` configurations, or of all. With the procedure ``lottery`` always of all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnExecution(Config):
    """How a study with a ``trainable`` is trained: one run a trial."""

    checkpoint_every: Count | None = None
    """Reports between checkpoints of a ``tune.Trainable`` class; by default it takes none.
    A function reports its own checkpoints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources(Config):
    """What one pack takes of the cluster."""

    cpus: Annotated[float, Bound(gt=0)] | None = None
    """By default one, and more where there are fewer packs than CPUs. A pack trains in as many
    threads; the user's own training and packs on a GPU have one."""
    gpus: Annotated[float, Bound(ge=0)] | None = None
    """By default one where the cluster has any; a fraction lets packs share one."""
    max_concurrent: Count | None = None
    """At most this many packs at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking(Config):
    """Weights & Biases, a mirror of the store."""

    wandb: Literal["auto", "offline", "online", "off"] = "auto"
    """``auto``: online where a key is configured, offline elsewhere."""
    project: str = "regatta"
    entity: str | None = None
    detail: Literal["auto", "all", "best", "study"] = "auto"
    """Which runs are mirrored: all, the best ``report.top`` configurations, or none but the
    study's own. ``auto``: all below the 10,000 runs that a W&B project is made for, else best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(Config):
    """What the report shows."""

    title: str | None = None
    top: Count = 5
    """How many of the best configurations have their learning curves drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One YAML file, resolved: every configuration in it has been validated."""

    name: str
    path: Path
    text: str
    """The YAML as written."""
    overrides: tuple[str, ...]
    """``path=value`` pairs given with ``--set``."""
    axes: dict[str, tuple[Any, ...]]
    """Dotted path → the values swept, as plain data, in the order of the file; of a range or a
    tie, those that occur."""
    seeds: tuple[int, ...]
    configurations: tuple[Run, ...]
    """The points of the design, each with seed 0. Of a grid: the product of the axes, the last
    axis fastest. Empty where the search is adaptive. With the procedure ``lottery`` all networks
    of all points, each once: dense ones have no ``lottery``, and what others come from is before
    them."""
    objective: OwnObjective
    """The first of ``objectives``: it ranks the configurations."""
    execution: Execution
    resources: Resources
    tracking: Tracking
    report: Report
    early_stopping: tuple[StoppingRule, ...] = ()
    """Rules that end runs early, each with its metric and mode."""
    trainable: str | None = None
    """``module:callable`` of the user's own training; None where Regatta trains."""
    search: Search = field(default_factory=Grid)
    space: Space | None = None
    """What is searched; None where nothing varies."""
    objectives: tuple[OwnObjective, ...] = ()
    """All of them; more than one where the study looks for a Pareto front."""
    design: str = "grid"
    """The design in words."""
    procedures: tuple[Procedure, ...] = ()
    """The different ones of the design's points."""

    @property
    def lottery(self) -> bool:
        """Some networks come from others."""
        return any(isinstance(procedure, Lottery) for procedure in self.procedures)

    @property
    def adaptive(self) -> bool:
        """A searcher suggests the configurations, one after the other."""
        return isinstance(self.search, Optuna | Searcher)

    @property
    def size(self) -> int:
        """How many configurations there are, or a searcher is asked for."""
        if isinstance(self.search, Optuna | Searcher):
            return self.search.runs
        return len(self.configurations)

    def configuration(self, point: Mapping[str, Any]) -> Run:
        """The configuration, with seed 0, of a point: a value for each dimension of ``space``.

        Ties are resolved, and axes that are not there at this point left out: ``point`` may have
        a value for them or none.

        Raises:
            PointError: a constraint or a check refuses it.
        """
        from orchestrator.spec.points import configuration  # it needs the classes here

        return configuration(self, point)

    def runs(self) -> list[Run]:
        """Every configuration with every seed: seeds fastest."""
        return [
            dataclasses.replace(configuration, seed=seed)
            for configuration in self.configurations
            for seed in self.seeds
        ]

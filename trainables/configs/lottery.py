"""The lottery-ticket procedure: which networks it trains, and which each of them comes from.

A network is a run. The dense one is an ordinary run; every other has a ``Node`` that says where
in the procedure it stands. So equal networks of different studies are one run, and what a study
gains (levels, seeds, controls, children) is all that is trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from trainables.configs.base import Bound, Config, Count, Duration

if TYPE_CHECKING:  # a run has a node
    from trainables.configs.run import RunConfig

CriterionName = Literal[
    "magnitude", "magnitude_increase", "movement", "random", "snip", "grasp", "synflow"
]
AT_START = frozenset({"snip", "grasp", "synflow"})
"""Criteria that prune before training, unless ``at`` says otherwise."""
NEED_TRAINING = frozenset({"magnitude_increase", "movement"})
"""Criteria that compare trained weights with the first ones."""
Control = Literal["reinitialized", "shuffled", "signs"]
Rate = Annotated[float, Bound(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning(Config):
    """How weights are pruned, and what the networks that are left train from."""

    criterion: CriterionName = "magnitude"
    scope: Literal["layerwise", "global"] = "layerwise"
    """Whether each layer loses its share, or layers compete."""
    rate: Rate = 0.2
    """Share of the weights left that goes at each level."""
    output_rate: Rate | None = None
    """That of the last layer; half of ``rate`` unless given (Frankle & Carbin 2019). Globally
    there is none."""
    layer_rates: dict[str, Rate] = dataclasses.field(default_factory=dict)
    """Rates of other layers: pattern of a weight's name → rate. Layerwise only."""
    exclude: tuple[str, ...] = ()
    """Patterns of the names of weights that are never pruned."""
    rounds: Literal["iterative", "one_shot"] = "iterative"
    """Whether a level prunes the ticket of the level before, or the dense network at once to the
    share that the level has."""
    at: Literal["end", "start"] | None = None
    """Whether trained weights are pruned, or those that training is rewound to; then every level
    is pruned at once. By default at the start for snip, grasp and synflow, else at the end."""
    batches: Count = 1
    """Training batches that criteria look at, as one."""
    rewind_to: Duration = 0.0
    """The step whose weights a pruned network trains from; 0: the initialization."""
    after: Literal["rewind", "learning_rate", "fine_tune"] = "rewind"
    """``rewind`` puts weights and learning rate back to ``rewind_to``, ``learning_rate`` only the
    rate; ``fine_tune`` neither: it trains on for as long at the last rate (Renda et al. 2020)."""
    optimizer_state: Literal["reset", "kept"] = "reset"
    """``reset``: as before the first step. ``kept``: what belongs to the weights, of the snapshot
    where they are rewound, of the trained network where not."""

    def __post_init__(self) -> None:
        if self.scope == "global" and (self.output_rate is not None or self.layer_rates):
            raise ValueError(
                "output_rate and layer_rates go with scope: layerwise; globally, layers compete"
            )
        if self.prunes_at == "start":
            if self.criterion in NEED_TRAINING:
                raise ValueError(f"{self.criterion} compares trained weights: it needs at: end")
            if self.after != "rewind":
                raise ValueError(f"after: {self.after} needs trained weights, and so at: end")

    @property
    def prunes_at(self) -> Literal["end", "start"]:
        return self.at or ("start" if self.criterion in AT_START else "end")

    @property
    def prunes_at_once(self) -> bool:
        """Whether each level is pruned from the dense network."""
        return self.rounds == "one_shot" or self.prunes_at == "start"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node(Pruning):
    """Where a network stands in the procedure; the dense one has none."""

    level: Annotated[int, Bound(ge=0)]
    """How many prunings its mask has behind it; 0: a child of the dense network."""
    control: Control | None = None
    """What it trains from in place of what a ticket would; its mask is the ticket's."""
    child: Annotated[int, Bound(ge=0)] = 0
    """0: its data order is the dense network's. n: another one, from ``rewind_to`` on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lottery(Pruning):
    """``procedure: {name: lottery}``: train, then levels of prune, rewind and retrain."""

    name: Literal["lottery"] = "lottery"
    levels: Annotated[int, Bound(ge=1, le=100)]
    """Prunings; the dense network is level 0."""
    controls: tuple[Control, ...] = ("reinitialized",)
    """Beside the ticket at each level: ``reinitialized`` trains other first weights under its
    mask; ``shuffled`` its weights under a mask shuffled within layers; ``signs`` other first
    weights with the signs of its own."""
    children: Annotated[int, Bound(ge=0, le=100)] = 0
    """Further data orders of the dense network and of tickets: error barriers are measured
    between each and the network whose order it leaves (instability analysis)."""
    children_at: tuple[Annotated[int, Bound(ge=0)], ...] | None = None
    """The levels that have them; None: all."""

    def __post_init__(self) -> None:
        # Not super(): with slots the class is another one than the one it was written in.
        Pruning.__post_init__(self)
        if len(set(self.controls)) < len(self.controls):
            raise ValueError("controls must differ from each other")
        beyond = [level for level in self.children_at or () if level > self.levels]
        if beyond:
            raise ValueError(f"children_at: {beyond[0]} is beyond levels: {self.levels}")
        if self.children_at is not None and not self.children:
            raise ValueError("children_at goes with children: n, and there are none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training(Config):
    """``procedure: {name: train}``, the default: a run is one network, trained once."""

    name: Literal["train"] = "train"


Procedure = Training | Lottery
PROCEDURES: dict[str, type[Procedure]] = {"train": Training, "lottery": Lottery}


def networks(dense: RunConfig, procedure: Procedure) -> list[RunConfig]:
    """The runs of a procedure for one configuration, parents before what comes from them."""
    if isinstance(procedure, Training):
        return [dense]
    nodes = _nodes(procedure)
    return [dense, *(dataclasses.replace(dense, lottery=node) for node in nodes)]


def _nodes(lottery: Lottery) -> Iterator[Node]:
    shared = {field.name: getattr(lottery, field.name) for field in dataclasses.fields(Pruning)}
    for level in range(lottery.levels + 1):
        if level > 0:
            for control in (None, *lottery.controls):
                yield Node(level=level, control=control, **shared)
        if lottery.children_at is None or level in lottery.children_at:
            for child in range(1, lottery.children + 1):
                yield (
                    _of_dense(child, lottery)
                    if level == 0
                    else Node(level=level, child=child, **shared)
                )


def _of_dense(child: int, pruning: Pruning) -> Node:
    """A child of the dense network: how pruning goes is no part of what it is."""
    return Node(
        level=0,
        child=child,
        rewind_to=pruning.rewind_to,
        optimizer_state=pruning.optimizer_state,
    )


def dense(run: RunConfig) -> RunConfig:
    """The dense network that a run comes from; itself where it is one."""
    return dataclasses.replace(run, lottery=None)


def pruned_from(run: RunConfig) -> RunConfig | None:
    """The network whose end a run's mask, or its weights, are taken from.

    None where that needs no end: of a dense network, of its children, and where pruning is at
    the start.
    """
    node = run.lottery
    if node is None or node.level == 0 or node.prunes_at == "start":
        return None
    if node.level == 1 or node.prunes_at_once:
        return dense(run)
    return dataclasses.replace(
        run, lottery=dataclasses.replace(node, level=node.level - 1, control=None, child=0)
    )


def sibling(run: RunConfig) -> RunConfig | None:
    """The network that differs in its data order only: the other end of a child's barrier."""
    node = run.lottery
    if node is None or node.child == 0:
        return None
    if node.level == 0:
        return dense(run)
    return dataclasses.replace(run, lottery=dataclasses.replace(node, child=0))


def ancestors(run: RunConfig) -> list[RunConfig]:
    """Every network that a run comes from, or is measured against; the dense one first."""
    if run.lottery is None:
        return []
    found = [dense(run)]
    for parent in (pruned_from(run), sibling(run)):
        if parent is not None:
            found += [one for one in (*ancestors(parent), parent) if one not in found]
    return found

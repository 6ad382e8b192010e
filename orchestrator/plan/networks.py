"""What a study of lottery tickets trains beside its dense networks, and what that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan.estimate import Estimate, estimate
from orchestrator.plan.packs import work
from orchestrator.plan.trees import kinds
from trainables.configs.lottery import Lottery, Procedure
from trainables.configs.run import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """The networks of a study, whatever of them has been trained already."""

    levels: int
    """Prunings, at most."""
    counts: Mapping[str, int]
    """dense, tickets, each control, children → how many."""
    dense_only: Estimate
    """What training the dense networks alone would take."""
    times: float
    """How many times their training steps all networks make together."""

    @property
    def in_words(self) -> str:
        """Such as ``3 dense, 12 tickets, 12 reinitialized, 6 children``."""
        return counts_in_words(self.counts)


def networks_planned(
    runs: Mapping[str, RunConfig],
    procedures: Sequence[Procedure],
    *,
    slots: int,
    measured: Mapping[str, float],
) -> Networks | None:
    """See ``Networks``; None where no procedure is a lottery.

    Args:
        runs: all of the study.
        measured: as ``estimate`` takes it.
    """
    if not levels_of(procedures):
        return None
    steps = {name: work(run) * run.train.batch_size for name, run in runs.items()}
    dense = {name: run for name, run in runs.items() if run.lottery is None}
    return Networks(
        levels=levels_of(procedures),
        counts=kinds(runs.values()),
        dense_only=estimate(dense, slots=slots, measured=measured),
        times=sum(steps.values()) / sum(steps[name] for name in dense),
    )


def levels_of(procedures: Sequence[Procedure]) -> int:
    """Prunings, at most; 0 where nothing is pruned."""
    return max((one.levels for one in procedures if isinstance(one, Lottery)), default=0)


def counts_in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())

"""Runs on demand: where a study that makes its packs as it goes on takes its runs from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from orchestrator.plan.packs import work
from orchestrator.store import Outcome
from trainables.configs.run import RunConfig, fusion_key


class Source(Protocol):
    """Gives runs to train, and is told how runs stand."""

    def take(self, lanes: int, key: str | None) -> dict[str, RunConfig] | None:
        """Up to ``lanes`` further runs (run_id → configuration), all of one fusion key.

        Args:
            key: the fusion key they must have; None: any.

        Returns:
            Empty where there is nothing more to give (for this key). None: not now; ask again
            later, when more has been told.
        """

    def tell(self, outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> None:
        """One report of a pack, as the store has it; one that is replayed is told again."""


class DesignSource:
    """The runs of a fixed design: known from the start, in packs of one fusion key.

    They come in the order of their ids. Those are content hashes, so the order is as good as
    random and the same in every launch: asynchronous halving compares a run with those before
    it, and a grid in its own order would have each beat the last one (Li et al. 2020, section 3:
    configurations are drawn at random).
    """

    def __init__(
        self, runs: Mapping[str, RunConfig], order: Callable[[str], Any] | None = None
    ) -> None:
        """
        Args:
            order: run_id → what to sort by in place of it.
        """
        self._left: dict[str, dict[str, RunConfig]] = {}
        for run_id in sorted(runs, key=order):
            self._left.setdefault(fusion_key(runs[run_id]), {})[run_id] = runs[run_id]

    def take(self, lanes: int, key: str | None) -> dict[str, RunConfig]:
        """See ``Source.take``; without a key, of the group with the most work left."""
        if key is None:
            key = max(self._left, key=self._work, default="")
        group = self._left.get(key, {})
        taken = {run_id: group.pop(run_id) for run_id in list(group)[:lanes]}
        if not group:
            self._left.pop(key, None)
        return taken

    def _work(self, key: str) -> int:
        return sum(work(run) * run.train.batch_size for run in self._left[key].values())

    def tell(self, outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> None:
        """A fixed design learns nothing."""

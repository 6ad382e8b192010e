"""Packs made on demand: a Tune searcher that asks a source for the runs of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from orchestrator.search.source import Source
from trainables.configs.run import RunConfig
from trainables.ray_pack import PackTask

MakePack = Callable[[Mapping[str, RunConfig]], PackTask]
"""Plans a pack of these runs in the store, and gives its task."""


class PackSearcher(Searcher):  # type: ignore[misc]  # ray has no types
    """Suggests ``{"pack": pack_id}``: first the packs to go on with, then new ones.

    Tune asks for trials ahead of time. A pack is made only when a slot is free for it, so that
    runs that wait can still join packs that train.
    """

    def __init__(
        self,
        source: Source,
        make_pack: MakePack,
        *,
        resumed: Sequence[PackTask],
        lanes: int,
        slots: int,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            resumed: packs of an earlier launch that have not ended.
            lanes: runs in a new pack, at most.
            slots: packs that train at the same time.
            over: whether nothing more may start.
        """
        super().__init__()
        self._source = source
        self._make_pack = make_pack
        self._resumed = list(resumed)
        self._lanes = lanes
        self._slots = slots
        self._over = over
        self._training: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for a restore, which Regatta does not use."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A pack, None (later), or that there are no more."""
        if self._over():
            return str(self.FINISHED)
        if len(self._training) >= self._slots:
            return None
        if self._resumed:
            return self._begin(trial_id, self._resumed.pop(0))
        runs = self._source.take(self._lanes, None)
        if runs is None:
            return None
        if not runs:
            return str(self.FINISHED)
        return self._begin(trial_id, self._make_pack(runs))

    def _begin(self, trial_id: str, task: PackTask) -> dict[str, Any]:
        self._training.add(trial_id)
        return {"pack": task.pack_id}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A slot is free; how runs stand the source is told by the recorder."""
        self._training.discard(trial_id)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Takes whatever Tune says: runs are ranked by the study's objective."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the store is the truth, and Tune's snapshots are never read."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """See ``save``."""

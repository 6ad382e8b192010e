"""Suggestions that wait for a pack, by fusion key: packs hold runs of one key."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.configs.function_run import Run
from trainables.configs.run import RunConfig, fusion_key

_PASSED_OVER = 2
"""A group that others went before so often goes first, however small it is."""


def key_of(run: Run) -> str:
    """The fusion key; runs of a user's own function have none."""
    return fusion_key(run) if isinstance(run, RunConfig) else ""


class Waiting:
    """A queue for each fusion key; the runs of a suggestion stay together where they fit."""

    def __init__(self) -> None:
        self._groups: dict[str, list[dict[str, Run]]] = {}
        self._passed: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(runs) for queue in self._groups.values() for runs in queue)

    def add(self, runs: Mapping[str, Run]) -> None:
        """The runs of one suggestion: one configuration, so one key."""
        key = key_of(next(iter(runs.values())))
        self._groups.setdefault(key, []).append(dict(runs))

    def enough(self, lanes: int, key: str | None) -> bool:
        """Whether a pack of so many lanes can be filled with whole suggestions."""
        keys = [key] if key is not None else list(self._groups)
        return any(self._filled(self._groups.get(one, []), lanes) for one in keys)

    @staticmethod
    def _filled(queue: list[dict[str, Run]], lanes: int) -> bool:
        total = 0
        for runs in queue:
            total += len(runs)
            if total >= lanes:
                return True
        return bool(queue) and total + len(queue[-1]) > lanes

    def take(self, lanes: int, key: str | None) -> dict[str, Run]:
        """Up to so many runs of one key: the given one, or the group that has most to train."""
        if key is None:
            key = self._next()
        queue = self._groups.get(key, [])
        taken: dict[str, Run] = {}
        while queue and len(taken) + len(queue[0]) <= lanes:
            taken |= queue.pop(0)
        if queue and not taken:
            # More seeds than lanes: they take several packs.
            part = dict(list(queue[0].items())[:lanes])
            queue[0] = {name: run for name, run in queue[0].items() if name not in part}
            taken = part
        if not queue:
            self._groups.pop(key, None)
        return taken

    def _next(self) -> str:
        if not self._groups:
            return ""
        sizes = {key: sum(map(len, queue)) for key, queue in self._groups.items()}
        key = max(sizes, key=lambda one: (self._passed.get(one, 0) >= _PASSED_OVER, sizes[one]))
        for other in sizes:
            self._passed[other] = 0 if other == key else self._passed.get(other, 0) + 1
        return key

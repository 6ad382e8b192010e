"""Packs are made when a slot is free, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.launch.pack_searcher import PackSearcher
from orchestrator.search import DesignSource
from tests.search.test_source import _runs
from trainables.configs import RunConfig
from trainables.ray_pack import PackTask


class _Later(DesignSource):
    """Has nothing to give the first time."""

    asked = False

    def take(self, lanes: int, key: str | None) -> Any:
        if not self.asked:
            self.asked = True
            return None
        return super().take(lanes, key)


def _task(runs: Mapping[str, RunConfig]) -> PackTask:
    return PackTask(
        pack_id="+".join(runs),
        runs=tuple(runs.items()),
        settings={},
        folder=Path("."),
        runs_folder=Path("."),
        checkpoint_every=None,
        import_from=".",
    )


def _searcher(source: DesignSource, **more: Any) -> PackSearcher:
    return PackSearcher(source, _task, **{"resumed": [], "lanes": 5, "slots": 2, **more})


def test_a_pack_waits_for_a_slot_and_the_end_is_said() -> None:
    runs = _runs((3,), 13)
    searcher = _searcher(DesignSource(runs))
    first, second = searcher.suggest("a"), searcher.suggest("b")
    assert [len(pack["pack"].split("+")) for pack in (first, second)] == [5, 5]
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a")
    assert len(searcher.suggest("c")["pack"].split("+")) == 3
    assert searcher.suggest("d") is None
    searcher.on_trial_complete("b", error=True)
    assert searcher.suggest("d") == "FINISHED"


def test_packs_to_go_on_with_come_first() -> None:
    runs = _runs((3,), 3)
    resumed = _task(_runs((5,), 2))
    searcher = _searcher(DesignSource(runs), resumed=[resumed])
    assert searcher.suggest("a") == {"pack": resumed.pack_id}
    assert searcher.suggest("b") == {"pack": "+".join(sorted(runs))}


def test_a_source_may_say_later() -> None:
    searcher = _searcher(_Later(_runs((3,), 1)))
    assert searcher.suggest("a") is None
    assert searcher.suggest("a") == {"pack": "+".join(_runs((3,), 1))}


@pytest.mark.parametrize("over", [True, False])
def test_nothing_starts_once_it_is_over(over: bool) -> None:
    searcher = _searcher(DesignSource(_runs((3,), 1)), over=lambda: over)
    assert (searcher.suggest("a") == "FINISHED") == over

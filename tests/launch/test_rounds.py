"""What is left begins again where Tune raises, and no more often than it helps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.launch.check import LaunchError
from orchestrator.launch.rounds import in_rounds
from orchestrator.store import FINISHED, StorageError, Store
from tests.store.big import RUNS, outcome, plan


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return plan(tmp_path / "s")


LEFT = {f"r{run}": run for run in range(RUNS)}


def _left(store: Store) -> dict[str, int]:
    statuses = store.statuses()
    return {name: run for name, run in LEFT.items() if statuses[name] not in FINISHED}


def test_only_what_is_left_begins_again(store: Store) -> None:
    seen: list[list[str]] = []

    def train(left: Mapping[str, int]) -> None:
        seen.append(list(left))
        run = min(left, key=lambda name: left[name])
        status = "failed" if run == "r1" else "completed"
        store.record("p", [], [outcome(run, status=status)])
        if len(seen) < 7:
            raise RuntimeError("Traceback\nKeyError: an actor without a trial")

    in_rounds(store, LEFT, train, lambda: _left(store))
    assert [len(left) for left in seen] == [RUNS - done for done in range(7)]
    assert store.fault_counts() == {"trials started anew": 6}


def test_three_rounds_without_progress_raise_what_tune_raised(store: Store) -> None:
    rounds = []

    def train(left: Mapping[str, int]) -> None:
        rounds.append(left)
        raise RuntimeError("no cluster")

    with pytest.raises(RuntimeError, match="no cluster"):
        in_rounds(store, LEFT, train, dict)
    assert len(rounds) == 3


@pytest.mark.parametrize("error", [LaunchError("x"), StorageError("x"), KeyboardInterrupt()])
def test_what_another_round_cannot_mend_is_raised_at_once(
    store: Store, error: BaseException
) -> None:
    def train(left: Mapping[str, int]) -> None:
        raise error

    with pytest.raises(type(error)):
        in_rounds(store, LEFT, train, dict)
    assert store.fault_counts() == {}


def test_a_store_given_up_is_said_even_where_tune_wraps_it(store: Store) -> None:
    def train(left: Mapping[str, int]) -> None:
        store.broken = StorageError("no space left")
        raise RuntimeError("TuneError: Traceback …")

    with pytest.raises(StorageError, match="no space left"):
        in_rounds(store, LEFT, train, dict)

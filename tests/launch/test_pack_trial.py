"""A pack's trial without Ray around it: checkpoints that fail, and parts one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from tests.store.test_storage import small_disk
from trainables import checkpoint
from trainables.configs import RunConfig
from trainables.data import DataSet
from trainables.ray_pack import CHECKPOINT_SKIPPED, PackTask, RayPack

SETTINGS = {"strategy": "fused", "ways": None, "threads": 1, "device": "cpu"}


class Trial:
    """Trains pack ``p`` of five runs in ``folder``; a new one is a worker that starts again."""

    def __init__(self, folder: Path, runs: list[RunConfig], data: Mapping[str, DataSet]) -> None:
        self.folder, self.data = folder, data
        self.task = PackTask(
            pack_id="p",
            runs=tuple((f"r{lane}", run) for lane, run in enumerate(runs)),
            settings=SETTINGS,
            folder=folder / "packs/p",
            runs_folder=folder / "runs",
            checkpoint_every=1,
            import_from=str(folder),
        )

    def start(self, **config: Any) -> RayPack:
        pack = object.__new__(RayPack)
        pack.setup({"pack": 0, **config}, tasks=[self.task], data=self.data)
        return pack


def _finals(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {p["run_id"]: p["final"] for result in results for p in result["progress"]}


def _to_the_end(pack: RayPack) -> list[dict[str, Any]]:
    results = [pack.step()]
    while not results[-1]["done"]:
        results.append(pack.step())
    return results


@pytest.fixture(name="trial")
def _trial(
    tmp_path: Path,
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
) -> Trial:
    runs = [make_run(seed=seed) for seed in range(5)]
    return Trial(tmp_path, runs, data_of(runs[0]))


PARTS = [
    {"pack_id": "a", "runs": ["r0", "r3"], "ancestors": ["p"]},
    {"pack_id": "b", "runs": ["r1", "r4"], "ancestors": ["p"]},
    {"pack_id": "c", "runs": ["r2"], "ancestors": ["p"]},
]


@pytest.mark.parametrize("reports", [0, 2], ids=["from the start", "from a checkpoint"])
def test_parts_are_trained_one_after_the_other(trial: Trial, reports: int) -> None:
    whole = _finals(_to_the_end(trial.start()))
    for left_over in trial.task.folder.glob("*"):
        left_over.unlink()
    before = trial.start()
    for _ in range(reports):
        before.step()
    results = _to_the_end(trial.start(parts=PARTS))
    ids = [result["pack_id"] for result in results]
    assert list(dict.fromkeys(ids)) == ["a", "b", "c"]
    assert sum(result["finished"] for result in results) == 3
    # The checkpoint is that before the last report, which is made again.
    assert ids.count("a") == 3 - max(0, reports - 1)
    found = _finals(results)
    assert list(found) == ["r0", "r3", "r1", "r4", "r2"]
    for name, final in whole.items():
        for metric, value in final.items():
            assert found[name][metric] == pytest.approx(value, rel=1e-4, abs=1e-7)


def test_a_part_goes_on_from_its_own_checkpoint(trial: Trial) -> None:
    first = trial.start(parts=PARTS)
    first.step()
    steps = [p["steps"] for p in first.step()["progress"]]
    assert checkpoint.numbered(trial.folder / "packs/a")
    assert not (trial.folder / "packs/p").exists()
    assert [p["steps"] for p in trial.start(parts=PARTS).step()["progress"]] == steps


def test_parts_are_stacked_as_the_whole_was(trial: Trial) -> None:
    trial.task.folder.mkdir(parents=True)
    (trial.task.folder / "ways.json").write_text('{"threads": 1, "ways": [[2, false]]}')
    results = _to_the_end(trial.start(parts=PARTS))
    assert {result["choices"][0]["width"] for result in results} == {1, 2}


def test_parts_are_not_compiled(trial: Trial) -> None:
    """The pack may have died of it, and then so would every part."""
    trial.task.folder.mkdir(parents=True)
    (trial.task.folder / "ways.json").write_text('{"threads": 1, "ways": [[2, false, true]]}')
    trial.task = dataclasses.replace(trial.task, settings={**SETTINGS, "compile": "on"})
    results = _to_the_end(trial.start(parts=PARTS))
    assert not any(choice["compiled"] for result in results for choice in result["choices"])


def test_a_trial_with_nothing_left_ends(trial: Trial) -> None:
    result = trial.start(parts=[]).step()
    assert result["done"]
    assert result["rows"] == []


def test_training_goes_on_without_checkpoints_that_cannot_be_written(trial: Trial) -> None:
    expected = _finals(_to_the_end(trial.start()))
    with small_disk(trial.folder / "disk", "8k"):
        full = Trial(trial.folder / "disk", [run for _, run in trial.task.runs], trial.data)
        results = _to_the_end(full.start())
    skipped = [note for result in results for note in result["notes"].get(CHECKPOINT_SKIPPED, [])]
    assert len(skipped) == 2
    assert all("Error: " in detail for detail in skipped)
    assert _finals(results) == expected


def test_no_name_is_one_of_rays_own() -> None:
    """Ray's Trainable has private attributes, too, and sets them over ours."""

    class Plain(tune.Trainable):  # type: ignore[misc]  # ray has no types
        def setup(self, config: dict[str, Any]) -> None:
            """Nothing."""

    ours = {name for name in vars(RayPack) if not name.startswith("__")}
    ours |= set(RayPack.__annotations__)
    assert not ours & vars(Plain()).keys()

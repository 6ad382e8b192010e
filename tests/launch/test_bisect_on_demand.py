"""A run that joined a pack kills its worker: neighbours that joined with it miss no decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.cloudpickle as pickle
from ray.exceptions import ActorDiedError

from orchestrator.launch.mailbox import Mailbox
from orchestrator.launch.recorder import Recorder
from orchestrator.spec import load_study
from orchestrator.store import Store
from orchestrator.store.faults import WORKER_DIED
from tests.early_stopping.driver import Driver
from trainables import ray_pack
from trainables.ray_pack import RayPack

STUDY = """\
study: s
data: {name: digits}
model: {name: mlp, hidden: [5]}
optimizer: {name: sgd}
train: {epochs: 9, batch_size: 64, evaluate_every: {epochs: 1}}
seeds: 2
sweep: {optimizer.lr: {log: [0.003, 1.0], points: 9}}
early_stopping: {name: asha, grace: {epochs: 1}, reduction: 3}
execution: {strategy: sequential, lanes: 6}
resources: {cpus: 1}
"""
PER_EPOCH = 18
JOINS = 6
"""Place of the culprit in the order of the runs: the first that joins."""


class Trial:
    """The one trial of a study; it stands in for Tune and for Ray."""

    def __init__(self, folder: Path, every: int) -> None:
        (folder / "s.yaml").write_text(STUDY)
        self.folder = folder
        self.driver = Driver(load_study(folder / "s.yaml"), folder / "store", 1)
        self.store = self.driver.store
        template = dataclasses.replace(
            self.driver.template, import_from=str(folder), checkpoint_every=every
        )
        mailbox = Mailbox(template, folder / "store")
        self.mailbox = SimpleNamespace(
            task=SimpleNamespace(remote=mailbox.task), ask=SimpleNamespace(remote=mailbox.ask)
        )
        driver, rules = self.driver, self.driver.decider._rules
        self.shown: dict[str, set[int]] = {}
        observe = rules.observe

        def watched(row: Any, *, ended: bool) -> str | None:
            self.shown.setdefault(row["run_id"], set()).add(row["step"])
            return observe(row, ended=ended)

        rules.observe = watched  # type: ignore[method-assign]
        self.recorder = Recorder(
            self.store, driver.book.tasks, lambda rows, outcomes: None, driver.decider
        )
        self.trial = SimpleNamespace(pickled_error_file=str(folder / "e.pkl"), error_file=None)
        (folder / "e.pkl").write_bytes(pickle.dumps(ActorDiedError()))
        self.trial.set_config = lambda config: setattr(self.trial, "config", config)

    def train(self, kills: Callable[[dict[str, Any]], bool]) -> None:
        """To the end; a report that ``kills`` is never made."""
        name = 0
        while isinstance(found := self.driver.searcher.suggest(str(name)), dict):
            self.trial.config = found
            self._train_pack(kills)
            self.driver.searcher.on_trial_complete(str(name))
            name += 1

    def _train_pack(self, kills: Callable[[dict[str, Any]], bool]) -> None:
        pack = self._worker()
        while True:
            result = pack.step()
            if any(map(kills, result["rows"])):
                self.recorder.on_trial_recover(0, [], self.trial)
                pack = self._worker()
                continue
            assert not result.get("notes")
            self.recorder.on_trial_result(0, [], self.trial, result)
            if result["done"]:
                return

    def _worker(self) -> RayPack:
        self.recorder.on_trial_start(0, [], self.trial)
        pack = object.__new__(RayPack)
        pack.setup(self.trial.config, tasks=[], data=self.driver.data, mailbox=self.mailbox)
        return pack


def _curves(store: Store) -> dict[str, dict[int, float]]:
    table = store.history()
    return {
        name: dict(zip(rows["step"], rows["valid/loss"], strict=True))
        for name, rows in table.groupby("run_id")
    }


@pytest.mark.parametrize("every", [1, 100], ids=["checkpoints", "none"])
@pytest.mark.parametrize("at", [1, 3], ids=["at once", "later"])
def test_the_culprit_fails_alone_and_all_others_are_decided_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, at: int
) -> None:
    monkeypatch.setattr(ray_pack, "ray", SimpleNamespace(get=lambda found: found))
    calm = Trial(_made(tmp_path / "calm"), every)
    calm.train(lambda row: False)
    order = sorted(calm.store.statuses())
    culprit = order[JOINS]
    expected = _curves(calm.store)
    if len(expected[culprit]) < at:
        at = len(expected[culprit])
    trial = Trial(_made(tmp_path / "deadly"), every)
    trial.train(lambda row: row["run_id"] == culprit and row["step"] >= at * PER_EPOCH)
    outcomes = {outcome.run_id: outcome for outcome in trial.store.outcomes()}
    assert {n for n, o in outcomes.items() if o.status == "failed"} == {culprit}
    assert {o.status for o in outcomes.values()} == {"completed", "stopped", "failed"}
    assert trial.store.fault_counts()[WORKER_DIED] > 5
    found = _curves(trial.store)
    for name, outcome in outcomes.items():
        if name == culprit:
            continue
        # Every evaluation was decided upon when it was reached; nothing is recorded beyond.
        assert trial.shown[name] == set(found[name])
        assert outcome.steps == max(found[name])
        assert (outcome.status == "completed") == (outcome.steps == 9 * PER_EPOCH)
        both = found[name].keys() & expected[name].keys()
        assert list(found[name]) == [PER_EPOCH * (k + 1) for k in range(len(found[name]))]
        for step in both:
            assert found[name][step] == expected[name][step]
    assert all(pack["status"] in ("completed", "split", "failed") for pack in trial.store.packs())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder

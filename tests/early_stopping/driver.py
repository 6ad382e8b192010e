"""A driver without Ray: packs take turns in this process, decided upon as in a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.early_stopping import Clock, make_rules
from orchestrator.launch.decider import Decider, pack_lanes
from orchestrator.launch.mailbox import Mailbox
from orchestrator.launch.on_demand import PackBook
from orchestrator.launch.pack_searcher import PackSearcher
from orchestrator.plan import unique_runs
from orchestrator.plan.packs import first_lanes
from orchestrator.search import DesignSource
from orchestrator.spec import Study
from orchestrator.store import SETTLED, Outcome, Store
from trainables import checkpoint
from trainables.configs.base import to_plain
from trainables.configs.run import data_key
from trainables.data import load
from trainables.ray_pack import PackTask
from trainables.session import PackSession, Settings


class Driver:
    """One launch of a study. What is not in the store or in a checkpoint dies with it."""

    def __init__(self, study: Study, folder: Path, slots: int) -> None:
        runs: Mapping[str, Any] = unique_runs(study.runs())
        self.data = {data_key(run): load(run.data) for run in runs.values()}
        self.store = Store.create(folder)
        self.store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
        clocks = {
            name: Clock.of(run, len(self.data[data_key(run)].train_x)) for name, run in runs.items()
        }
        rules = make_rules(study.early_stopping, clocks, elapsed=lambda: 0.0)
        statuses = self.store.statuses()
        rules.rebuild(self.store.reports(), statuses)
        left = {name: run for name, run in runs.items() if statuses[name] not in SETTLED}
        self.book = PackBook(study, self.store, {"CPU": 1.0, "GPU": 0.0}, slots)
        resumed, taken = self.book.resume(runs, left)
        source = DesignSource({name: run for name, run in left.items() if name not in taken})
        self.decider = Decider(self.store, rules, source, lambda: 0.0)
        lanes = first_lanes(left, slots=slots, most_lanes=study.execution.lanes)
        self.searcher = PackSearcher(source, self.book.make, resumed=resumed, lanes=lanes,
                                     slots=slots)  # fmt: skip
        self.template: PackTask = PackTask(
            pack_id="",
            runs=(),
            settings={},
            folder=folder,
            runs_folder=folder / "runs",
            checkpoint_every=1,
            import_from="",
        )

    def train(self, most_reports: int = 10**9, checkpoint_every: int = 3) -> bool:
        """Trains until the study ends, or is killed after so many reports; whether it ended."""
        mailbox = Mailbox(self.template, self.store.folder)
        training: dict[str, tuple[str, PackSession]] = {}
        trials = reports = 0
        while True:
            while isinstance(found := self.searcher.suggest(str(trials)), dict):
                training[str(trials)] = found["pack"], self._begin(mailbox, found["pack"])
                trials += 1
            if not training:
                return True
            for trial, (name, session) in list(training.items()):
                if reports == most_reports:
                    return False
                reports += 1
                if self._step(mailbox, name, session, checkpoint_every):
                    del training[trial]
                    self.searcher.on_trial_complete(trial)
                    self.store.set_pack(name, status="completed", settings={})

    def _begin(self, mailbox: Mailbox, name: str) -> PackSession:
        task = mailbox.task(name)
        settings = Settings(strategy="fused")
        self.store.start_pack(name, pack_lanes(task, self.store), task.settings)
        self.decider.begin(task)
        path = self.store.folder / f"{name}.pt"
        if not path.exists():
            return PackSession(task.runs, self.data, settings)
        saved = checkpoint.load(path)
        return PackSession.restore(saved, (*task.runs, *task.joined), self.data, settings)

    def _step(self, mailbox: Mailbox, name: str, session: PackSession, every: int) -> bool:
        if session.reports and session.reports % every == 0:
            checkpoint.save(self.store.folder / f"{name}.pt", session.state_dict())
        orders = mailbox.ask(name, session.reports)
        if orders is not None:
            session.stop(orders.stop)
            session.join(orders.join)
        report = session.advance()
        outcomes = [Outcome(**progress) for progress in report.progress]
        task, done = self.book.tasks[name], session.finished
        self.decider.take_in(task, session.reports, report.rows, outcomes, done=done)
        return done

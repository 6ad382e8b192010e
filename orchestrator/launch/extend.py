"""A study that gained epochs: which of its runs go on from shorter ones that the store holds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.plan.trees import first_batch, tree_of
from orchestrator.store import Store, Trained
from trainables.configs.run import RunConfig, evaluation_interval, length, run_id, step_ends
from trainables.progress import with_best


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The shorter run that a run goes on from."""

    run: str
    step: int
    """Optimizer steps that it has made."""
    batches: int
    inherited: int
    """The last step whose evaluation the longer run would have had, too."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Extension:
    """Runs that have a shorter counterpart in the store."""

    origins: Mapping[str, Origin]
    """run_id → where it goes on from."""
    anew: Mapping[str, int]
    """Reason → runs that start anew for it."""

    @property
    def starts(self) -> dict[str, int]:
        """run_id → batches it has seen already."""
        return {name: origin.batches for name, origin in self.origins.items()}

    @property
    def line(self) -> str:
        """In one line; empty where nothing is extended."""
        steps = Counter(origin.step for origin in self.origins.values())
        parts = [
            f"{_runs(count)} continue{'s' if count == 1 else ''} from step {step}"
            for step, count in sorted(steps.items())
        ]
        for reason, count in self.anew.items():
            parts.append(f"{_runs(count)} start{'s' if count == 1 else ''} anew: {reason}")
        return "; ".join(parts)


NOTHING = Extension({}, {})
_NETWORK = "what is pruned, or a child, begins at its rewind point"
_REWOUND = "networks are rewound to a step that the shorter run has passed"
_STOPPED_EARLY = "where runs are stopped early, all begin at their first step"


def runs_folder(folder: Path) -> Path:
    """Where a study's folder has final states of runs."""
    return folder / "runs"


def find_extension(runs: Mapping[str, RunConfig], store: Store) -> Extension:
    """Which of these runs, none of which has begun, can go on from a shorter one.

    Args:
        runs: run_id → configuration.
    """
    trained = {run.run_id: run for run in store.trained_runs()}
    rewound = _rewound(runs)
    lengths = {(run.planned_epochs, run.planned_steps) for run in trained.values()}
    origins: dict[str, Origin] = {}
    anew: Counter[str] = Counter()
    for name, config in runs.items():
        found = [
            (_batches(shorter, trained[key]), shorter, trained[key])
            for key, shorter in _shorter(config, lengths)
            if key in trained and _batches(shorter, trained[key]) < _length(config, trained[key])
        ]
        if config.lottery is not None:
            anew[_NETWORK] += bool(found)
            continue
        found.sort(key=lambda one: -one[0])
        judged = [_judged(short, config, run, runs_folder(store.folder)) for _, short, run in found]
        usable = [one for one in judged if isinstance(one, Origin)]
        if usable and not _passes_over(usable[0], config, trained, rewound.get(name, ())):
            origins[name] = usable[0]
        elif judged:
            anew[_REWOUND if usable else str(judged[0])] += 1
    return Extension(origins, +anew)


def _rewound(runs: Mapping[str, RunConfig]) -> dict[str, list[RunConfig]]:
    """Dense network → those of the runs that its weights at the rewind step have a part in."""
    found: dict[str, list[RunConfig]] = {}
    for name, run in runs.items():
        node = run.lottery
        if node is not None and (node.after == "rewind" or node.prunes_at == "start"):
            found.setdefault(tree_of(name, run), []).append(run)
    return found


def _passes_over(
    origin: Origin, config: RunConfig, trained: Mapping[str, Trained], rewound: Iterable[RunConfig]
) -> bool:
    """Whether one of these networks starts from weights that would not be seen again."""
    per_epoch = _per_epoch(config, trained[origin.run])
    return any(0 < first_batch(run, per_epoch) <= origin.batches for run in rewound)


def continues(extension: Extension, names: Iterable[str], store: Store) -> dict[str, Any]:
    """What a pack's settings say of those of its runs that go on from others, as plain data."""
    found = {}
    for name in names:
        if (origin := extension.origins.get(name)) is not None:
            best: dict[str, float] = {}
            for metrics in store.metrics_of(origin.run, until=origin.inherited):
                best = with_best(best, metrics)
            found[name] = {
                "run": origin.run,
                "inherited": origin.inherited,
                "best": best,
                "seconds": origin.seconds,
            }
    return found


def unfinished_packs(
    store: Store, runs: Container[str], left: Container[str]
) -> dict[str, dict[str, Any]]:
    """pack_id → a pack that an earlier launch planned or began, and that still has work to do;
    ``joined`` are runs that came to it later.

    Args:
        runs: the study's.
        left: those that have not ended.
    """
    found = {}
    for pack in store.packs():
        if pack["status"] not in ("pending", "running"):
            continue
        decisions = store.decisions(pack["pack_id"])
        pack["joined"] = [run_id for decision in decisions for run_id in decision.join]
        lanes = [*pack["run_ids"], *pack["joined"]]
        if any(run_id in left for run_id in lanes) and all(run_id in runs for run_id in lanes):
            found[pack["pack_id"]] = pack
    return found


def extension_of(
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    *,
    on_demand: bool = False,
) -> Extension:
    """For the runs that are left and in no pack yet: where they go on from.

    Args:
        runs: the study's.
        on_demand: packs are made on the way, from runs that all begin at their first step:
            rules of early stopping decide on what they see.
    """
    packs = unfinished_packs(store, runs, left).values()
    taken = {name for pack in packs for name in pack["run_ids"]}
    found = find_extension({name: run for name, run in left.items() if name not in taken}, store)
    if not (on_demand and found.origins):
        return found
    anew = Counter(found.anew) + Counter({_STOPPED_EARLY: len(found.origins)})
    return Extension({}, anew)


def _shorter(
    config: RunConfig, lengths: Iterable[tuple[float | None, int | None]]
) -> Iterable[tuple[str, RunConfig]]:
    """The same configuration with each of the other lengths: (run_id, configuration)."""
    for epochs, steps in lengths:
        same = (config.train.epochs, config.train.steps) == (epochs, steps)
        if same or (epochs is None) == (steps is None):
            continue
        try:
            train = dataclasses.replace(config.train, epochs=epochs, steps=steps)
        except ValueError:  # batches that grow go with epochs only
            continue
        shorter = dataclasses.replace(config, train=train)
        yield run_id(shorter), shorter


def _batches(config: RunConfig, run: Trained) -> int:
    return run.examples // config.train.batch_size


def _per_epoch(config: RunConfig, run: Trained) -> int:
    return max(1, round(_batches(config, run) / run.epochs)) if run.epochs else 1


def _length(config: RunConfig, run: Trained) -> int:
    return length(config.train, _per_epoch(config, run))


def _judged(short: RunConfig, long: RunConfig, run: Trained, folder: Path) -> Origin | str:
    """Where ``long`` goes on from ``run``, or why it cannot."""
    if run.status == "diverged":
        return "the shorter run diverged"
    if run.reason == "target reached":
        return "the shorter run has reached its target"
    if not (folder / f"{run.run_id}.pt").is_file():
        return "the final state of the shorter run was not kept (execution.save)"
    # PyTorch, but only where there is something to go on from.
    from trainables.continuation import obstacle

    per_epoch, at = _per_epoch(short, run), _batches(short, run)
    why = obstacle(short, long, at, per_epoch)
    if why is not None:
        return why
    before = step_ends(short.train, per_epoch, at)[run.steps - 1]
    interval = evaluation_interval(short.train, per_epoch)
    on_grid = at // interval > before // interval
    return Origin(
        run=run.run_id,
        step=run.steps,
        batches=at,
        inherited=run.steps if on_grid else run.steps - 1,
        seconds=run.wall_seconds,
    )


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"

"""The runs of a study: those of its design, or those that its search has asked for so far."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.plan import unique_runs
from orchestrator.search.known import kept_suggestions
from orchestrator.spec.study import Study
from orchestrator.store import FINISHED, SETTLED, Store
from trainables.configs.function_run import Run, as_columns


def plan_runs(study: Study, store: Store) -> None:
    """Makes the study's runs the planned ones of the store; what is known already stays."""
    kept = kept_suggestions(study, store) if study.adaptive else []
    runs = {name: run for one in kept for name, run in one.runs.items()}
    if not study.adaptive:
        runs = unique_runs(study.runs())
    store.plan_runs((name, run.seed, as_columns(run)) for name, run in runs.items())
    store.add_suggestions([one.stored() for one in kept], [])


def planned_runs(study: Study, store: Store) -> dict[str, Run]:
    """run_id → run, of all that are planned."""
    if not study.adaptive:
        return unique_runs(study.runs())
    return {name: run for one in kept_suggestions(study, store) for name, run in one.runs.items()}


def left_of(runs: Mapping[str, Run], store: Store) -> dict[str, Run]:
    """Those of the runs that are not settled; failed ones are trained again."""
    statuses = store.statuses()
    return {name: run for name, run in runs.items() if statuses.get(name) not in SETTLED}


def unfinished(study: Study, store: Store) -> dict[str, Run]:
    """Those of all planned runs that this launch has still to train: none that failed in it."""
    statuses, runs = store.statuses(), planned_runs(study, store)
    return {name: run for name, run in runs.items() if statuses.get(name) not in FINISHED}


def suggestions_left(study: Study, store: Store) -> int:
    """How many configurations a searcher is still to be asked for."""
    if not study.adaptive:
        return 0
    return max(0, study.size - len(kept_suggestions(study, store)))


def is_on_demand(study: Study, store: Store) -> bool:
    """Whether packs are made on the way; also where one of them was and has not ended. Networks
    of a lottery need packs of whole trees, and runs of the other kind begin anew beside them."""
    if study.lottery:
        return False
    unfinished = [p["pack_id"] for p in store.packs() if p["status"] in ("pending", "running")]
    return (
        study.adaptive
        or bool(study.early_stopping)
        or any(store.decisions(name) for name in unfinished)
    )

"""A study's searcher, put to work: its source of runs knows what the store knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.launch.check import LaunchError, misfit
from orchestrator.plan.searched import sample_runs
from orchestrator.search.adaptive import AdaptiveSource, Asked
from orchestrator.search.known import check_space, kept_suggestions, warm_start
from orchestrator.search.searchers import make_advisor, missing_package
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.configs.function_run import Run, as_columns
from trainables.configs.run import RunConfig
from trainables.data import DataSet

_SAMPLE = 256


def check_search(study: Study) -> list[RunConfig]:
    """Configurations of the kind that the search will suggest, once it can be made.

    Raises:
        LaunchError: its package is missing, or it does not go with the study's space.
    """
    assert study.space is not None
    why = missing_package(study) or check_space(study.space)
    if why is not None:
        raise LaunchError(why)
    return [run for run in sample_runs(study, _SAMPLE) if isinstance(run, RunConfig)]


def make_source(
    study: Study,
    store: Store,
    data: Mapping[str, DataSet],
    *,
    training: frozenset[str],
    outstanding: int,
    begin: Callable[[Mapping[str, Run]], None] = lambda runs: None,
) -> AdaptiveSource:
    """The searcher as a source of runs.

    Args:
        training: runs in packs that go on.
        outstanding: suggestions that are out at the same time, at most.
        begin: is shown the runs of each further suggestion.

    Raises:
        SearchError: the searcher cannot be made.
    """
    kept = kept_suggestions(study, store)
    warm = warm_start(study, store, kept)

    def keep(one: Asked) -> None:
        columns = ((name, run.seed, as_columns(run)) for name, run in one.runs.items())
        store.add_suggestions([one.stored()], columns)
        begin(one.runs)

    advisor = make_advisor(study, warm)
    source = AdaptiveSource(
        study,
        advisor,
        keep=keep,
        outstanding=outstanding,
        known=kept,
        outcomes=store.outcomes(),
        training=training,
        asked=warm.asked,
        refuse=lambda run: misfit(run, data) if isinstance(run, RunConfig) else None,
    )
    source.recall(store.reports())
    return source

"""What a launch is about to do, in a line."""

from __future__ import annotations

from orchestrator.plan.memory import Memory
from orchestrator.plan.networks import counts_in_words, levels_of
from orchestrator.plan.searched import search_lanes
from orchestrator.plan.trees import kinds
from orchestrator.spec.searches import Optuna, Pbt
from orchestrator.spec.study import Study
from trainables.configs.base import Duration, Epochs, Steps
from trainables.configs.run import RunConfig
from trainables.ram import in_bytes


def study_in_words(study: Study, left: int, at_a_time: int) -> str:
    """Such as ``60 runs of search optuna (tpe), 16 at a time; early stopping: asha``.

    Args:
        left: runs that have not ended, where a search does not suggest them on the way.
        at_a_time: runs that train side by side, at most.
    """
    total = study.size * len(study.seeds)
    if isinstance(study.search, Pbt):
        members, every = study.search.population, duration_in_words(study.search.interval)
        populations = _count(len(study.seeds), "population")
        return f"{populations} of {members} members, which copy better ones every {every}"
    if study.lottery:
        return _lottery_in_words(study, left, at_a_time)
    if study.adaptive:
        what = search_in_words(study, at_a_time)
    else:
        some = _count(total, "run") if left == total else f"{left:,} of {_count(total, 'run')}"
        what = f"{some} of a {study.search.name} design, {min(left, at_a_time):,} at a time"
    rules = ", ".join(dict.fromkeys(rule.name for rule in study.early_stopping))
    return f"{what}; early stopping: {rules}" if rules else what


def _lottery_in_words(study: Study, left: int, at_a_time: int) -> str:
    """Such as ``15 networks (3 dense, 12 tickets) of a lottery of 4 levels, 3 at a time``."""
    runs = [run for run in study.runs() if isinstance(run, RunConfig)]
    all_of_them = _count(len(runs), "network")
    some = all_of_them if left == len(runs) else f"{left:,} of {all_of_them}"
    levels = _count(levels_of(study.procedures), "level")
    counts = counts_in_words(kinds(runs))
    return f"{some} ({counts}) of a lottery of {levels}, {min(left, at_a_time):,} at a time"


def search_in_words(study: Study, at_a_time: int) -> str:
    """Such as ``60 runs of search optuna (tpe), 16 at a time``."""
    how = f" ({study.search.sampler})" if isinstance(study.search, Optuna) else ""
    runs = study.size * len(study.seeds)
    return f"{runs:,} runs of search {study.search.name}{how}, {min(runs, at_a_time):,} at a time"


def at_a_time(study: Study, slots: int) -> int:
    """Runs of a search that are out at the same time, at most."""
    return search_lanes(study, slots) * slots


def duration_in_words(duration: Duration) -> str:
    """``2 epochs``, ``36 steps``, ``10 % of training``."""
    if isinstance(duration, Steps):
        return _count(duration.steps, "step")
    if isinstance(duration, Epochs):
        return "epoch" if duration.epochs == 1 else f"{duration.epochs:g} epochs"
    return f"{100 * duration:g} % of training"


def memory_in_words(expected: Memory | None) -> str:
    """Such as ``about 61 MiB a lane, 5.4 GiB a pack of 90 (modelled); 34 lanes fit in 2.1 GiB``."""
    if expected is None:
        return "not known: some runs have a model or data not seen yet"
    lane, total = in_bytes(expected.lane), in_bytes(expected.total)
    text = f"about {lane} a lane, {total} a pack of {expected.lanes:,} (modelled)"
    if expected.limit is None or expected.fit is None:
        return f"{text}, of a GPU"
    fits = _count(expected.fit, "lane") + (" fits" if expected.fit == 1 else " fit")
    text += f"; {fits} in {in_bytes(expected.limit)}"
    return text if expected.fit >= expected.lanes else f"{text}, so stacks will be narrower"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"

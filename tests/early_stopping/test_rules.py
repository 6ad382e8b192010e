"""What the rules decide: as Tune's own schedulers, and the same when made again from rows."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.early_stopping import Clock, Rules, make_rules
from orchestrator.spec.stopping_rules import Asha, Budget, Median, Patience, StoppingRule
from tests.early_stopping.lanes import BATCH, STEPS, Ask, asks, clocks, curves, played, row
from trainables.configs.base import Epochs, Steps

OF_LOSS: dict[str, Any] = {"metric": "valid/loss", "mode": "min"}


def _rules(losses: dict[str, list[float]], *rules: StoppingRule) -> Rules:
    return make_rules(rules, clocks(losses), elapsed=lambda: 0.0)


def _by_tune(scheduler: Any) -> Ask:
    """Tune's scheduler, told of real trials one by one as its controller does."""
    trials: dict[str, Trial] = {}

    def ask(run_id: str, step: int, value: float, ended: bool) -> str | None:
        if run_id not in trials:
            trials[run_id] = Trial("none", trial_id=run_id, stub=True)
            scheduler.on_trial_add(None, trials[run_id])
        result = {"step": step, "valid/loss": value}
        if ended:
            scheduler.on_trial_complete(None, trials[run_id], result)
            return None
        decision = scheduler.on_trial_result(None, trials[run_id], result)
        return "stop" if decision == TrialScheduler.STOP else None

    return ask


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("grace", "reduction"), [(1, 2.0), (2, 3.0), (3, 2.5), (1, 4.0)])
def test_asha_decides_as_tunes_fed_trial_by_trial(grace: int, reduction: float, seed: int) -> None:
    losses = curves(37, 29, seed)
    # Some end by themselves, right at a rung: they count there, too.
    for index, run_id in enumerate(sorted(losses)):
        if index % 3 == 0:
            del losses[run_id][grace * (1, 2, 3, 4, 9)[index % 5] :]
    rule = Asha(grace=Steps(steps=grace * STEPS), reduction=reduction, **OF_LOSS)
    theirs = AsyncHyperBandScheduler(
        time_attr="step",
        max_t=29 * STEPS,
        grace_period=grace * STEPS,
        reduction_factor=reduction,
        **OF_LOSS,
    )
    stopped = played(losses, seed, asks(_rules(losses, rule)))
    assert stopped == played(losses, seed, _by_tune(theirs))
    assert 10 < len(stopped) < 37


@pytest.mark.parametrize("seed", range(3))
def test_median_decides_as_tunes_fed_trial_by_trial(seed: int) -> None:
    losses = curves(23, 13, seed)
    rule = Median(grace=Steps(steps=2 * STEPS), min_runs=5, **OF_LOSS)
    theirs = MedianStoppingRule(
        time_attr="step",
        grace_period=2 * STEPS,
        min_samples_required=5,
        min_time_slice=1e9,
        **OF_LOSS,
    )
    # Without a controller: no trial waits for another to pause.
    theirs._on_insufficient_samples = lambda *_: TrialScheduler.CONTINUE  # type: ignore
    stopped = played(losses, seed, asks(_rules(losses, rule)))
    assert stopped == played(losses, seed, _by_tune(theirs))
    assert 3 < len(stopped) < 23


def test_brackets_are_tunes_and_their_choice_is_the_runs_own() -> None:
    losses = curves(1000, 9, 3)
    rule = Asha(grace=Steps(steps=STEPS), reduction=2.0, brackets=3, **OF_LOSS)

    def brackets(order: list[str], noise: int) -> dict[str, int]:
        rules = _rules(losses, rule)
        np.random.seed(noise)
        before = np.random.get_state()[1]
        for run_id in order:
            rules.observe(row(run_id, STEPS, 0.5), ended=False)
        assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[arg-type]
        scheduler = rules._rules[0][0]._scheduler  # type: ignore[attr-defined]
        numbers = {id(bracket): s for s, bracket in enumerate(scheduler._brackets)}
        return {r: numbers[id(scheduler._trial_info[r])] for r in order}

    first = brackets(sorted(losses), 0)
    assert brackets(sorted(losses, reverse=True), 1) == first
    counts = Counter(first.values())
    weights = np.exp([0.0, -1.0, -2.0])
    for s, share in enumerate(weights / weights.sum()):
        assert counts[s] / 1000 == pytest.approx(share, abs=0.05)


def test_hyperband_decides_as_tunes_with_the_same_brackets() -> None:
    losses = curves(37, 29, 5)
    rule = Asha(grace=Steps(steps=STEPS), reduction=3.0, brackets=3, **OF_LOSS)
    ours = _rules(losses, rule)
    theirs = AsyncHyperBandScheduler(
        time_attr="step",
        max_t=29 * STEPS,
        grace_period=STEPS,
        reduction_factor=3.0,
        brackets=3,
        **OF_LOSS,
    )
    ask = _by_tune(theirs)

    def ask_in_the_same_bracket(run_id: str, step: int, value: float, ended: bool) -> Any:
        def put(_: Any, trial: Trial) -> None:
            theirs._trial_info[trial.trial_id] = theirs._brackets[chosen[run_id]]

        theirs.on_trial_add = put  # type: ignore[method-assign]
        return ask(run_id, step, value, ended)

    chosen: dict[str, int] = {}

    def ask_ours(run_id: str, step: int, value: float, ended: bool) -> Any:
        reason = ours.observe(row(run_id, step, value), ended=ended)
        if step == STEPS:
            scheduler = ours._rules[0][0]._scheduler  # type: ignore[attr-defined]
            chosen[run_id] = scheduler._brackets.index(scheduler._trial_info[run_id])
        return reason

    stopped = played(losses, 5, ask_ours)
    assert stopped == played(losses, 5, ask_in_the_same_bracket)
    assert set(chosen.values()) == {0, 1, 2}


EVERY_RULE = [
    Asha(grace=Steps(steps=STEPS), reduction=2.0, brackets=2, **OF_LOSS),
    Median(grace=Steps(steps=2 * STEPS), **OF_LOSS),
    Patience(evaluations=4, min_delta=0.01, **OF_LOSS),
    Budget(run_seconds=1e9, cpu_hours=1e9),
]


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.name)
@pytest.mark.parametrize("cut", [1, 50, 150])
def test_rules_made_again_from_rows_decide_as_undisturbed_ones(
    rule: StoppingRule, cut: int
) -> None:
    """The rows come back run after run, not as they came, and the last ones are replayed."""
    losses = curves(31, 17, 11)
    undisturbed = asks(_rules(losses, rule))
    heard: list[dict[str, Any]] = []
    statuses: dict[str, str] = {}

    def ask(run_id: str, step: int, value: float, ended: bool) -> str | None:
        reason = undisturbed(run_id, step, value, ended)
        heard.append(row(run_id, step, value))
        if len(heard) <= cut:
            statuses[run_id] = "completed" if ended else "stopped" if reason else "running"
        answers.append(reason)
        return reason

    answers: list[str | None] = []
    stopped = played(losses, 11, ask)
    assert stopped or isinstance(rule, Budget)
    again = _rules(losses, rule)
    order = sorted(heard[:cut], key=lambda one: (one["run_id"], one["step"]))
    again.rebuild(order, statuses)
    lasts = {run_id: len(values) * STEPS for run_id, values in losses.items()}
    replayed = [again.observe(one, ended=False) for one in heard[max(0, cut - 20) : cut]]
    assert replayed == [None] * len(replayed)
    found = [again.observe(one, ended=one["step"] == lasts[one["run_id"]]) for one in heard[cut:]]
    assert found == answers[cut:]


def test_reasons_are_for_people() -> None:
    losses = {name: [1.0] * 9 for name in "abcdefg"}
    asha = _rules(losses, Asha(grace=Steps(steps=STEPS), max=Steps(steps=4 * STEPS), **OF_LOSS))
    for value, name in enumerate("abc"):
        assert asha.observe(row(name, STEPS, value / 10), ended=False) == (
            None if name == "a" else f"asha: not among the best third at step {STEPS}"
        )
    assert asha.observe(row("a", 28, 0.1), ended=False) == "asha: max is reached at step 28"
    odd = _rules(losses, Asha(grace=Steps(steps=STEPS), reduction=2.5, **OF_LOSS))
    odd.observe(row("a", STEPS, 0.1), ended=False)
    assert odd.observe(row("b", STEPS, 0.2), ended=False) == (
        f"asha: not among the best 1/2.5 at step {STEPS}"
    )
    median = _rules(losses, Median(grace=Steps(steps=STEPS), min_runs=2, **OF_LOSS))
    for name, value in (("a", 0.1), ("b", 0.2)):
        assert median.observe(row(name, STEPS, value), ended=False) is None
    assert median.observe(row("c", STEPS, 0.9), ended=False) == (
        f"median: worse than the median of the other runs at step {STEPS}"
    )


def test_patience_counts_evaluations_without_an_improvement() -> None:
    rule = Patience(evaluations=2, min_delta=0.1, metric="valid/loss", mode="min")
    rules = _rules({"a": [0.0] * 9}, rule)
    found = [
        rules.observe(row("a", step, value), ended=False)
        for step, value in enumerate([1.0, 0.95, 0.85, 0.84, 0.76], 1)
    ]
    assert found == [
        *(None, None, None, None),
        "patience: valid/loss has not improved for 2 evaluations at step 5",
    ]
    up = _rules({"a": [0.0] * 9}, Patience(evaluations=1, metric="valid/loss", mode="max"))
    assert up.observe(row("a", 1, 0.5), ended=False) is None
    assert up.observe(row("a", 2, 0.6), ended=False) is None
    assert up.observe(row("a", 3, 0.6), ended=True) is None


def test_budgets_of_runs_and_of_the_study() -> None:
    now = [0.0]

    def made(**limits: float) -> Rules:
        return make_rules(
            [Budget(**limits)], {}, elapsed=lambda: now[0], gpus=0.5, cpus=3.0, other=Clock()
        )

    own = made(run_seconds=10)
    assert own.observe(row("a", 1, 0.1, seconds=9.5), ended=False) is None
    assert own.observe(row("a", 2, 0.1, seconds=10.5), ended=False) == (
        "budget: 10 s of training are used up at step 2"
    )
    assert own.used_up() is None
    wall = made(hours=2)
    now[0] = 7199.0
    assert wall.used_up() is None
    now[0] = 7200.0
    assert wall.used_up() == "budget: 2 hours are used up"
    for limits, said in (({"gpu_hours": 1.0}, "1 GPU-hours"), ({"cpu_hours": 6.0}, "6 CPU-hours")):
        rules = made(**limits)
        rules.observe(row("a", 1, 0.1, seconds=3600), ended=False)
        rules.observe(row("b", 1, 0.1, seconds=1800), ended=False)
        assert rules.used_up() is None
        rules.observe(row("b", 2, 0.1, seconds=3600), ended=False)
        assert rules.used_up() == f"budget: {said} are used up"


def test_runs_with_other_batches_meet_at_rungs_in_epochs() -> None:
    rule = Asha(grace=Epochs(epochs=1.0), reduction=2.0, **OF_LOSS)
    small = Clock(batch_size=3, per_epoch=30, total=300)
    large = Clock(batch_size=9, per_epoch=10, total=100)
    rules = make_rules([rule], {"small": small, "large": large}, elapsed=lambda: 0.0)
    first = row("small", 30, 0.1) | {"examples": 90}
    assert rules.observe(first, ended=False) is None
    before = row("large", 9, 0.9) | {"examples": 81}
    assert rules.observe(before, ended=False) is None
    there = row("large", 10, 0.9) | {"examples": 90}
    assert rules.observe(there, ended=False) is not None


def test_what_is_no_number_is_not_compared() -> None:
    losses = {name: [1.0] * 9 for name in "abcd"}
    for rule in EVERY_RULE[:3]:
        rules = _rules(losses, rule)
        for step in range(1, 9):
            bad = row("a", step * STEPS, random.choice([float("nan"), float("inf")]))
            assert rules.observe(bad, ended=False) is None
    rules = _rules(losses, EVERY_RULE[0])
    for name in "abc":
        rules.observe(row(name, STEPS, float("nan")), ended=True)
    assert rules.observe(row("d", STEPS, 3.0), ended=False) is None


def test_a_clock_counts_batches_of_the_first_size() -> None:
    clock = Clock(batch_size=BATCH, per_epoch=11, total=77)
    assert clock.at(row("a", 7, 0.1)) == 7
    assert clock.at(row("a", 7, 0.1) | {"examples": 50}) == 10
    assert [clock.steps(d) for d in (0.5, Steps(steps=3), Epochs(epochs=2.0), 1e-9)] == [
        *(38, 3, 22, 1)
    ]
    assert (clock.end(None), clock.end(Steps(steps=500)), clock.end(0.1)) == (77, 77, 8)
    assert Clock().at({"step": 5}) == 5

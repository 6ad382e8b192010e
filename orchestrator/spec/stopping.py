"""``early_stopping``: one rule or a list of them, with metric and mode filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

from orchestrator.spec.checks import unmeasured
from orchestrator.spec.errors import Problem, listed, shown, suggestion
from orchestrator.spec.own_training import own_objective
from orchestrator.spec.sections import Fault, checked
from orchestrator.spec.stopping_rules import Asha, Budget, Median, Ranked, StoppingRule
from orchestrator.spec.study import OwnObjective
from orchestrator.spec.tree import Node, Path, plain
from orchestrator.spec.varied import Varied
from trainables.configs import HIGHER_IS_BETTER, Metric, Train
from trainables.configs.base import Duration, Epochs, Steps

SECTION = "early_stopping"


def parse_stopping(
    node: Node | None, objective: OwnObjective | None, *, own: bool
) -> tuple[tuple[StoppingRule, ...], list[Problem]]:
    """The rules, and what is wrong with them as they stand.

    Args:
        objective: metric and mode where a rule has none; None where it is wrong itself.
        own: the study has a ``trainable``.
    """
    if node is None:
        return (), []
    parts = _parts(node)
    if not parts:
        return (), [_problem(node, (), "must be a rule or a list of rules, got []")]
    rules: list[StoppingRule] = []
    problems: list[Problem] = []
    for path, part in parts:
        found: Any = checked(SECTION, plain(part))
        if not isinstance(found, list):
            found, faults = _resolved(found, plain(part), objective, own=own)
            faults += _repeated(found, rules)
            rules.append(found)
        else:
            faults = found
        located = (replace(fault, path=(*path, *fault.path)) for fault in faults)
        problems += [Varied(SECTION, node, []).located((), fault) for fault in located]
    return tuple(rules), problems


def _parts(node: Node) -> list[tuple[Path, Node]]:
    if isinstance(node.content, list):
        return [((index,), part) for index, part in enumerate(node.content)]
    return [((), node)]


def _problem(node: Node, path: Path, message: str) -> Problem:
    return Varied(SECTION, node, []).located((), Fault(path, message))


def _repeated(rule: StoppingRule, before: Sequence[StoppingRule]) -> list[Fault]:
    for other in before:
        if type(other) is type(rule) and getattr(other, "metric", "") == getattr(
            rule, "metric", ""
        ):
            message = f"{rule.name} occurs a second time; write it once, or for another metric"
            return [Fault(("name",), message)]
    return []


def _resolved(
    rule: StoppingRule, value: dict[str, Any], objective: OwnObjective | None, *, own: bool
) -> tuple[StoppingRule, list[Fault]]:
    """The rule with its metric and mode, and what is wrong with these and with its durations."""
    faults = list(_durations_of_own(rule, value)) if own else []
    if isinstance(rule, Budget):
        return rule, faults
    known = get_args(Metric)
    if rule.metric is not None and not own and rule.metric not in known:
        close = suggestion(rule.metric, known)
        message = f"must be one of {listed(known)}, got {shown(rule.metric)}{close}"
        return rule, [*faults, Fault(("metric",), message)]
    if objective is None:
        return rule, faults
    metric = rule.metric or objective.metric
    mode = rule.mode or _mode(metric, objective, own=own)
    if mode is None:
        faults.append(Fault(("mode",), f"is required for {metric}: one of min or max", "missing"))
    return replace(rule, metric=metric, mode=mode), faults


def _mode(metric: str, objective: OwnObjective, *, own: bool) -> Any:
    if metric == objective.metric:
        return objective.mode
    if own:
        return own_objective({"metric": metric}).get("mode")
    return "max" if metric in HIGHER_IS_BETTER else "min"


def _durations_of_own(rule: StoppingRule, value: dict[str, Any]) -> Iterator[Fault]:
    """Of a training of the user's own nothing is known but the steps that it reports."""
    for key in ("grace", "max"):
        if key == "grace" and not isinstance(rule, Asha | Median):
            continue
        if key == "max" and not isinstance(rule, Asha):
            continue
        if value.get(key) is None:
            message = "is required with trainable: {steps: n}, as its functions report steps"
            yield Fault((key,), message, "missing")
        elif not isinstance(getattr(rule, key), Steps):
            message = f"must be {{steps: n}} with trainable, got {shown(value[key])}"
            yield Fault((key,), message)


def check_stopping(
    node: Node | None, rules: Sequence[StoppingRule], data: Iterable[Any], trains: Iterable[Train]
) -> list[Problem]:
    """What does not go with what Regatta trains: metrics that no run has, grace without end."""
    if node is None:
        return []
    pairs = [(one, train) for train in trains for one in data]
    problems = []
    for (path, _), rule in zip(_parts(node), rules, strict=True):
        if isinstance(rule, Budget):
            continue
        reasons = {unmeasured(str(rule.metric), one, train) for one, train in pairs} - {None}
        where = (*path, "metric")
        problems += [_problem(node, where, str(reason)) for reason in sorted(map(str, reasons))]
        if (why := _never(rule, [train for _, train in pairs])) is not None:
            problems.append(_problem(node, (*path, "grace"), why))
    return problems


def _never(rule: Ranked, trains: Sequence[Train]) -> str | None:
    """Why no run would ever be stopped, where that is known without the data."""
    if not isinstance(rule, Asha | Median):
        return None
    shares = [_share(rule.grace, train) for train in trains]
    if any(share is None or share < 1 for share in shares):
        return None
    return "lasts as long as every run's training, so that none would ever be stopped"


def _share(duration: Duration, train: Train) -> float | None:
    """A duration as a share of training; None where the data must be known for that."""
    if isinstance(duration, Steps):
        return duration.steps / train.steps if train.steps is not None else None
    if isinstance(duration, Epochs):
        return duration.epochs / train.epochs if train.epochs is not None else None
    return duration

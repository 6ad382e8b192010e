"""A study file → a validated study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.spec.axes import Axis, parse_axes
from orchestrator.spec.combinations import Configs, Rows, assembled, cross_checked, split, validated
from orchestrator.spec.errors import Problem, SpecError, listed, shown, suggestion
from orchestrator.spec.fixed import fixed_sections, one_objective, unmeasured_objectives
from orchestrator.spec.lotteries import different, expanded, not_together
from orchestrator.spec.overrides import overridden, with_default
from orchestrator.spec.own_training import own_axis, own_key, own_runs
from orchestrator.spec.planning import Planned, planned
from orchestrator.spec.populations import axis_problems, populated
from orchestrator.spec.searches import Optuna, Pbt, Searcher
from orchestrator.spec.sections import FIXED, NOT_YET, SWEPT
from orchestrator.spec.seeds import parse_seeds
from orchestrator.spec.stopping import check_stopping, parse_stopping
from orchestrator.spec.study import Study
from orchestrator.spec.tree import Node, find, plain
from orchestrator.spec.varied import Varied
from orchestrator.spec.yaml_source import read_file
from trainables.configs import Procedure, Run

STUDY_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
KEYS = ("study", *SWEPT, "seeds", "sweep", "search", "early_stopping", *FIXED)
OWN_TRAINING_KEYS = (
    *("study", "trainable", "config", "seeds", "sweep", "search", "early_stopping"),
    *FIXED,
)


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> Study:
    """Reads and validates a study; ``overrides`` are ``path=value`` and win over the file.

    Every configuration of the design is validated, of an adaptive search's space a sample; no
    data is read, no user code imported.

    Raises:
        SpecError: with every problem that could be told apart, each with its place.
    """
    text, root = read_file(path)
    root = overridden(_mapping(root), overrides)
    own = _child(root, "trainable")
    axes, wrong_axes = parse_axes(_child(root, "sweep"), wrong_path=own_axis if own else None)
    seeds, seed_problems = parse_seeds(_child(root, "seeds"))
    fixed, fixed_problems = fixed_sections(root)
    stopping = _child(root, "early_stopping")
    rules, rule_problems = parse_stopping(
        stopping, next(iter(fixed["objectives"]), None), own=own is not None
    )
    fixed["early_stopping"] = rules
    problems = [*_top_level(root), *wrong_axes, *seed_problems, *fixed_problems, *rule_problems]
    plan = planned(root, axes, len(seeds), problems)
    problems += plan.problems + one_objective(root, plan.search, fixed["objectives"])
    if isinstance(plan.search, Pbt):
        problems += axis_problems(root, axes, own=own is not None)
    procedures: tuple[Procedure, ...] = ()
    runs: Sequence[Run]
    if own is None:
        runs, procedures, run_problems = _trained(root, plan, fixed, len(seeds), problems)
    else:
        config = _child(root, "config") or Node({}, own.place)
        runs, run_problems = own_runs(own, config, plan.design.axes, plan.design.rows)
    problems += run_problems
    if problems:
        raise SpecError(problems)
    adaptive = isinstance(plan.search, Optuna | Searcher)
    return Study(
        name=plain(find(root, ["study"])),
        path=Path(path),
        text=text,
        overrides=tuple(overrides),
        axes={
            axis.name: tuple(map(plain, axis.values))
            for axis in (plan.axes if adaptive else plan.design.axes)
            if axis.sets
        },
        seeds=seeds,
        configurations=() if adaptive else tuple(runs),
        procedures=procedures,
        objective=fixed["objectives"][0],
        trainable=None if own is None else plain(own),
        search=plan.search,
        space=plan.space if axes else None,
        design=plan.design.line,
        **fixed,
    )


def _trained(
    root: Node, plan: Planned, fixed: dict[str, Any], seeds: int, found: Sequence[Problem]
) -> tuple[Sequence[Run], tuple[Procedure, ...], list[Problem]]:
    """The configurations that Regatta trains, their procedures, and what is wrong with them.

    Args:
        seeds: how many there are.
        found: problems that the study has already; what depends on all of it is then not looked at.
    """
    design = plan.design
    rows = split(design.axes, design.rows, SWEPT)
    sections = _sections(root, design.axes, rows)
    missing = _missing(root, design.axes)
    unclear = _broken(root, design.axes) | {problem.path for problem in missing}
    configs, section_problems = _validated(sections, unclear)
    problems = missing + section_problems
    if not problems and not found:
        problems = (
            cross_checked(sections, configs, rows)
            or unmeasured_objectives(root, fixed["objectives"], configs, rows)
            or check_stopping(
                _child(root, "early_stopping"),
                fixed["early_stopping"],
                configs["data"].values(),
                configs["train"].values(),
            )
        )
    procedures = different(configs.get("procedure", {}).values())
    problems = problems or [*not_together(root, plan.search, fixed, procedures)]
    if problems or found:
        return [], (), problems
    points = assembled(rows, configs)
    if isinstance(plan.search, Pbt):
        dense = [run for run, _ in points]
        runs, problems = populated(root, plan.search, plan.axes, dense, fixed)
    else:
        runs, problems = expanded(root, points, seeds)
    return runs, procedures, problems


def _mapping(root: Node) -> Node:
    if not isinstance(root.content, dict):
        message = f"a study must be a mapping, such as study: my-study, got {shown(plain(root))}"
        raise SpecError([Problem(root.place, "", message)])
    return root


def _child(root: Node, key: str) -> Node | None:
    assert isinstance(root.content, dict)
    return root.content.get(key)


def _top_level(root: Node) -> list[Problem]:
    """Unknown keys and the study's name."""
    assert isinstance(root.content, dict)
    own = "trainable" in root.content
    keys = OWN_TRAINING_KEYS if own else KEYS
    problems = []
    for key, node in root.content.items():
        if key in keys:
            continue
        wrong = "not available in this version" if key in NOT_YET else "unknown key"
        message = own_key(key, own=own) or (
            f"{wrong}; a study takes {listed(keys, last='and')}{suggestion(key, keys)}"
        )
        problems.append(Problem(node.key or node.place, key, message))
    allowed = "text of letters, digits, '.', '_' and '-', at most 100, not starting with '.'"
    node = root.content.get("study", Node(None, root.place))
    if "study" not in root.content:
        problems.append(Problem(root.place, "study", f"is required: the study's name, {allowed}"))
    elif not isinstance(node.content, str) or not re.fullmatch(STUDY_NAME, node.content):
        got = shown(plain(node))
        hint = f"; write '{got}'" if isinstance(node.content, int | float) else ""
        problems.append(Problem(node.place, "study", f"must be {allowed}, got {got}{hint}"))
    return problems


def _broken(root: Node, axes: list[Axis]) -> set[str]:
    """The sections that an axis was meant to reach, had it been right."""
    sweep = _child(root, "sweep")
    names = sweep.content if sweep and isinstance(sweep.content, dict) else {}
    right = {axis.name for axis in axes}
    return {name.split(".")[0] for name in names if name not in right}


def _missing(root: Node, axes: list[Axis]) -> list[Problem]:
    """The sections that have no default, are not written and are not swept either."""
    examples = {"optimizer": "{name: sgd, lr: 0.1}", "train": "{epochs: 10}"}
    swept = {axis.path[0] for axis in axes} | _broken(root, axes)
    return [
        Problem(root.place, name, f"is required: a mapping, such as {example}")
        for name, example in examples.items()
        if name not in swept and _child(root, name) is None
    ]


def _sections(root: Node, axes: list[Axis], rows: Rows) -> dict[str, Varied]:
    sections = {}
    for name in SWEPT:
        base = _child(with_default(root, name, root.place), name)
        reaching = [axis for axis in axes if axis.path[0] == name]
        sections[name] = Varied(name, base or Node({}, root.place), reaching, rows.choices(name))
    return sections


def _validated(
    sections: dict[str, Varied], unclear: set[str]
) -> tuple[dict[str, Configs], list[Problem]]:
    configs: dict[str, Configs] = {}
    problems: list[Problem] = []
    for name, section in sections.items():
        if name not in unclear:
            configs[name], found = validated(section)
            problems += found
    return configs, problems

"""Base configuration × axes → run configurations, validated section by section.

A section is validated once for each combination of the axes that reach into it, so that
100,000 runs that vary in five sections cost a few hundred validations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.spec.axes import Axis
from orchestrator.spec.checks import CHECKS, Finding
from orchestrator.spec.errors import Place, Problem, shown
from orchestrator.spec.sections import SWEPT, Fault, checked
from orchestrator.spec.tree import NotAMappingError, plain
from orchestrator.spec.varied import Choice, Varied
from trainables.configs import RunConfig

MAX_FAILURES = 1000
"""A section is given up after so many combinations that are wrong."""

Configs = dict[Choice, Any]
"""For each combination of a section's axes, its configuration."""


def validated(
    section: Varied, check: Callable[[str, Any], Any] = checked
) -> tuple[Configs, list[Problem]]:
    """The section's configurations, and the different problems of those that are none.

    Args:
        check: the section's name and its value as plain data → a configuration, or faults.
    """
    configs: Configs = {}
    problems: dict[tuple[Place, str], Problem] = {}
    first_with: dict[str, Choice] = {}
    failures = 0
    for choice in section.choices():
        result = _configuration(section, choice, check)
        if not isinstance(result, list):
            configs[choice] = result
            result = _repeated(section, choice, first_with.setdefault(repr(result), choice))
        for fault in result:
            problem = section.located(choice, fault)
            problems.setdefault((problem.place, problem.path), problem)
        failures += bool(result)
        if failures >= MAX_FAILURES:
            break
    return configs, list(problems.values())


def _configuration(section: Varied, choice: Choice, check: Callable[[str, Any], Any]) -> Any:
    try:
        value = plain(section.node(choice))
    except NotAMappingError as error:
        path, found = error.args
        message = f"must be a mapping where a longer path leads through it, got {shown(found)}"
        return [Fault(path, message, "through")]
    return check(section.name, value)


def _repeated(section: Varied, choice: Choice, first: Choice) -> list[Fault]:
    """The value that gives a configuration that there is already."""
    for axis, index, earlier in zip(section.axes, choice, first, strict=True):
        if index != earlier:
            now, before = (shown(plain(axis.values[i])) for i in (index, earlier))
            message = f"gives the same runs as {before}, got {now}; values must be distinct"
            return [Fault(axis.path[1:], message)]
    return []


def cross_checked(sections: dict[str, Varied], configs: dict[str, Configs]) -> list[Problem]:
    """What the checks between two sections find, over all their combinations."""
    problems: dict[tuple[Place, str], Problem] = {}
    for first, second, check in CHECKS:
        pairs = itertools.product(configs[first].items(), configs[second].items())
        for (choice, config), (other_choice, other) in pairs:
            if (finding := check(config, other)) is not None:
                problem = _between(sections, {first: choice, second: other_choice}, finding)
                problems.setdefault((problem.place, problem.path), problem)
    return list(problems.values())


def _between(sections: dict[str, Varied], chosen: dict[str, Choice], finding: Finding) -> Problem:
    """The finding, located in its section; axes of the other section are named with it."""
    owner, *path = finding.path
    assert isinstance(owner, str)
    also = [
        text
        for name, section in sections.items()
        if name in chosen and name != owner
        for text in section.combination(
            chosen[name], [axis for axis in section.axes if _concerns(axis, finding.related)]
        )
    ]
    fault = Fault(tuple(path), finding.message, finding.kind)
    return sections[owner].located(chosen[owner], fault, also)


def _concerns(axis: Axis, path: tuple[str, ...]) -> bool:
    return path[: len(axis.path)] == axis.path


def assembled(axes: Sequence[Axis], configs: dict[str, Configs]) -> list[RunConfig]:
    """The product of the axes, the last fastest, each combination with seed 0."""
    numbers = {
        section: [i for i, axis in enumerate(axes) if axis.path[0] == section] for section in SWEPT
    }
    return [
        RunConfig(
            **{
                section: configs[section][tuple(choice[i] for i in mine)]
                for section, mine in numbers.items()
            }
        )
        for choice in itertools.product(*(range(len(axis.values)) for axis in axes))
    ]

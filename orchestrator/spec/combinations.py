"""Base configuration × axes → run configurations, validated section by section.

A section is validated once for each combination of the axes that reach into it, so that
100,000 runs that vary in five sections cost a few hundred validations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.axes import Axis
from orchestrator.spec.checks import CHECKS, Finding
from orchestrator.spec.errors import Place, Problem, shown
from orchestrator.spec.sections import SWEPT, Fault, checked, run_of
from orchestrator.spec.tree import NotAMappingError, plain
from orchestrator.spec.varied import Choice, Varied
from trainables.configs import Procedure, RunConfig

MAX_FAILURES = 1000
"""A section is given up after so many combinations that are wrong."""

Configs = dict[Choice, Any]
"""For each combination of a section's axes, its configuration."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The points of a design, section by section."""

    by_section: dict[str, list[Choice]]

    def choices(self, section: str) -> list[Choice]:
        """Those that occur, each once."""
        return list(dict.fromkeys(self.by_section[section]))

    def pairs(self, first: str, second: str) -> Iterable[tuple[Choice, Choice]]:
        """Those of two sections that occur together, each once."""
        return dict.fromkeys(zip(self.by_section[first], self.by_section[second], strict=True))


def split(axes: Sequence[Axis], rows: Sequence[Choice], sections: Iterable[str]) -> Rows:
    """The points' indices by the sections that their axes reach into."""
    numbers = {
        section: [i for i, axis in enumerate(axes) if axis.path[0] == section]
        for section in sections
    }
    return Rows(
        {
            section: [tuple([row[i] for i in mine]) for row in rows]
            for section, mine in numbers.items()
        }
    )


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
    for choice in section.choices:
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
    """The value in a list that gives, all else equal, a configuration that there is already."""
    chosen = zip(section.axes, choice, first, strict=True)
    differing = [(axis, (a, b)) for axis, a, b in chosen if a != b]
    if len(differing) != 1:
        return []
    axis, (index, earlier) = differing[0]
    if not axis.listed or index is None or earlier is None:
        return []
    now, before = (shown(plain(axis.values[i])) for i in (index, earlier))
    message = f"gives the same runs as {before}, got {now}; values must be distinct"
    return [Fault(axis.path[1:], message)]


def cross_checked(
    sections: dict[str, Varied], configs: dict[str, Configs], rows: Rows
) -> list[Problem]:
    """What the checks between two sections find, over all combinations that occur."""
    problems: dict[tuple[Place, str], Problem] = {}
    for first, second, check in CHECKS:
        for choice, other_choice in rows.pairs(first, second):
            config, other = configs[first][choice], configs[second][other_choice]
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


def assembled(rows: Rows, configs: dict[str, Configs]) -> list[tuple[RunConfig, Procedure]]:
    """The points of the design: a configuration with seed 0, and what is done with it."""
    columns = [
        [configs[section][choice] for choice in rows.by_section[section]] for section in SWEPT
    ]
    points = (dict(zip(SWEPT, parts, strict=True)) for parts in zip(*columns, strict=True))
    return [(run_of(one), one["procedure"]) for one in points]

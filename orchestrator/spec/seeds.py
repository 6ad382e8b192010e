"""The ``seeds`` of a study: how many, or which."""

from __future__ import annotations

from orchestrator.spec.axes import MAX_RUNS
from orchestrator.spec.errors import Problem, shown
from orchestrator.spec.tree import Node, plain

ALLOWED = "a whole number from 1 to 1,000,000, or a list of different whole numbers, at least 0"


def parse_seeds(node: Node | None) -> tuple[tuple[int, ...], list[Problem]]:
    """The seeds (``n`` means 0 … n − 1; one where nothing is written), and what is wrong."""
    if node is None:
        return (0,), []
    content = node.content
    if isinstance(content, list) and content:
        return _listed(content)
    if isinstance(content, int) and not isinstance(content, bool) and 1 <= content <= MAX_RUNS:
        return tuple(range(content)), []
    return (), [Problem(node.place, "seeds", f"must be {ALLOWED}, got {shown(plain(node))}")]


def _listed(nodes: list[Node]) -> tuple[tuple[int, ...], list[Problem]]:
    seeds: dict[int, None] = {}
    problems = []
    for node in nodes:
        seed = node.content
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            message = f"must be a whole number, at least 0, got {shown(plain(node))}"
            problems.append(Problem(node.place, "seeds", message))
        elif seed in seeds:
            message = f"the seed {seed} occurs a second time; seeds must be distinct"
            problems.append(Problem(node.place, "seeds", message))
        else:
            seeds[seed] = None
    return tuple(seeds), problems

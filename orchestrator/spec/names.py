"""Names of paths in ties, conditions, constraints and first points: whole, or their last keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.spec.errors import listed
from orchestrator.spec.sections import SWEPT, keys_of
from orchestrator.spec.tree import Node


class NameProblemError(Exception):
    """Why a name means no path, or several."""


@dataclass(frozen=True, slots=True)
class Names:
    """The paths of a study."""

    axes: tuple[str, ...]
    written: tuple[str, ...]
    possible: tuple[str, ...]
    """Keys that some form of a section takes: they may be at their default."""

    def path(self, name: str) -> str:
        """The path that ``name`` means: itself, or the one path that ends in it.

        Axes are looked at first, then what is or may be written.

        Raises:
            NameProblemError: there is none, or more than one.
        """
        known = (*self.axes, *self.written, *self.possible)
        if any(name == path or name.startswith(f"{path}.") for path in known):
            return name
        for paths in (self.axes, (*self.written, *self.possible)):
            found = list(dict.fromkeys(path for path in paths if path.endswith(f".{name}")))
            if len(found) > 1:
                raise NameProblemError(f"{name} may be {listed(found)}; write the whole path")
            if found:
                return found[0]
        last_keys = {path.rpartition(".")[2]: path for path in reversed(known)}
        close = difflib.get_close_matches(name, [*known, *last_keys], n=1)
        hint = f"; did you mean {last_keys.get(close[0], close[0])}?" if close else ""
        raise NameProblemError(f"there is no path {name}{hint}")


def names_of(root: Node, axes: Sequence[str], *, own: bool) -> Names:
    """The names of a study's paths; ``axes`` are those of the sweep."""
    sections = ("config",) if own else SWEPT
    assert isinstance(root.content, dict)
    written = [
        path
        for section in sections
        if section in root.content
        for path in _paths(root.content[section], section)
    ]
    possible = [] if own else [f"{name}.{key}" for name in SWEPT for key in keys_of(name)]
    return Names(tuple(axes), tuple(written), tuple(possible))


def _paths(node: Node, above: str) -> Iterator[str]:
    """The paths below a mapping, those of mappings included."""
    if isinstance(node.content, dict):
        for key, child in node.content.items():
            yield f"{above}.{key}"
            yield from _paths(child, f"{above}.{key}")

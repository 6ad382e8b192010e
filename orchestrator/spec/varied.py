"""A section together with the axes that reach into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.spec.axes import Axis
from orchestrator.spec.errors import Place, Problem, listed, shown
from orchestrator.spec.sections import Fault
from orchestrator.spec.tree import Node, NotAMappingError, Path, find, plain, with_value

Choice = tuple[int | None, ...]
"""For each axis of a section, the index of its value; None where the axis is not there."""


@dataclass(frozen=True, slots=True)
class Varied:
    """One section and what varies in it."""

    name: str
    base: Node
    axes: list[Axis]
    choices: Sequence[Choice] = ((),)
    """The combinations of its axes that occur; one, empty, where there are no axes."""

    def node(self, choice: Choice) -> Node:
        """The section with the chosen value on each axis; shallow paths are set first.

        Raises:
            NotAMappingError: an axis leads through a value that is no mapping.
        """
        node = self.base
        chosen = zip(self.axes, choice, strict=True)
        for axis, index in sorted(chosen, key=lambda pair: len(pair[0].path)):
            if index is not None:
                node = with_value(node, axis.path[1:], axis.values[index])
        return node

    def combination(self, choice: Choice, axes: Sequence[Axis]) -> list[str]:
        """``path = value`` for those of the section's axes that are in ``axes``."""
        names = {axis.name for axis in axes}
        return [
            f"{axis.name} = {shown(plain(axis.values[index]))}"
            for axis, index in zip(self.axes, choice, strict=True)
            if axis.name in names and index is not None
        ]

    def located(self, choice: Choice, fault: Fault, also: Sequence[str] = ()) -> Problem:
        """The fault as a problem: at the value, the key or the axis that it hangs on.

        Where the fault hangs on other axes too, the message names their values, and those
        of ``also``.
        """
        path = (self.name, *fault.path)
        place, blamed = self._blame(choice, fault, path)
        combination = [*self.combination(choice, blamed), *also]
        note = f" (with {listed(combination, last='and')})" if combination else ""
        return Problem(place, ".".join(map(str, path)), fault.message + note)

    def _blame(self, choice: Choice, fault: Fault, path: Path) -> tuple[Place, list[Axis]]:
        there = [a for a, index in zip(self.axes, choice, strict=True) if index is not None]
        above = [axis for axis in there if path[: len(axis.path)] == axis.path]
        below = [axis for axis in there if axis.path[: len(path)] == path and axis not in above]
        if fault.kind == "whole":
            below = _named_in(fault.message, below)
        if fault.kind in ("whole", "through") and below:
            return below[-1].place, above + below
        place = self._place(choice, fault)
        if fault.kind not in ("unknown", "missing"):
            return place, []
        owner = max(above, key=lambda axis: len(axis.path), default=None)
        names = [axis for axis in there if axis.path == (self.name, "name")]
        return place, [axis for axis in above + names if axis is not owner]

    def _place(self, choice: Choice, fault: Fault) -> Place:
        try:
            node = find(self.node(choice), fault.path)
        except NotAMappingError:
            node = find(self.base, fault.path)
        return node.key if fault.kind == "unknown" and node.key else node.place


def _named_in(message: str, axes: list[Axis]) -> list[Axis]:
    """The axes whose last key is a word of the message; all of them where none is."""
    words = message.split()
    return [axis for axis in axes if axis.path[-1] in words] or axes

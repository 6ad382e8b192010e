"""A YAML document as a tree in which every value and key knows where it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.errors import Place

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list or a mapping of nodes."""

    content: Scalar | list[Node] | dict[str, Node]
    place: Place
    key: Place | None = None
    """Where the key stands under which the node was written."""


class NotAMappingError(Exception):
    """A path leads through a value that is no mapping.

    ``args`` are the path to that value and the value as plain data.
    """


def plain(node: Node) -> Any:
    """The node as dicts, lists and scalars."""
    content = node.content
    if isinstance(content, dict):
        return {key: plain(item) for key, item in content.items()}
    if isinstance(content, list):
        return [plain(item) for item in content]
    return content


def find(node: Node, path: Sequence[str | int]) -> Node:
    """The node at ``path``, or as near to it as the tree goes."""
    for step in path:
        children = _children(node)
        if step not in children:
            break
        node = children[step]
    return node


def _children(node: Node) -> Mapping[Any, Node]:
    if isinstance(node.content, list):
        return dict(enumerate(node.content))
    return node.content if isinstance(node.content, dict) else {}


def with_value(node: Node, path: Sequence[str], value: Node) -> Node:
    """``node`` with ``value`` at ``path``; mappings on the way are made where missing.

    Raises:
        NotAMappingError: the path leads through a scalar or a list.
    """
    if not path:
        return value
    if not isinstance(node.content, dict):
        raise NotAMappingError((), plain(node))
    first, *rest = path
    child = node.content.get(first) or Node({}, value.place, value.key)
    try:
        changed = with_value(child, rest, value)
    except NotAMappingError as error:
        inner, found = error.args
        raise NotAMappingError((first, *inner), found) from None
    return Node({**node.content, first: changed}, node.place, node.key)

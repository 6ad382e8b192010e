"""PyYAML's nodes → ours: aliases unfolded, keys unique, scalars typed."""

from __future__ import annotations

import math
from typing import Any

import yaml

from orchestrator.spec.errors import Place, shortened, shown
from orchestrator.spec.tree import Node, Scalar
from orchestrator.spec.yaml_loader import MAX_NODES, TAG, RefusedYamlError

_BOOLEANS = {"true": True, "false": False}
_SPECIAL = {name: name[1:] for name in (".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN")}


def place_at(origin: Place, mark: Any) -> Place:
    """Where a mark is, in a file; an override has one place."""
    if mark is None or origin.line is None:
        return origin
    return Place(origin.source, mark.line + 1, mark.column + 1)


class Converter:
    """Turns PyYAML's nodes into ours, unfolding aliases, no more than ``MAX_NODES`` in all."""

    def __init__(self, origin: Place) -> None:
        self.origin = origin
        self.count = 0

    def node(self, source: yaml.Node, parents: tuple[int, ...], key: Place | None = None) -> Node:
        self.count += 1
        mark = source.start_mark
        if self.count > MAX_NODES:
            raise RefusedYamlError(f"aliases unfold to more than {MAX_NODES:,} values", mark)
        if id(source) in parents:
            raise RefusedYamlError("an alias must not stand inside the value that it names", mark)
        place = place_at(self.origin, mark)
        inside = (*parents, id(source))
        kind = source.tag.removeprefix(TAG)
        if isinstance(source, yaml.MappingNode) and kind == "map":
            return Node(self.mapping(source, inside), place, key)
        if isinstance(source, yaml.SequenceNode) and kind == "seq":
            return Node([self.node(item, inside) for item in source.value], place, key)
        if isinstance(source, yaml.ScalarNode):
            return Node(_scalar(source, kind), place, key)
        raise RefusedYamlError(f"the tag {source.tag} is not allowed; write plain YAML", mark)

    def mapping(self, source: yaml.MappingNode, parents: tuple[int, ...]) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value in source.value:
            if key_node.tag == TAG + "merge":
                merged = self.merged(value, parents) | merged
                continue
            key = _key(key_node)
            place = place_at(self.origin, key_node.start_mark)
            if key in own:
                message = f"the key {shown(key)} occurs a second time; write it once"
                raise RefusedYamlError(message, key_node.start_mark)
            own[key] = self.node(value, parents, place)
        return merged | own

    def merged(self, value: yaml.Node, parents: tuple[int, ...]) -> dict[str, Node]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, Node] = {}
        for source in sources:
            content = self.node(source, parents).content
            if not isinstance(content, dict):
                raise RefusedYamlError(
                    "<< must name a mapping or a list of mappings", source.start_mark
                )
            merged = content | merged
        return merged


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != TAG + "str":
        got = node.value if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
        message = f"keys must be text (quote them if need be), got {shortened(got)}"
        raise RefusedYamlError(message, node.start_mark)
    return _text(node)


def _text(node: yaml.ScalarNode) -> str:
    text: str = node.value
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise RefusedYamlError("half of a surrogate pair is no text", node.start_mark)
    return text


def _scalar(node: yaml.ScalarNode, kind: str) -> Scalar:
    text = _text(node)
    if kind in ("str", "merge"):
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if kind in ("int", "float"):
        return _number(node, kind)
    raise RefusedYamlError(
        f"the tag {node.tag} is not allowed here; write plain YAML", node.start_mark
    )


def _number(node: yaml.ScalarNode, kind: str) -> int | float:
    text: str = node.value
    try:
        number = int(text) if kind == "int" else float(_SPECIAL.get(text.lstrip("+-"), text))
    except ValueError:
        raise RefusedYamlError(
            f"must be a number, got {shortened(text)}", node.start_mark
        ) from None
    if isinstance(number, float) and not math.isfinite(number):
        raise RefusedYamlError(f"must be a finite number, got {shortened(text)}", node.start_mark)
    if isinstance(number, int) and abs(number) >= 2**63:
        message = f"whole numbers must be between -2^63 and 2^63, got {shortened(text)}"
        raise RefusedYamlError(message, node.start_mark)
    return number

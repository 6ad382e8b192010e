"""PyYAML's SafeLoader with YAML 1.2's scalars and a limit on size; composes, never constructs."""

from __future__ import annotations

import re

import yaml

MAX_NODES = 100_000
MAX_DEPTH = 50
TAG = "tag:yaml.org,2002:"


class RefusedYamlError(Exception):
    """A message (first argument) about the node at a mark (second argument)."""


class Loader(yaml.SafeLoader):
    """Composes nodes, no deeper and no more of them than a study can need."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.count = 0
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.count += 1
        self.depth += 1
        mark = parent.start_mark if parent else self.get_mark()
        if self.count > MAX_NODES:
            raise RefusedYamlError(f"more than {MAX_NODES:,} values", mark)
        if self.depth > MAX_DEPTH:
            raise RefusedYamlError(f"nested more than {MAX_DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9](?:_?[0-9])*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9](?:_?[0-9])*\.[0-9]*(?:[eE][-+]?[0-9]+)?"
        r"|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9](?:_?[0-9])*[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    Loader.add_implicit_resolver(TAG + _name, re.compile(rf"(?:{_pattern})\Z"), list(_first))

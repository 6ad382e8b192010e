"""Types of configuration fields, put into words: what a field allows."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from orchestrator.spec.errors import listed, shown
from orchestrator.spec.tree import Path
from trainables.configs.base import Bound, Duration
from trainables.configs.schedules import Schedule

_WORDS = {bool: "true or false", str: "text", dict: "a mapping", type(None): "null"}


def type_at(cls: type[Any], path: Path) -> tuple[Path, Any]:
    """The type at ``path`` below a dataclass, and how much of the path leads to it.

    A union of several types ends the path: what follows names its members.
    """
    hint: Any = cls
    walked: list[str | int] = []
    for step in path:
        inner = without_none(hint)
        if _is_union(inner):
            break
        hint = _child(inner, step)
        walked.append(step)
    return tuple(walked), without_none(hint)


def without_none(hint: Any) -> Any:
    """``T`` for ``T | None``."""
    if not _is_union(hint):
        return hint
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if len(members) == 1 else hint


def describe(hint: Any) -> str:
    """What ``hint`` allows, as in "a number above 0"."""
    if hint == Duration:
        return "a share of training in [0, 1], {steps: n} or {epochs: n}"
    if hint == Schedule:
        return "a schedule such as {name: cosine}"
    if get_origin(hint) is Annotated:
        inner, *extra = get_args(hint)
        bounds = "".join(_range(bound) for bound in extra if isinstance(bound, Bound))
        return describe(inner) + bounds
    if _is_union(hint):
        return listed(describe(member) for member in get_args(hint))
    return _describe_single(hint)


def _describe_single(hint: Any) -> str:
    if get_origin(hint) is Literal:
        options = [shown(word) for word in get_args(hint)]
        return f"one of {listed(options)}" if len(options) > 1 else options[0]
    if get_origin(hint) is tuple:
        return f"a list, each {describe(get_args(hint)[0])}"
    if dataclasses.is_dataclass(hint):
        return _describe_mapping(hint)
    if hint in (int, float):
        return "a whole number" if hint is int else "a number"
    return _WORDS.get(get_origin(hint) or hint, "a value")


def _describe_mapping(cls: Any) -> str:
    """Its keys; what a key allows where it is the only one."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    if len(names) == 1:
        return f"{{{names[0]}: {describe(hints[names[0]])}}}"
    return "{" + ", ".join(f"{name}: …" for name in names) + "}"


def _range(bound: Bound) -> str:
    if bound.ge is not None and bound.le is not None:
        return f" from {_limit(bound.ge)} to {_limit(bound.le)}"
    parts = [
        f"{word} {_limit(limit)}"
        for word, limit in (
            ("above", bound.gt),
            ("at least", bound.ge),
            ("below", bound.lt),
            ("at most", bound.le),
        )
        if limit is not None
    ]
    return f" {listed(parts, last='and')}" if parts else ""


def _limit(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _child(hint: Any, step: str | int) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if isinstance(step, int) and get_origin(hint) is tuple:
        return get_args(hint)[0]
    if get_origin(hint) is dict:
        return get_args(hint)[1]
    if dataclasses.is_dataclass(hint):
        return typing.get_type_hints(hint, include_extras=True).get(str(step), Any)
    return Any

"""One section of a study → its frozen configuration, or what is wrong with it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal

import pydantic

from orchestrator.spec.errors import listed, shown, suggestion
from orchestrator.spec.searches import SEARCHES, Searcher
from orchestrator.spec.stopping_rules import STOPPING_RULES
from orchestrator.spec.study import (
    Execution,
    Objective,
    OwnExecution,
    OwnObjective,
    Report,
    Resources,
    Tracking,
)
from orchestrator.spec.tree import Path
from orchestrator.spec.types_in_words import describe, type_at
from trainables.configs import (
    DATA,
    MODELS,
    OPTIMIZERS,
    PROCEDURES,
    SCHEDULES,
    Probes,
    RunConfig,
    Train,
    UserData,
    UserModel,
    UserSchedule,
    to_plain,
)
from trainables.configs.base import Config
from trainables.configs.schedules import Chain, Sequence

OF_A_RUN = ("data", "model", "optimizer", "schedule", "train", "probes")
"""The sections that a run's configuration has as they are."""
SWEPT = (*OF_A_RUN, "procedure")
"""The sections that decide what is computed: those that an axis can vary."""
TABLES: dict[str, dict[str, type[Config]]] = {
    "data": {**DATA},
    "model": {**MODELS},
    "optimizer": {**OPTIMIZERS},
    "schedule": {**SCHEDULES},
    "procedure": {**PROCEDURES},
    "search": SEARCHES,
    "early_stopping": {**STOPPING_RULES},
}
USER: dict[str, type[Config]] = {
    "data": UserData,
    "model": UserModel,
    "schedule": UserSchedule,
    "search": Searcher,
}
CLASSES: dict[str, type[Config]] = {
    "train": Train,
    "probes": Probes,
    "objective": Objective,
    "execution": Execution,
    "resources": Resources,
    "tracking": Tracking,
    "report": Report,
}
FIXED = tuple(name for name in CLASSES if name not in SWEPT)
"""The sections that are the same for all runs."""
OWN: dict[str, type[Config]] = {"objective": OwnObjective, "execution": OwnExecution}
"""Sections that are others in a study with a ``trainable``."""
USER_NAME = r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*"
NOT_YET = frozenset(
    {
        "resources.workers",
    }
)
"""Keys of the design that this version does not have."""

Kind = Literal["value", "unknown", "missing", "whole", "through"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong inside a section, and at which path below it."""

    path: Path
    message: str
    kind: Kind = "value"
    """What it hangs on: a ``value``, an ``unknown`` key, a ``missing`` one, the ``whole`` of the
    values at the path, or a scalar that a longer path leads ``through``."""


def checked(section: str, value: Any, *, own: bool = False) -> Config | list[Fault]:
    """The configuration that ``value`` (plain data) describes, or its faults.

    Args:
        own: the study has a ``trainable``.
    """
    if not isinstance(value, dict):
        return [Fault((), f"must be a mapping, such as {_example(section, value)}{_got(value)}")]
    chosen: Any = OWN[section] if own and section in OWN else _class(section, value)
    if isinstance(chosen, Fault):
        return [chosen]
    if issubclass(chosen, Sequence | Chain) and isinstance(value.get("schedules"), list):
        return _composed(chosen, value)
    return _validated(chosen, section, value)


def run_of(sections: Mapping[str, Any], **others: Any) -> RunConfig:
    """The run of the sections ``OF_A_RUN``, among others. Probes that measure nothing are none."""
    parts = {name: sections[name] for name in OF_A_RUN}
    return RunConfig(**parts | {"probes": _some(parts["probes"])}, **others)


def _some(probes: Probes) -> Probes | None:
    return None if probes == Probes() else probes


def _validated(cls: Any, section: str, value: dict[str, Any]) -> Config | list[Fault]:
    try:
        config: Config = adapter(cls).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        return list(_faults(error, cls, section, value))
    return config


def _composed(cls: type[Any], value: dict[str, Any]) -> Config | list[Fault]:
    """A schedule made of schedules: each checked as a section of its own, then the whole.

    Pydantic would try every kind of schedule on each part, and complain about all of them.
    """
    parts = [checked("schedule", part) for part in value["schedules"]]
    faults = [
        replace(fault, path=("schedules", index, *fault.path))
        for index, part in enumerate(parts)
        if isinstance(part, list)
        for fault in part
    ]
    stand_ins = [{"name": "constant"}] * len(parts)
    whole = _validated(cls, "schedule", value | {"schedules": stand_ins})
    if isinstance(whole, list):
        return faults + whole
    if faults:
        return faults
    try:
        return replace(whole, schedules=tuple(parts))  # type: ignore[call-arg]
    except ValueError as error:
        return [Fault((), str(error), "whole")]


def keys_of(section: str) -> list[str]:
    """Every key that some form of the section takes."""
    classes = [*TABLES[section].values()] if section in TABLES else [CLASSES[section]]
    return list(dict.fromkeys(field.name for cls in classes for field in fields(cls)))


def default(section: str, name: Any, key: str, otherwise: Any) -> Any:
    """What a section that is called ``name`` has at ``key`` where nothing is written."""
    cls: Any = CLASSES.get(section) or TABLES.get(section, {}).get(
        name if isinstance(name, str) else ""
    )
    return otherwise if cls is None else _defaults(cls).get(key, otherwise)


@functools.cache
def _defaults(cls: type[Any]) -> dict[str, Any]:
    return {
        field.name: to_plain(field.default) for field in fields(cls) if field.default is not MISSING
    }


@functools.cache
def adapter(cls: type[Any]) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(cls)


def _example(section: str, value: Any) -> str:
    if section not in TABLES:
        cls = CLASSES[section]
        return f"{{{fields(cls)[0].name}: …}}"
    known = isinstance(value, str) and (value in TABLES[section] or section in USER)
    return f"{{name: {value if known else next(iter(TABLES[section]))}}}"


def _got(value: Any) -> str:
    return "; it is empty here" if value is None else f", got {shown(value)}"


def _class(section: str, value: dict[str, Any]) -> type[Config] | Fault:
    if section not in TABLES:
        return CLASSES[section]
    table = TABLES[section]
    allowed = f"one of {listed(table)}" + (" or module:callable" if section in USER else "")
    if "name" not in value:
        return Fault(("name",), f"is required: {allowed}", "missing")
    name = value["name"]
    if not isinstance(name, str):
        return Fault(("name",), f"must be {allowed}, got {shown(name)}")
    if name in table:
        return table[name]
    if section in USER and re.fullmatch(USER_NAME, name):
        return USER[section]
    close = suggestion(name, list(table))
    return Fault(("name",), f"must be {allowed}, got {shown(name)}{close}")


def _faults(
    error: pydantic.ValidationError, cls: type[Any], section: str, value: dict[str, Any]
) -> Iterator[Fault]:
    """One fault for each faulty place: pydantic has one for each member of a union."""
    seen: set[Path] = set()
    for detail in error.errors(include_url=False):
        path, hint = type_at(cls, detail["loc"])
        if path not in seen:
            seen.add(path)
            yield _fault(detail, path, hint, cls, section, value)


def _fault(
    detail: Any, path: Path, hint: Any, cls: type[Any], section: str, value: dict[str, Any]
) -> Fault:
    kind = detail["type"]
    if kind == "unexpected_keyword_argument":
        return Fault(path, _unknown(path, cls, section, value), "unknown")
    if kind == "missing" and len(path) == len(detail["loc"]):
        return Fault(path, f"is required: {describe(hint)}", "missing")
    if kind == "value_error":
        return Fault(path, str(detail["ctx"]["error"]), "whole")
    found: Any = value
    for step in path:
        found = found[step]
    close = _closest_literal(found, hint)
    return Fault(path, f"must be {describe(hint)}, got {shown(found)}{close}")


def _unknown(path: Path, cls: type[Any], section: str, value: dict[str, Any]) -> str:
    *parents, key = path
    _, parent = type_at(cls, tuple(parents))
    allowed = [field.name for field in fields(parent)]
    owner = ".".join(map(str, (section, *parents)))
    if not parents and section in TABLES:
        owner = value["name"]
        allowed.remove("name")
    close = suggestion(str(key), allowed)
    not_yet = ".".join(map(str, (section, *path))) in NOT_YET
    wrong = "not available in this version" if not_yet else "unknown key"
    known = f"takes {listed(allowed, last='and')}" if allowed else "has no options"
    return f"{wrong}; {owner} {known}{close}"


def _closest_literal(found: Any, hint: Any) -> str:
    allowed = [word for word in getattr(hint, "__args__", ()) if isinstance(word, str)]
    return suggestion(found, allowed) if isinstance(found, str) else ""

"""Readable texts for the values of an axis: ``cosine (warmup 0.05)``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from orchestrator.report.text import number, shorten
from trainables.configs import SCHEDULES, UserSchedule, to_plain

UNITS = ("steps", "epochs")
_SIGNS = {"sequence": " → ", "chain": " × "}
"""Between the schedules that one is made of."""


def written_fields(written: Any) -> set[tuple[Any, str]]:
    """(name, field) for the fields that the study itself writes in the values of an axis."""
    values = written if isinstance(written, list | tuple) else []
    named = [value for value in values if isinstance(value, Mapping)]
    return {(value.get("name"), str(key)) for value in named for key in value}


def value_texts(
    fields: list[str], rows: list[tuple[Hashable, ...]], written: set[tuple[Any, str]]
) -> dict[tuple[Hashable, ...], str]:
    """Row of fields → label: its name and, in brackets, what tells it from the others."""
    records = [dict(zip(fields, row, strict=True)) for row in rows]
    texts: dict[tuple[Hashable, ...], str] = {}
    for row, record in zip(rows, records, strict=True):
        shown = [f for f in fields if f != "name" and _tells_apart(f, record, records, written)]
        text = _text(record, [f for f in shown if record[f] not in (0, False)])
        if text in texts.values():
            text = _text(record, shown)
        serial = 2
        while text in texts.values():
            text = f"{text.removesuffix(f' #{serial - 1}')} #{serial}"
            serial += 1
        texts[row] = text
    return texts


def _tells_apart(
    field: str,
    record: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    written: set[tuple[Any, str]],
) -> bool:
    """Whether a field varies among values of one name, or was written for it and varies at all."""
    if record[field] is None:
        return False
    name = record.get("name")
    among_kin = {other[field] for other in records if other.get("name") == name}
    known = {other[field] for other in records} - {None}
    was_written = (name, field.split(".")[0]) in written
    return len(among_kin) > 1 or (was_written and len(known) > 1)


def _text(record: Mapping[str, Any], shown: Iterable[str]) -> str:
    name = record.get("name")
    details = ", ".join(_detail(name, field, record[field]) for field in shown)
    head = "none" if name is None and not details else _scalar(name) if name is not None else ""
    return shorten(f"{head} ({details})" if head and details else head or details)


def _detail(name: Any, field: str, value: Any) -> str:
    if (parts := _schedules(field, value)) is not None:
        return _SIGNS[name].join(parts)
    if field == "durations" and isinstance(value, str):
        return f"durations {_plain(json.loads(value))}"
    path, _, last = field.rpartition(".")
    if last in UNITS:
        return f"{path} {_scalar(value)} {last}".strip()
    return f"{field} {_scalar(value)}"


def _schedules(field: str, value: Any) -> list[str] | None:
    """The schedules that a sequence or chain is made of, each as its label; else None."""
    if field != "schedules" or not isinstance(value, str):
        return None
    return [_schedule(part) for part in json.loads(value)]


def _schedule(plain: Mapping[str, Any]) -> str:
    """``linear (start 0.1)``: the name and what is not at its default."""
    kind = SCHEDULES.get(plain["name"], UserSchedule)
    default = {f.name: f.default for f in dataclasses.fields(kind)}
    details = []
    for key, value in plain.items():
        if key == "schedules":
            details.append(_SIGNS[plain["name"]].join(_schedule(part) for part in value))
        elif key != "name" and value != to_plain(default[key]) and value != {}:
            details.append(f"{key} {_plain(value)}")
    return f"{plain['name']} ({', '.join(details)})" if details else str(plain["name"])


def _plain(value: Any) -> str:
    """A number, a duration or a list of them as text: ``0.3``, ``5 epochs``."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, Mapping):
        pairs = [(_scalar(item), key) for key, item in value.items()]
        swap = len(pairs) == 1 and pairs[0][1] in UNITS
        return ", ".join(f"{text} {key}" if swap else f"{key} {text}" for text, key in pairs)
    return _scalar(value)


def _scalar(value: Any) -> str:
    return number(value, 6) if is_number(value) else str(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What is wrong with a study, where it stands, and how that is put into words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_PLAIN_PUNCTUATION = frozenset("._-:/+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file with line and column (from 1), or a ``--set``."""

    source: str
    line: int | None = None
    column: int | None = None
    names: str = ""
    """The path that ``source`` spells out itself, so that messages need not repeat it."""

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``str()`` is one line."""

    place: Place
    path: str
    """Dotted path in the study; empty where the whole of it is meant."""
    message: str

    def __str__(self) -> str:
        path = "" if self.path == self.place.names else f"{self.path}: "
        return one_line(f"{self.place}: {path}{self.message}")


class SpecError(Exception):
    """A study that cannot be run. ``str()`` gives one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(
            problems, key=lambda problem: (problem.place.line or 0, problem.place.column or 0)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


def one_line(text: str) -> str:
    """``text`` with line breaks and other unprintable characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: Any) -> str:
    """``value`` as YAML on one line, shortened where it is long."""
    return shortened(_flow(value))


def shortened(text: str, limit: int = 60) -> str:
    """``text`` on one line of at most ``limit`` characters."""
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str):
        plain = value[:1].isalpha() and all(c.isalnum() or c in _PLAIN_PUNCTUATION for c in value)
        return value if plain else f"'{value}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def suggestion(word: str, allowed: Sequence[str]) -> str:
    """``; did you mean …?`` where an allowed word is close, else nothing."""
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def listed(words: Iterable[str], *, last: str = "or") -> str:
    """``a, b or c``."""
    *rest, final = words
    return f"{', '.join(rest)} {last} {final}" if rest else final

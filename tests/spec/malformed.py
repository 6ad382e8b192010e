"""Wrong studies for the tests: how they are written, and how each problem must be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import SpecError, load_study

Case = tuple[str, *tuple[tuple[str, str, str], ...]]
"""The text, then for each problem: line:column, what is wrong, what is allowed."""
SGD = "{name: sgd, lr: 0.1}"


def study(more: str = "", *, optimizer: str = SGD, train: str = "{epochs: 3}") -> str:
    """A study whose lines from the fourth on are ``more``."""
    return f"study: s\noptimizer: {optimizer}\ntrain: {train}\n{more}"


def own(
    more: str = "", *, trainable: str = "a:b", objective: str = "{metric: x, mode: min}"
) -> str:
    """A study with a training of its own, whose lines from the fourth on are ``more``."""
    line = f"objective: {objective}" if objective else "# none"
    return f"study: s\ntrainable: {trainable}\n{line}\n{more}"


def sweep(axes: str) -> str:
    """A study with axes, the first in line 4, column 9."""
    return study(f"sweep: {{{axes}}}\n")


def refused(folder: Path, case: Case) -> None:
    """Each problem of the study is one line that has its place, and says what is allowed."""
    text, *expected = case
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_study(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected), lines
    for line, (place, wrong, allowed) in zip(lines, expected, strict=True):
        assert line.startswith(f"{path}:{place}: "), line
        assert wrong in line, line
        assert allowed in line, line

"""What W&B documents as too much for one project, and how the mirror stays below it.

https://docs.wandb.ai/models/track/limits: fewer than 10,000 runs a project, 10,000 distinct
metrics a project and 100,000 points a scalar. Metrics need no care here: a store holds at most
``MOST_METRICS`` of them, which are three names each in W&B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from orchestrator.spec.study import Tracking

RUNS = 10_000
METRICS = 10_000
POINTS = 100_000
_EACH = 20_000
"""So many rows of a run are sent one by one; then every tenth, up to ten times as many; …"""


def detail_of(tracking: Tracking, runs: int) -> Literal["all", "best", "study"]:
    """What ``tracking.detail`` comes to in a study of so many runs."""
    if tracking.detail == "auto":
        return "all" if runs < RUNS else "best"
    return tracking.detail


def kept(rows: Sequence[Any]) -> list[Any]:
    """The rows of one run that are sent: all of up to 20,000, and never 100,000.

    Of rows 20,000 to 200,000 every tenth, of those to 2,000,000 every hundredth, and so on: 18,000
    for each further power of ten, 92,000 of 200 million. Whether a row goes depends on its place
    alone, so what was sent stays as more rows follow.
    """
    sent = list(rows[:_EACH])
    start, stride = _EACH, 10
    while start < len(rows):
        sent += rows[start : 10 * start : stride]
        start, stride = 10 * start, 10 * stride
    return sent


def said(tracking: Tracking, runs: int, top: int) -> str:
    """A sentence where a study has more runs than a project takes well; else empty."""
    if tracking.wandb == "off" or runs < RUNS or tracking.detail not in ("auto", "all"):
        return ""
    beyond = f"{runs:,} runs; W&B asks for fewer than {RUNS:,} a project"
    if tracking.detail == "all":
        return f"{beyond}, and tracking.detail is all: auto or best mirrors the best {top}"
    return f"{beyond}, so the best {top} configurations are mirrored, and the study's own run"

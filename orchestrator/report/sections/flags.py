"""Reasons to doubt what the other sections say, each with its figures."""

from __future__ import annotations

from orchestrator.report.flags import FLAGS
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Section, Table
from orchestrator.report.text import count, listed

TITLE = "Before you trust it"


def flags_section(results: Results) -> Section | None:
    """Nothing where no configuration is ranked."""
    if results.ranked().empty:
        return None
    found = {holds: flag(results) for holds, flag in FLAGS.items()}
    flags = [one for several in found.values() for one in several or []]
    passed = [holds for holds, several in found.items() if several == []]
    open_ = [holds for holds, several in found.items() if several is None]
    tables = [
        Table(
            head=["doubt", "evidence", "advice"],
            rows=[[flag.doubt, flag.evidence, flag.advice] for flag in flags],
            align="lll",
        )
    ]
    return Section(
        title=TITLE,
        lead="What the Deep Learning Tuning Playbook would ask of these results.",
        finding=_finding([flag.doubt for flag in flags], passed, open_),
        tables=tables if flags else [],
        notes=[
            "Each check looks at the best configuration alone. It cannot judge where there are "
            "too few evaluations or values, or where the learning rate decays to next to nothing, "
            "as for the length of training."
        ],
    )


def _finding(doubts: list[str], passed: list[str], open_: list[str]) -> str:
    parts = [
        (count(len(doubts), "doubt"), doubts),
        ("Passed" if doubts else "No doubt", passed),
        ("Not to be judged here", open_),
    ]
    return " ".join(
        f"{name}: {listed(items, len(items), separator='; ')}." for name, items in parts if items
    )

"""Runs that did not complete, and why."""

from __future__ import annotations

import re

import pandas as pd

from orchestrator.report.results import Results
from orchestrator.report.sections.model import Block, Section, Table
from orchestrator.report.text import NONE, count, listed

TITLE = "What did not complete"
ENDED = ("failed", "diverged", "stopped")
MOST_LABELS = 4
MOST_ERRORS = 5
_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])"


def failures_section(results: Results) -> Section:
    lead = "Runs that failed, diverged or were stopped, by reason, and their configurations."
    lost = results.runs[results.runs["status"].isin(ENDED)]
    if lost.empty:
        return Section(title=TITLE, lead=lead, finding="No run failed, diverged or was stopped.")
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(results, lost),
        tables=[_table(lost), _every(lost)],
        blocks=_errors(lost),
    )


def _finding(results: Results, lost: pd.DataFrame) -> str:
    counts = [
        f"{count(int((lost['status'] == status).sum()), 'run')} {verb}"
        for status, verb in zip(ENDED, ("failed", "diverged", "stopped early"), strict=True)
        if (lost["status"] == status).any()
    ]
    saved = str(results.meta.get("saved") or "")
    if saved and lost["status"].eq("stopped").all():
        return saved
    first = f"{listed(counts)} of {len(results.runs):,}."
    return f"{first}{_threshold(results)}{' ' + saved if saved else ''}"


def _threshold(results: Results) -> str:
    """From where on the numeric axis runs diverge: some, then all."""
    axis = results.x_axis
    ended = results.runs[~results.runs["status"].isin(("pending", "running"))]
    diverged = ended["status"] == "diverged"
    if axis is None or not diverged.any() or diverged.all():
        return ""
    share = diverged.groupby(ended[axis.column]).mean().sort_index()
    first = axis.texts[share.index[share > 0][0]]
    below = f" No run with {axis.name} below {first} diverged" if share.iloc[0] == 0 else ""
    above = share[::-1].cummin()[::-1]
    every = above.index[above == 1]
    if len(every) and below:
        from_here = axis.texts[every[0]]
        return f"{below}; every run with {axis.name} {from_here} or above did."
    if len(every):
        return f" Every run with {axis.name} {axis.texts[every[0]]} or above diverged."
    return f"{below}." if below else ""


def _table(lost: pd.DataFrame) -> Table:
    rows = []
    for status in ENDED:
        ended = lost[lost["status"] == status]
        # Runs diverge at losses of their own: these are one reason, not as many as there are runs.
        alike = ended["reason"].astype(str)
        if status == "diverged":
            alike = alike.str.replace(_NUMBER, "…", regex=True)
        for _, group in sorted(ended.groupby(alike, sort=False), key=lambda item: -len(item[1])):
            labels = list(dict.fromkeys(group["configuration"]))
            rows.append(
                [
                    status,
                    _reason(group["reason"].astype(str)) or NONE,
                    f"{len(group):,}",
                    listed(labels, MOST_LABELS, separator="; "),
                ]
            )
    return Table(head=["status", "reason", "runs", "configurations"], rows=rows, align="llrl")


def _reason(reasons: pd.Series) -> str:
    """What they say; of reasons that differ in their numbers, from the least to the largest."""
    first = str(reasons.iloc[0])
    numbers = pd.DataFrame(reasons.str.findall(_NUMBER).tolist()).astype(float)
    if reasons.nunique() == 1 or numbers.nunique().gt(1).sum() != 1:
        return first if reasons.nunique() == 1 else re.sub(_NUMBER, "…", first)
    varied = int(numbers.nunique().to_numpy().argmax())
    least, most = (reasons.iloc[at()] for at in (numbers[varied].argmin, numbers[varied].argmax))
    at = list(re.finditer(_NUMBER, least))[varied]
    return f"{least[: at.end()]} to {re.findall(_NUMBER, most)[varied]}{least[at.end() :]}"


def _every(lost: pd.DataFrame) -> Table:
    """Each configuration with its seeds: the full list behind the first table."""
    grouped = lost.groupby(["configuration", "status", "reason"], sort=False)["seed"]
    rows = [
        [*(str(part) or "–" for part in key), listed([str(seed) for seed in seeds], 20)]
        for key, seeds in grouped
    ]
    return Table(
        head=["configuration", "status", "reason", "seeds"],
        rows=rows,
        align="llll",
        caption=f"All {count(len(rows), 'configuration')} concerned",
        folded=True,
    )


def _errors(lost: pd.DataFrame) -> list[Block]:
    """The most frequent error texts, as recorded."""
    errors = lost.loc[lost["error"].astype(str).str.strip() != "", "error"].value_counts()
    return [
        Block(title=f"Error of {count(int(n), 'run')}: {_last_line(str(text))}", text=str(text))
        for text, n in errors.head(MOST_ERRORS).items()
    ]


def _last_line(text: str) -> str:
    line = text.strip().splitlines()[-1].strip()
    return line if len(line) <= 90 else f"{line[:89]}…"

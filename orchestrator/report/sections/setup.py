"""What was run: on what, for how long, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchestrator.report.labels import Axis
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Block, Section, Table
from orchestrator.report.text import NONE, count, duration, listed, number
from orchestrator.store import to_come

ORDER = ("completed", "stopped", "diverged", "failed", "running", "pending")
"""Every status, in the order of the report."""


MOST_VALUES = 24
"""An axis with more values is told by its ends."""


def status_counts(runs: pd.DataFrame) -> dict[str, int]:
    """Status → number of runs, of those that occur."""
    found = runs["status"].value_counts()
    return {status: int(found[status]) for status in ORDER if status in found.index}


def setup_section(results: Results) -> Section:
    meta, runs = results.meta, results.runs
    strategies = _strategies(meta)
    return Section(
        title="What was run",
        lead="The study, what it ran on, and how to run it again.",
        finding=_finding(results),
        facts=_facts(results),
        tables=[strategies] if strategies else [],
        blocks=[
            Block(title="Run it again", text=str(meta["command"]), folded=False)
            for _ in range("command" in meta)
        ]
        + [
            Block(title=f"The study as written ({_file_name(meta)})", text=str(meta["spec"]))
            for _ in range("spec" in meta)
        ],
        notes=[
            "Run-hours sum what each run took of its pack: elapsed time, shared among its lanes."
        ]
        if len(runs)
        else [],
    )


def _finding(results: Results) -> str:
    runs = results.runs
    if runs.empty:
        return "Nothing has been planned yet."
    counts = status_counts(runs)
    unfinished = counts.get("running", 0) + counts.get("pending", 0)
    done, later = len(runs) - unfinished, to_come(results.meta, len(runs))
    configurations = runs["configuration"].nunique()
    shape = f"{count(configurations, 'configuration')} × {count(len(results.seeds), 'seed')}"
    known = [f"{n:,} {status}" for status, n in counts.items()]
    statuses = listed([*known, *([f"{later:,} not suggested yet"] if later else [])], 7)
    state = (
        f"The study is not finished: {done:,} of {count(len(runs) + later, 'run')} are done; "
        "all that follows is provisional. "
        if unfinished or later
        else ""
    )
    axes = [*results.axes, *results.pruning_axes]
    varied = listed([f"{axis.name} ({_values(axis)})" for axis in axes])
    swept = f" Swept: {varied}." if varied else ""
    what = count(len(runs), "run" if results.networks is None else "network")
    return f"{state}{shape}{_levels(results)}, {what}: {statuses}.{swept}"


def _levels(results: Results) -> str:
    """``, 12 levels of pruning``; empty where nothing is pruned."""
    if results.networks is None:
        return ""
    levels = count(int(results.networks["level"].max()), "level")
    steps = results.networks["rewind_text"].where(results.networks["level"] > 0, "")
    rewinds = int(steps[steps != ""].nunique())
    several = f" from {rewinds} rewind steps" if rewinds > 1 else ""
    return f", {levels} of pruning{several}"


def _values(axis: Axis) -> str:
    """``3 values``; of a numeric axis with many of them ``0.0001 to 3``."""
    if axis.numeric and len(axis.texts) > MOST_VALUES:
        return f"{number(min(axis.texts))} to {number(max(axis.texts))}"
    return count(len(axis.texts), "value")


def _facts(results: Results) -> list[tuple[str, str]]:
    meta, runs = results.meta, results.runs
    hours = float(runs["wall_seconds"].sum()) / 3600
    facts = [
        ("Study", str(meta.get("study", ""))),
        ("Trainable", results.trainable),
        ("Started", _moment(meta.get("started"))),
        ("Finished", _moment(meta.get("finished"))),
        ("Wall time", duration(float(meta.get("wall_seconds") or float("nan")))),
        ("Run-hours", number(hours) if len(runs) else ""),
        ("Machine", _machine(meta.get("machine") or {})),
        ("Slots", str(meta.get("slots") or "")),
        ("Versions", _versions(meta.get("versions") or {})),
        ("Code", _commit(meta.get("git") or {})),
        ("Overrides", "\n".join(str(o) for o in meta.get("overrides") or [])),
    ]
    return [(name, value) for name, value in facts if value and value != NONE]


def _moment(iso: Any) -> str:
    return str(iso)[:19].replace("T", " ") if iso else ""


def _machine(machine: Mapping[str, Any]) -> str:
    parts = [str(machine.get("system") or "")]
    if machine.get("cpus"):
        parts.append(count(int(machine["cpus"]), "CPU"))
    if machine.get("memory_gib"):
        parts.append(f"{number(float(machine['memory_gib']))} GiB")
    gpus = machine.get("gpus")
    if gpus:
        parts.append(
            listed([str(gpu) for gpu in gpus]) if isinstance(gpus, list) else f"{gpus} GPU"
        )
    return ", ".join(part for part in parts if part)


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _commit(git: Mapping[str, Any]) -> str:
    changed = " with uncommitted changes" if git.get("dirty") else ""
    return f"{str(git['commit'])[:12]}{changed}" if git.get("commit") else ""


def _file_name(meta: Mapping[str, Any]) -> str:
    return str(meta.get("spec_path") or "YAML").replace("\\", "/").rpartition("/")[2]


def _strategies(meta: Mapping[str, Any]) -> Table | None:
    """Packs alike in lanes and strategy share a row."""
    packs = pd.DataFrame(meta.get("strategies") or [])
    if packs.empty:
        return None
    columns = ["lanes", "strategy", "width", "steps_per_second"]
    packs = packs.reindex(columns=columns)
    grouped = packs.groupby(["lanes", "strategy", "width"], dropna=False, sort=True)
    rows = [
        [f"{len(group):,}", *(_cell(value) for value in key), _speed(group["steps_per_second"])]
        for key, group in grouped
    ]
    return Table(
        head=["packs", "lanes", "strategy", "width", "steps/s a pack"],
        rows=rows,
        align="rrlrr",
        caption="How runs were packed: width lanes train in one step.",
    )


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return NONE if pd.isna(value) else number(float(value), 6)


def _speed(values: pd.Series) -> str:
    known = pd.to_numeric(values, errors="coerce").dropna()
    if known.empty:
        return NONE
    low, high = number(float(known.min())), number(float(known.max()))
    return low if low == high else f"{low}–{high}"

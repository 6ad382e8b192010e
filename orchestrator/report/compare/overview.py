"""What each study is, where they differ, and which of their runs are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchestrator.report.compare.studies import Studies, Study, shared_runs
from orchestrator.report.sections.model import Section, Table
from orchestrator.report.sections.setup import status_counts
from orchestrator.report.text import NONE, count, listed, metric_words, number, shorten

SPEC_FACTS = ("search", "early_stopping", "procedure", "trainable")
"""Of the study, beside the configurations of its runs."""
ENVIRONMENT = ("machine", "versions", "git", "slots")
MOST_VALUES = 4
_WIDEST = 80


def overview_section(studies: Studies) -> Section:
    return Section(
        title="What is compared",
        lead="The studies, and where what was trained differs.",
        finding=_finding(studies),
        tables=[_sizes(studies), *_differences(studies)],
        notes=[
            f"Compared by the final {metric_words(studies.metric)}, "
            f"{'lowest' if studies.mode == 'min' else 'highest'} best. Run-hours sum what each run "
            "took of its pack: elapsed time, shared among its lanes."
        ],
    )


def _finding(studies: Studies) -> str:
    runs = studies.runs().drop_duplicates("run_id")
    every = f"{count(len(studies.each), 'study', 'studies')} with {count(len(runs), 'run')} in all."
    open_ = [f"{one.name} ({n:,})" for one in studies.each if (n := _unfinished(one.results.runs))]
    if open_:
        every += f" Not finished, with so many runs to come: {listed(open_)}; provisional."
    several = [one for one in studies.each if one.results.metric != _own_metric(one)]
    if several:
        names = [f"{one.name} ({_own_metric(one)})" for one in several]
        every += f" Compared by {studies.metric}, although others are looked for: {listed(names)}."
    return f"{every} {_tasks(studies)}"


def _unfinished(runs: pd.DataFrame) -> int:
    return int(runs["status"].isin(("running", "pending")).sum())


def _own_metric(study: Study) -> str:
    """What the study itself looks for first."""
    objective = study.results.meta.get("objective") or {}
    return str(objective.get("metric", study.results.metric))


def _tasks(studies: Studies) -> str:
    tasks = studies.tasks
    if len(tasks) == 1:
        return "All train on the same task."
    common = [task for task in tasks if len(studies.with_task(task)) == len(studies.each)]
    if not any(len(studies.with_task(task)) > 1 for task in tasks):
        return f"No two train on the same task ({listed(tasks)}): their values do not compare."
    if len(common) == len(tasks):
        return f"All train on the same {count(len(tasks), 'task')}: {listed(tasks)}."
    return f"All have these tasks: {listed(common) or 'none'}; of {listed(tasks)} in all."


def _sizes(studies: Studies) -> Table:
    rows = []
    for one in studies.each:
        runs, meta = one.results.runs, one.results.meta
        statuses = [f"{n:,} {status}" for status, n in status_counts(runs).items()]
        search = meta.get("search") or {}
        rows.append(
            [
                one.name,
                f"{runs['configuration'].nunique():,}",
                f"{len(one.results.seeds):,}",
                listed(statuses),
                str(search.get("name", "grid") if isinstance(search, Mapping) else search),
                number(float(runs["wall_seconds"].sum()) / 3600),
                str(meta.get("started") or NONE)[:10],
            ]
        )
    head = ["study", "configurations", "seeds", "runs", "search", "run-hours", "started"]
    return Table(head=head, rows=rows, align="lrrllrr")


def _differences(studies: Studies) -> list[Table]:
    """What was trained, and on what: two tables, each only where something differs."""
    trained = {**_configurations(studies), **_facts(studies, SPEC_FACTS)}
    tables = []
    for caption, found, folded in (
        ("Where the studies differ.", trained, False),
        ("Where and with what they were run differs.", _facts(studies, ENVIRONMENT), True),
    ):
        rows = [
            [name, *(shorten(text, _WIDEST) for text in texts)]
            for name, texts in found.items()
            if len(set(texts)) > 1
        ]
        if rows:
            head = ["setting", *studies.names]
            align = "l" * len(head)
            tables.append(Table(head=head, rows=rows, align=align, caption=caption, folded=folded))
    return tables


def _configurations(studies: Studies) -> dict[str, list[str]]:
    """Path → what each study has there: a value, several, or the ends of many."""
    columns = dict.fromkeys(
        str(column)
        for one in studies.each
        for column in one.results.runs
        if str(column).startswith("config.") and str(column) != "config.seed"
    )
    found = {
        column.removeprefix("config."): [
            _values(one.results.runs.get(column, pd.Series(dtype=object))) for one in studies.each
        ]
        for column in columns
    }
    found["seeds"] = [_values(pd.Series(one.results.seeds)) for one in studies.each]
    return found


def _values(column: pd.Series) -> str:
    known = column.dropna().drop_duplicates()
    if known.empty:
        return NONE
    if pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known):
        ordered = known.astype(float).sort_values()
        if len(ordered) > MOST_VALUES:
            ends = f"{number(float(ordered.iloc[0]))} to {number(float(ordered.iloc[-1]))}"
            return f"{ends} ({len(ordered):,} values)"
        return ", ".join(number(float(value), 6) for value in ordered)
    return listed(sorted(map(str, known)), MOST_VALUES)


def _facts(studies: Studies, names: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: [_fact(one.results.meta.get(name)) for one in studies.each] for name in names}


def _fact(value: Any) -> str:
    if value in (None, "", {}, []):
        return NONE
    if isinstance(value, Mapping):
        parts = (f"{key} {_fact(own)}" for key, own in value.items() if own not in (None, ""))
        return ", ".join(parts)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def shared_section(studies: Studies) -> Section | None:
    """None where no run is in two studies."""
    shared = shared_runs(studies)
    if shared.empty:
        return None
    named = shared.assign(studies=[listed(list(names)) for names in shared["studies"]])
    rows = [
        [*map(str, key), f"{len(own):,}", f"{int(own['differs'].sum()):,}"]
        for key, own in named.groupby(["configuration", "studies"], sort=False)
    ]
    return Section(
        title="Configurations in several studies",
        lead="Runs that two studies or more have in common: equal in every setting and the seed.",
        finding=_shared_finding(shared, len(rows)),
        tables=[
            Table(
                head=["configuration", "studies", "runs", "of them with other values"],
                rows=rows,
                align="llrr",
            )
        ],
    )


def _shared_finding(shared: pd.DataFrame, configurations: int) -> str:
    both = (
        f"{count(len(shared), 'run')} of {count(configurations, 'configuration')} "
        f"{'is' if len(shared) == 1 else 'are'} in several studies and counted once where runs of "
        "all studies are put together; each study keeps its own in what is said of it."
    )
    differ = int(shared["differs"].sum())
    if differ:
        return (
            f"{both} {count(differ, 'run')} of them came to different values: another version, "
            "machine or precision trained them, or one of them is not what it says."
        )
    return f"{both} Wherever two ended, they came to the same values."

"""What ``regatta plan`` shows, as lines and as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from orchestrator.api import Plan
    from orchestrator.plan import Memory, Networks
    from orchestrator.spec import Study


def plan_as_data(planned: Plan) -> dict[str, Any]:
    return {
        "study": planned.study.name,
        "design": planned.study.design,
        "configurations": planned.study.size,
        "seeds": len(planned.study.seeds),
        "runs": planned.runs,
        "finished": planned.finished,
        "slots": planned.slots,
        "cpus": planned.cpus,
        "packs": [
            {"pack_id": pack.pack_id, "lanes": pack.lanes, "runs": list(pack.run_ids)}
            for pack in planned.packs
        ],
        "extension": planned.extension,
        "networks": None if planned.networks is None else dataclasses.asdict(planned.networks),
        "estimate": dataclasses.asdict(planned.estimate),
        "memory": _memory_as_data(planned.memory),
        "tracking": _beyond_tracking(planned),
    }


def _beyond_tracking(planned: Plan) -> str:
    """What is to be said of W&B's limits; empty where the study is below them."""
    from orchestrator.tracking.limits import said

    return said(planned.study.tracking, planned.runs, planned.study.report.top)


def _memory_as_data(expected: Memory | None) -> dict[str, Any] | None:
    """Bytes; null where nothing is known."""
    if expected is None:
        return None
    return {
        "lane_bytes": round(expected.lane),
        "lanes": expected.lanes,
        "pack_bytes": round(expected.total),
        "limit_bytes": None if expected.limit is None else round(expected.limit),
        "lanes_fit": expected.fit,
        "basis": "modelled",
    }


def show_plan(planned: Plan) -> None:
    """Prints a table of what there is to train, and what it takes."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for row in (*_design_rows(planned), *_cost_rows(planned)):
        table.add_row(*row)
    Console().print(table)


def _design_rows(planned: Plan) -> Iterator[tuple[str, str]]:
    study = planned.study
    yield "study", study.name
    if not study.adaptive:
        yield "design", study.design
    yield "axes", _axes_in_words(study)
    done = f", {planned.finished} of them finished" if planned.finished else ""
    yield "runs", f"{planned.runs}{done}"
    if planned.networks is not None:
        yield from _networks_in_words(planned.networks)
    if planned.extension:
        yield "extended", planned.extension
    if beyond := _beyond_tracking(planned):
        yield "W&B", beyond
    if rules := ", ".join(dict.fromkeys(rule.name for rule in study.early_stopping)):
        yield "stopping", rules


def _cost_rows(planned: Plan) -> Iterator[tuple[str, str]]:
    from orchestrator.plan.in_words import at_a_time, memory_in_words, search_in_words
    from orchestrator.progress import duration

    study, expected = planned.study, planned.estimate
    if planned.finished >= planned.runs:
        yield "packs", "none: every run has ended"
        return
    if study.adaptive:
        yield "search", search_in_words(study, at_a_time(study, planned.slots))
    else:
        yield "packs", _packs_in_words(planned)
    if expected.seconds is None or expected.slot_seconds is None:
        yield "time", f"not known: {expected.basis}"
    else:
        hours = expected.slot_seconds * (study.resources.cpus or 1.0) / 3600
        about = "at most" if study.early_stopping else "about"
        took = f"{about} {duration(expected.seconds)} ({expected.basis})"
        yield "time", f"{took}, {hours:.2g} CPU-hours"
    if study.trainable is None:
        yield "memory", memory_in_words(planned.memory)


def _packs_in_words(planned: Plan) -> str:
    lanes = ", ".join(str(pack.lanes) for pack in planned.packs[:8])
    more = ", …" if len(planned.packs) > 8 else ""
    how = f", lanes: {lanes}{more}" if planned.study.trainable is None else ", one run each"
    each = f", {planned.cpus:g} CPUs each" if planned.cpus > 1 else ""
    return f"{len(planned.packs)} on {planned.slots} slots{how}{each}"


def _networks_in_words(networks: Networks) -> Iterator[tuple[str, str]]:
    """What is pruned, and what the dense networks alone would take."""
    from orchestrator.progress import duration

    levels = f"{networks.levels} level{'s' * (networks.levels > 1)}"
    yield "networks", f"{networks.in_words}; {levels}"
    seconds, basis = networks.dense_only.seconds, networks.dense_only.basis
    took = f"not known: {basis}" if seconds is None else f"about {duration(seconds)} ({basis})"
    yield "dense only", f"{took}; all networks train {networks.times:.3g} times as much"


def _axes_in_words(study: Study) -> str:
    axes = " × ".join(f"{len(values)} {path}" for path, values in study.axes.items())
    if study.search.name != "grid":
        axes = ", ".join(study.axes)
    return f"{axes or 'none'} × {len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}"

"""``regatta advise``: batch size, learning rate, time and cost for a number of GPUs."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestrator.cli_input import Folder, fail, say, wrong_input

if TYPE_CHECKING:
    from orchestrator.report.large_batch.fit import Bound
    from orchestrator.report.large_batch.planner import Advice, Row

EXAMPLE = "Example: regatta advise results/large-batch --gpus 8 --price 2.5"
_WIDEST = 1000


def advise(
    folder: Folder,
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", min=1, help="how many there are")],
    examples_per_second: Annotated[
        float | None,
        typer.Option("--examples-per-second", metavar="X", help="of one GPU, at any batch"),
    ] = None,
    throughput: Annotated[
        Path | None,
        typer.Option(
            "--throughput",
            metavar="FILE.csv",
            help="batch per GPU, examples per second; by default as the study measured",
        ),
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", metavar="EUR", help="of a GPU for an hour")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="an optimizer or schedule; by default the fastest")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Say which batch size and learning rate to train with on N GPUs, and what it takes."""
    with wrong_input():
        from orchestrator.report.large_batch.advice import advise as advise_on
        from orchestrator.report.large_batch.planner import AdviceError
        from orchestrator.report.large_batch.throughput import ThroughputError

        try:
            found = advise_on(
                folder,
                gpus,
                examples_per_second=examples_per_second,
                throughput=throughput,
                price=price,
                group=group,
            )
        except (AdviceError, ThroughputError) as error:
            fail(str(error))
    if as_json:
        say(json.dumps(_plain(dataclasses.asdict(found)), indent=2))
    else:
        _show(found, priced=price is not None)


def _plain(value: Any) -> Any:
    """NaN and infinity are no JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: Advice, *, priced: bool) -> None:
    from rich.table import Table

    say(f"{found.group or 'The study'}; throughput {found.throughput.source}")
    say(_curve(found))
    table = Table(box=None, padding=(0, 2, 0, 0))
    headings = ["GPUs", "batch", "rate", "steps", "time", "GPU-hours", "efficiency"]
    for heading in [*headings, *(["cost"] if priced else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in found.rows:
        cost = [_money(row.cost)] if priced else []
        table.add_row(*_cells(row), *cost, "; ".join(row.notes))
    # A table that is cut says nothing; a narrow terminal breaks its lines.
    console = Console()
    console.width = max(console.width, Console(width=_WIDEST).measure(table).maximum)
    console.print(table)
    row = found.chosen
    rate = "" if math.isnan(row.rate) else f", learning rate {row.rate:.3g} ({row.rate_source})"
    cost_text = f", {_money(row.cost)}" if priced else ""
    say(
        f"With {_gpus(row.gpus)}: batch size {row.batch_size:,} ({row.per_gpu:,.0f} each){rate}:"
        f" {row.steps:,.0f} steps, {_time(row.seconds)}, {row.gpu_hours:.3g} GPU-hours{cost_text}."
    )
    say(
        f"Up to {_gpus(found.diminishing.gpus)} at least half of their time counts; with more,"
        " returns diminish."
    )
    if row.extrapolated:
        say(f"This is beyond the batch sizes that were measured (up to {found.fit.largest:,}).")
    for name, seconds in found.others:
        say(f"{name} would take {_time(seconds)}.")


def _time(seconds: float) -> str:
    from orchestrator.progress import duration

    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"


def _money(cost: float) -> str:
    return f"{cost:,.2f}" if cost >= 0.1 else f"{cost:.2g}"


def _gpus(count: int) -> str:
    return f"{count:,} GPU{'s' if count > 1 else ''}"


def _cells(row: Row) -> list[str]:
    rate = "" if math.isnan(row.rate) else f"{row.rate:.3g}"
    return [
        f"{row.gpus:,}",
        f"{row.batch_size:,}",
        rate,
        f"{row.steps:,.0f}",
        _time(row.seconds),
        f"{row.gpu_hours:.3g}",
        f"{100 * row.efficiency:.0f} %",
    ]


def _curve(found: Advice) -> str:
    fit = found.fit
    if fit.below_range and fit.above_range:
        return "No critical batch size can be told from what was measured."
    if fit.below_range:
        return f"No scaling is seen: larger batches save no steps ({_text(fit.s_min)} at any size)."
    if fit.above_range:
        low = f"; the critical batch size is above {fit.b_crit.low:,.0f}" if fit.b_crit.low else ""
        return f"Perfect scaling as far as was measured (up to {fit.largest:,}){low}."
    return (
        f"At least {_text(fit.s_min)} steps and {_text(fit.e_min)} examples; critical batch size"
        f" {_text(fit.b_crit)}"
    )


def _text(bound: Bound) -> str:
    interval = "" if math.isnan(bound.low) else f" ({bound.low:,.0f}–{bound.high:,.0f})"
    return f"{bound.value:,.0f}{interval}"

"""``regatta simulate``: a study on virtual time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestrator.cli_input import Set, SpecFile, fail, load, say, wrong_input

if TYPE_CHECKING:
    from orchestrator.simulate import Simulation
    from orchestrator.simulate.figures import Case, Interval

EXAMPLE = (
    "Example: regatta simulate sweeps/asha.yaml --rule none --rule asha --rule median --gpus 4"
)


def simulate(
    spec: SpecFile,
    overrides: Set = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            "--curves", metavar="DIR", help="results of a study to replay; else synthetic curves"
        ),
    ] = None,
    searches: Annotated[
        list[str] | None,
        typer.Option(
            "--search", metavar="SEARCH", help="a name, or what a study writes; may be repeated"
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            help="none, asha, '{name: asha, reduction: 4}', …; may be repeated",
        ),
    ] = None,
    gpus: Annotated[float | None, typer.Option("--gpus", help="virtual GPUs; by default 1")] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", help="packs at a time, in place of --gpus")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="each with seeds anew")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the first repeat")] = 0,
    noise: Annotated[float, typer.Option("--noise", min=0, help="of synthetic curves")] = 0.01,
    step_seconds: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--step-seconds",
            metavar="STACK LANE",
            help="a step of L lanes takes STACK + L × LANE seconds",
        ),
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", min=0, help="of a GPU for an hour")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Compare searches and early stopping on recorded or synthetic curves; nothing is trained."""
    with wrong_input():
        study = load(spec, overrides)
        from orchestrator.api import simulate_study
        from orchestrator.simulate import SimulateError

        try:
            found = simulate_study(
                study,
                curves=curves,
                searches=searches or (),
                rules=rules or (),
                gpus=gpus,
                slots=slots,
                repeats=repeats,
                seed=seed,
                noise=noise,
                step_seconds=step_seconds,
            )
        except SimulateError as error:
            fail(f"{spec}: {error}")
    if as_json:
        say(json.dumps(_as_data(found, price), indent=2))
    else:
        _show(found, price)


def _as_data(found: Simulation, price: float | None) -> dict[str, Any]:
    return {
        "study": found.study,
        "objective": {"metric": found.objective.metric, "mode": found.objective.mode},
        "slots": found.machine.slots,
        "repeats": found.repeats,
        "optimum": found.optimum,
        "cases": [_case_as_data(case, price) for case in found.cases],
        "notes": list(found.notes),
        "finding": found.finding,
    }


def _case_as_data(case: Case, price: float | None) -> dict[str, Any]:
    from orchestrator.simulate.figures import NAMES

    data: dict[str, Any] = {"search": case.search, "rule": case.rule}
    data |= {name: _interval_as_data(case.interval(name), 1.0) for name in NAMES}
    if price is not None:
        data["cost"] = _interval_as_data(case.interval("gpu_hours"), price)
    return data


def _interval_as_data(interval: Interval, times: float) -> dict[str, float | None]:
    """NaN is no JSON."""
    values = {"median": interval.median, "low": interval.low, "high": interval.high}
    return {k: None if math.isnan(value) else value * times for k, value in values.items()}


def _show(found: Simulation, price: float | None) -> None:
    from rich.table import Table

    goal = f"{found.objective.metric} ({found.objective.mode})"
    repeats = f"{found.repeats} repeat{'s' if found.repeats > 1 else ''}"
    slots = f"{found.machine.slots} slot{'s' if found.machine.slots > 1 else ''}"
    say(f"{found.study}: {goal}, {slots}, median of {repeats} (5th to 95th percentile)")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("search", "rule"):
        table.add_column(heading, no_wrap=True)
    for heading in _HEADINGS if price is None else (*_HEADINGS, "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for case in found.cases:
        table.add_row(case.search, case.rule, *_cells(case, price))
    # A table that is cut says nothing; a narrow terminal breaks its lines.
    console = Console()
    console.width = max(console.width, Console(width=_WIDEST).measure(table).maximum)
    console.print(table)
    for note in found.notes:
        say(f"{note[0].upper()}{note[1:]}.")
    say(found.finding)


_WIDEST = 1000
_HEADINGS = (
    *("started", "completed", "stopped", "steps", "time", "GPU-hours"),
    *("slots", "lanes", "best", "regret"),
)


def _cells(case: Case, price: float | None) -> list[str]:
    from orchestrator.progress import duration

    of = case.interval
    runs = [f"{of(name).median:,.0f}" for name in ("started", "completed", "stopped")]
    cells = [
        *runs,
        _percent(of("steps"), spread=True),
        duration(of("seconds").median),
        f"{of('gpu_hours').median:.3g}",
        _percent(of("slots")),
        _percent(of("lanes")),
        f"{of('best').median:.4g}",
        _percent(of("regret"), digits=1, spread=True),
    ]
    return cells if price is None else [*cells, f"{price * of('gpu_hours').median:,.2f}"]


def _percent(one: Interval, *, digits: int = 0, spread: bool = False) -> str:
    median, low, high = (f"{100 * x:.{digits}f}" for x in (one.median, one.low, one.high))
    return f"{median} % ({low}–{high})" if spread and low != high else f"{median} %"

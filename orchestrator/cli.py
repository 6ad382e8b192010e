"""The command line. Commands import what they need when they run, so that they start at once."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from orchestrator.cli_advise import EXAMPLE as ADVISE_EXAMPLE
from orchestrator.cli_advise import advise
from orchestrator.cli_input import Folder, Results, Set, SpecFile
from orchestrator.cli_input import fail as _fail
from orchestrator.cli_input import load as _load
from orchestrator.cli_input import say as _say
from orchestrator.cli_input import wrong_input as _wrong_input
from orchestrator.cli_plan import plan_as_data, show_plan
from orchestrator.cli_simulate import EXAMPLE, simulate

if TYPE_CHECKING:
    from orchestrator.spec import Study

INTERRUPTED = 130
EVERY = 30.0
"""Seconds between two reports of a study that is watched."""
A_DAY = 86_400

app = typer.Typer(
    help="Sweeps of deep-learning optimization studies: one YAML file in, one report out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Entry point of ``regatta``."""
    app()


@app.command(epilog="Example: regatta validate sweeps/lr_schedules.yaml")
def validate(spec: SpecFile, overrides: Set = None) -> None:
    """Check a study; errors as FILE:LINE:COL: path: message."""
    with _wrong_input():
        study = _load(spec, overrides)
    runs = study.size * len(study.seeds)
    what = "networks" if study.lottery else "configurations"
    _say(f"{spec}: {study.name}, {study.size} {what}, {runs} runs")
    from orchestrator.tracking.limits import said

    if beyond := said(study.tracking, runs, study.report.top):
        _say(f"{spec}: warning: {beyond}")


@app.command(epilog="Example: regatta plan sweeps/lr_schedules.yaml --json")
def plan(
    spec: SpecFile,
    overrides: Set = None,
    results: Results = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show runs, packs, lanes, expected time, cost and memory; nothing is started."""
    with _wrong_input():
        from orchestrator.api import plan_study

        planned = plan_study(_load(spec, overrides), results)
    if as_json:
        _say(json.dumps(plan_as_data(planned), indent=2))
    else:
        show_plan(planned)


app.command(epilog=EXAMPLE)(simulate)


@app.command(
    epilog="Example: regatta run sweeps/lr_schedules.yaml --set seeds=5 --set train.epochs=20"
)
def run(spec: SpecFile, results: Results = Path("results"), overrides: Set = None) -> None:
    """Run a study, or go on where it stopped; add what is new in it; write the report."""
    with _wrong_input():
        study = _load(spec, overrides)
        from orchestrator.api import run_study
        from orchestrator.launch import LaunchError
        from orchestrator.store import StorageError

        try:
            with _sigterm_interrupts():
                result = run_study(study, results, command=_command())
        except LaunchError as error:
            _fail("\n".join(f"{spec}: {line}" for line in str(error).splitlines()))
        except StorageError as error:
            print(error, file=sys.stderr)  # noqa: T201 - this is the command line
            raise typer.Exit(1) from error
    counts = result.finish.statuses
    _say(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    if result.finish.faults:
        _say(f"Came through: {_faults(result.finish.faults)}")
    if result.finish.saved:
        _say(result.finish.saved)
    if not result.finish.interrupted and (counts.get("pending") or counts.get("running")):
        _say(_why_left(study))
    if result.tracking:
        _say(result.tracking)
    if result.report is not None:
        _say(f"Report: {result.report}")
    if result.finish.interrupted:
        _say(f"Interrupted. Go on with: {_command()}")
        raise typer.Exit(INTERRUPTED)
    if counts.get("failed"):
        _say(f"Some runs failed: see the report, or regatta status {result.finish.folder}")
        raise typer.Exit(1)


def _why_left(study: Study) -> str:
    if any(rule.name == "budget" for rule in study.early_stopping):
        return "The study's budget is used up: raise it in early_stopping to go on."
    return f"Some runs are not trained yet. Go on with: {_command()}"


def _faults(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in counts.items())


def _command() -> str:
    return shlex.join(["regatta", *sys.argv[1:]])


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM (Slurm, Kubernetes, a service manager) ends a study as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command(epilog="Example: regatta status results/lr-schedules")
def status(folder: Folder) -> None:
    """Show how far a study is."""
    from rich.table import Table

    with _wrong_input():
        from orchestrator.store.database import Store
        from orchestrator.store.faults import FELL_BACK
        from orchestrator.store.standing import to_come

        with Store.open(folder) as store:
            meta, outcomes = store.meta(), store.outcomes()
            saved = store.saved(outcomes)
            faults, notes = store.fault_counts(), store.details(FELL_BACK)
    table = Table.grid(padding=(0, 2))
    table.add_row("study", str(meta.get("study", "")))
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    known = [f"{n} {name}" for name, n in sorted(counts.items())]
    left = to_come(meta, len(outcomes))
    table.add_row("runs", ", ".join([*known, *([f"{left} to come"] if left else [])]))
    if saved:
        table.add_row("stopped", saved)
    objective = meta.get("objective", {})
    metric, mode = objective.get("metric", ""), objective.get("mode", "min")
    ended = [o for o in outcomes if o.whole and metric in o.final]
    if ended:
        best = (min if mode == "min" else max)(ended, key=lambda o: o.final[metric])
        table.add_row("best", f"{metric} {best.final[metric]:.4g}, run {best.run_id}")
    table.add_row("started", str(meta.get("started")))
    table.add_row("finished", str(meta.get("finished") or "not yet"))
    if faults:
        table.add_row("came through", _faults(faults))
    Console().print(table)
    for note in notes[-10:]:
        _say(f"note: {note}")
    for outcome in [o for o in outcomes if o.status == "failed"][:10]:
        _say(f"failed: {outcome.run_id}: {outcome.reason}")


@app.command(epilog="Example: regatta report results/lr-schedules -o report.html --watch")
def report(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="the HTML file")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="write it anew until the study has finished")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", help="between two reports of --watch")
    ] = EVERY,
) -> None:
    """Write a study's report: one HTML file that needs no network; also in mid-sweep."""
    if not 1 <= every <= A_DAY:
        _fail(f"--every: must be 1 to {A_DAY} seconds, got {every:g}")
    if every != EVERY and not watch:
        _fail("--every: only goes with --watch")
    with _wrong_input():
        if not watch:
            from orchestrator.report import write_report

            _say(f"Report: {write_report(folder, output)}")
            return
        from orchestrator.report.watch import watch_report

        try:
            with _sigterm_interrupts():
                page = watch_report(folder, output, every=every, say=_say)
        except KeyboardInterrupt:
            _say("No longer watched; the study goes on.")
            raise typer.Exit(INTERRUPTED) from None
    _say(f"Finished. Report: {page}")


@app.command(epilog="Example: regatta compare results/sgd results/adam -o comparison.html")
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR DIR...", help="results of two studies or more"),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="the HTML file")
    ] = Path("comparison.html"),
) -> None:
    """Write one report on several studies, by a metric that all of them have."""
    with _wrong_input():
        from orchestrator.report.compare import CompareError, write_comparison

        try:
            _say(f"Report: {write_comparison(folders, output)}")
        except CompareError as error:
            _fail(str(error))


@app.command(
    epilog="Example: regatta export results/lr-schedules -o tables --format csv --figures --latex"
)
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER")],
    form: Annotated[
        Literal["parquet", "csv", "json"],
        typer.Option("--format", help="csv and json are written beside Parquet"),
    ] = "parquet",
    figures: Annotated[
        bool, typer.Option("--figures", help="also the report's: SVG, PDF, PNG, CSV, Parquet")
    ] = False,
    latex: Annotated[
        bool, typer.Option("--latex", help="also headline.tex, the table of what came out")
    ] = False,
    tickets: Annotated[
        bool, typer.Option("--tickets", help="also saved pruned networks, for plain PyTorch")
    ] = False,
) -> None:
    """Write runs, history and measurements as tables; figures, and pruned networks."""
    with _wrong_input():
        from orchestrator.exports import export_figures, export_latex, export_results

        for path in export_results(folder, output, form):
            _say(str(path))
        if latex:
            _say(str(export_latex(folder, output)))
        if figures:
            _say(f"{output / 'figures'}: {len(export_figures(folder, output))} files")
        if tickets:
            _export_tickets(folder, output)


def _export_tickets(folder: Path, output: Path) -> None:
    from orchestrator.exports import export_tickets

    written = export_tickets(folder, output)
    if written.files:
        networks = len(written.files) // 2
        _say(f"{output / 'tickets'}: {networks} network{'s' if networks > 1 else ''}")
    if not (written.files or written.damaged):
        _fail(f"{folder}: no pruned network is saved here; execution: {{save: all}} keeps them")
    for line in written.damaged:
        print(line, file=sys.stderr)  # noqa: T201 - this is the command line
    if written.unsaved:
        _say(f"{len(written.unsaved)} pruned networks were not saved (execution.save)")
    if written.damaged:
        raise typer.Exit(1)


app.command(epilog=ADVISE_EXAMPLE)(advise)


@app.command(epilog="Example: regatta replay results/pbt -o replay.yaml")
def replay(
    folder: Folder,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="the study to write")
    ],
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="another run than the best one")
    ] = None,
) -> None:
    """Write a study that trains the best run alone, with the schedule that a population found."""
    with _wrong_input():
        from orchestrator.api import replay_study

        text = replay_study(folder, run)
        if output.exists():
            _fail(f"{output}: exists already; name a new file")
        output.write_text(text)
    _say(f"{output}: run it with `regatta run {output}`")


@app.command(epilog="Example: regatta sync results/lr-schedules")
def sync(folder: Folder) -> None:
    """Bring Weights & Biases up to a study's results, as its `tracking` section says."""
    with _wrong_input():
        from orchestrator.api import sync_study
        from orchestrator.tracking import MirrorError

        try:
            written = sync_study(folder)
        except MirrorError as error:
            _say(f"W&B: {error}")
            raise typer.Exit(1) from error
    _say(f"W&B: {written} runs written")


@app.command(epilog="Example: regatta schema > regatta.schema.json")
def schema() -> None:
    """Print the JSON Schema of a study, for editors that complete and check YAML."""
    from orchestrator.spec import json_schema

    _say(json.dumps(json_schema(), indent=2))


@app.command(epilog="Example: regatta init my_study.yaml")
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="the study to write")],
) -> None:
    """Write a commented study to start from."""
    from orchestrator.spec import template

    with _wrong_input():
        if path.exists():
            _fail(f"{path}: exists already; name a new file")
        path.write_text(template())
    _say(f"{path}: edit it, then `regatta validate {path}` and `regatta run {path}`")

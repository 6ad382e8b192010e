"""The demo study, done by Regatta, by Ray Tune and by hand: seconds from start to end.

Every contender is a fresh process that does the same work: the same runs with the same
initialization, order of examples, learning rates, steps, batch size and evaluations.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contender import trained_runs
from benchmarks.contenders import CONTENDERS, STUDY, Contender, Scores, timed
from orchestrator.spec import load_study

_SAME, _SHARE = 0.01, 0.7
"""At least this share of the runs must end with the first contender's loss, to this relative
difference. The rest leaves room for learning rates at the edge of divergence, where rounding
decides where a run ends."""


@dataclass(slots=True)
class Row:
    """A contender's measurements."""

    contender: str
    runs: int
    epochs: float
    seconds: list[float] = field(default_factory=list)
    measured_runs: int = 0
    """Less than ``runs``: the seconds were extrapolated."""
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The fastest round: what the neighbours on the machine disturbed least."""
        return min(self.seconds)


def main() -> None:
    given = _arguments()
    overrides = grid(given.runs, given.epochs)
    runs = trained_runs(load_study(STUDY, overrides))
    epochs = runs[0].train.epochs or 0.0
    chosen = [c for c in CONTENDERS if not given.only or c.name in given.only]
    console = Console()
    rows = {c.name: Row(c.name, len(runs), epochs) for c in chosen}
    for _ in range(given.repeat):
        for contender in chosen:
            row = rows[contender.name]
            measure(row, contender, overrides, given.baseline_runs)
            console.print(f"{contender.name}: {row.seconds[-1]:.1f} s")
    table = show(rows)
    console.print(table)
    if given.json:
        given.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows.values()]))
    if problems := disagreements(list(rows.values())):
        raise SystemExit("not the same work:\n" + "\n".join(problems))


def _arguments() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--runs", type=int, default=144, help="about this many; default 144")
    parser.add_argument("--epochs", type=int, help="instead of the study's own")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the fastest counts")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--baseline-runs",
        type=int,
        metavar="N",
        help="run Ray Tune's contenders on N runs and on N/3, and extrapolate",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def grid(runs: int, epochs: int | None) -> list[str]:
    """Overrides of the study that make about ``runs`` runs of it, by its learning rates."""
    study = load_study(STUDY)
    others = len(study.runs()) // len(study.axes["optimizer.lr"])
    rates = max(2, round(runs / others))
    overrides = [
        f"sweep.optimizer.lr={{log: [0.003, 3.0], points: {rates}}}",
        "tracking.wandb=off",
    ]
    if epochs is not None:
        overrides.append(f"train.epochs={epochs}")
    return overrides


def measure(row: Row, contender: Contender, overrides: Sequence[str], subset: int | None) -> None:
    """Adds one round to ``row``."""
    if subset is None or not contender.subset or subset >= row.runs:
        seconds, scores = timed(contender.name, overrides)
        row.measured_runs = row.runs
    else:
        few = max(2, subset // 3)
        short, _ = timed(contender.name, overrides, few)
        long, scores = timed(contender.name, overrides, subset)
        seconds = long + (long - short) / (subset - few) * (row.runs - subset)
        row.measured_runs = subset
    row.seconds.append(seconds)
    row.scores = dict(scores)


def show(rows: dict[str, Row]) -> Table:
    """The table of all contenders."""
    first = next(iter(rows.values()))
    rounds = len(first.seconds)
    some = f", fastest of {rounds} rounds" if rounds > 1 else ""
    table = Table(title=f"{first.runs} runs of {first.epochs:g} epochs, start-up included{some}")
    table.add_column("contender")
    for column in ("seconds", "runs/s", f"× {first.contender}", "loss", "accuracy", "same"):
        table.add_column(column, justify="right", no_wrap=True)
    for contender in CONTENDERS:
        if contender.name not in rows:
            continue
        row = rows[contender.name]
        measured = row.measured_runs == row.runs
        note = "" if measured else f" (extrapolated from {row.measured_runs} runs)"
        best = min(loss for loss, _ in row.scores.values() if math.isfinite(loss))
        table.add_row(
            contender.title + note,
            f"{row.best:.1f}",
            f"{row.runs / row.best:.2f}",
            f"{row.best / first.best:.2f}",
            f"{best:.4f}",
            f"{max(accuracy for _, accuracy in row.scores.values()):.4f}",
            f"{agreement(first.scores, row.scores):.0%}",
        )
    table.caption = (
        "loss: best final one on valid; accuracy: best final one on test;\n"
        f"same: runs that end within {_SAME:.0%} of {first.contender}'s loss"
    )
    return table


def agreement(expected: Scores, found: Scores) -> float:
    """Share of the runs found whose final loss is that expected."""
    same = 0
    for run, (loss, _) in found.items():
        other, _ = expected.get(run, (0.0, 0.0))
        both_diverged = not math.isfinite(loss) and not math.isfinite(other)
        same += both_diverged or abs(loss - other) <= _SAME * abs(other)
    return same / len(found)


def disagreements(rows: Sequence[Row]) -> list[str]:
    """Contenders that cannot have done the work of the first."""
    first, *others = rows
    shares = {row.contender: agreement(first.scores, row.scores) for row in others}
    return [f"{name}: only {s:.0%} of the runs agree" for name, s in shares.items() if s < _SHARE]


if __name__ == "__main__":
    main()

"""The lottery-ticket study on digits, by Regatta and by hand: ``python -m benchmarks.lottery``.

5 seeds × (a dense network, 12 levels of a ticket and its three controls) = 245 networks. Every
contender is a fresh process that trains all of them, start-up included: Regatta as its command
line does, with store and report; plain PyTorch one network at a time, as OpenLTH does, and with a
process a core. By hand, threads are as many as train a first part of the work fastest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.contender import trained_runs
from benchmarks.contenders import clocked
from benchmarks.eager_lottery import Score
from orchestrator.spec import load_study
from orchestrator.store import Store
from trainables.configs.run import RunConfig, run_id

_STUDY = """
study: lottery
data: {{name: digits}}
model: {{name: mlp, hidden: [64, 32], init: xavier}}
optimizer: {{name: adam, lr: 0.0012}}
train: {{epochs: {epochs}, batch_size: 60}}
seeds: {seeds}
procedure: {{name: lottery, levels: {levels}, controls: [reinitialized, shuffled, signs]}}
objective: {{metric: valid/accuracy, mode: max}}
tracking: {{wandb: "off"}}
"""
_KINDS = ("dense", "ticket", "reinitialized", "shuffled", "signs")
_TRIED_EPOCHS = 20
_SAME = 0.01
"""Mean test accuracies of a kind of network, over seeds and levels, may differ by as much."""

Scores = Mapping[str, Score]
"""run_id → where the network ended."""


class Row(NamedTuple):
    """A contender's measurements."""

    title: str
    seconds: list[float]
    accuracies: dict[str, float]
    """Mean test accuracy of each kind of network."""


def main() -> None:
    given = _arguments()
    text = study(given.seeds, given.levels, given.epochs)
    runs = _runs(text)
    threads = fastest_threads()
    processes = os.cpu_count() or 1
    contenders = {
        "Regatta": [],
        f"by hand, threads: {threads}": ["--threads", str(threads)],
        f"by hand, {processes} processes": ["--processes", str(processes)],
    }
    rows = {title: Row(title, [], {}) for title in contenders}
    problems: list[str] = []
    first: Scores = {}
    for _ in range(given.repeat):
        for title, arguments in contenders.items():
            seconds, scores = timed(text, arguments)
            first = first or scores
            rows[title].seconds.append(seconds)
            rows[title].accuracies.update(accuracies(runs, scores))
            problems += [f"{title}: {p}" for p in disagreements(runs, first, scores)]
            print(f"{title}: {seconds:.1f} s", flush=True)
    Console().print(show(list(rows.values()), len(runs)))
    if given.json:
        given.json.write_text(json.dumps([row._asdict() for row in rows.values()]))
    if problems:
        raise SystemExit("not the same work:\n" + "\n".join(problems))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lottery", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--levels", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the fastest counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def study(seeds: int, levels: int, epochs: int) -> str:
    """The study of all contenders, as YAML."""
    return _STUDY.format(seeds=seeds, levels=levels, epochs=epochs)


def _runs(text: str) -> list[RunConfig]:
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "lottery.yaml"
        spec.write_text(text)
        return trained_runs(load_study(spec))


def fastest_threads() -> int:
    """Threads with which a dense network and one level of a seed are trained fastest by hand."""
    text = study(seeds=1, levels=1, epochs=_TRIED_EPOCHS)
    counts = range(1, (os.cpu_count() or 1) + 1)
    seconds = {count: timed(text, ["--threads", str(count)])[0] for count in counts}
    print(", ".join(f"{count} thread(s): {s:.1f} s" for count, s in seconds.items()), flush=True)
    return min(counts, key=lambda count: seconds[count])


def timed(text: str, by_hand: Sequence[str]) -> tuple[float, Scores]:
    """Seconds that a contender takes, and its scores.

    Args:
        text: the study.
        by_hand: arguments of ``eager_lottery``; Regatta where there are none.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as root:
        spec, folder = Path(root) / "lottery.yaml", Path(root) / "results"
        spec.write_text(text)
        folder.mkdir()
        if by_hand:
            words = ["benchmarks.eager_lottery", str(spec), "--folder", str(folder), *by_hand]
            seconds = clocked([sys.executable, "-m", *words], Path(root))
            said = json.loads((folder / "scores.json").read_text())
            return seconds, {run: Score(*score) for run, score in said.items()}
        words = ["orchestrator", "run", str(spec), "--results", str(folder)]
        return clocked([sys.executable, "-m", *words], Path(root)), _stored(folder)


def _stored(folder: Path) -> Scores:
    with Store.open(folder / "lottery") as store:
        finals = {outcome.run_id: outcome.final for outcome in store.outcomes()}
    return {
        run: Score(final.get("probe/density", 1.0), final["valid/loss"], final["test/accuracy"])
        for run, final in finals.items()
    }


def kind(run: RunConfig) -> str:
    """One of ``_KINDS``."""
    return "dense" if run.lottery is None else run.lottery.control or "ticket"


def accuracies(runs: Sequence[RunConfig], scores: Scores) -> dict[str, float]:
    """The mean test accuracy of each kind of network."""
    found: dict[str, list[float]] = {name: [] for name in _KINDS}
    for run in runs:
        found[kind(run)].append(scores[run_id(run)].test_accuracy)
    return {name: statistics.mean(values) for name, values in found.items()}


def disagreements(runs: Sequence[RunConfig], expected: Scores, found: Scores) -> list[str]:
    """Why two contenders cannot have done the same work: none, where they may have.

    Masks leave the same share of weights, to the last one. Rounding makes other networks of deep
    levels, since it decides which of two weights goes; so accuracies agree in the mean.
    """
    ids = [run_id(run) for run in runs]
    if {*found} != {*ids}:
        return [f"{len(found)} networks instead of {len(ids)}"]
    others = sum(abs(found[run].density - expected[run].density) > 1e-9 for run in ids)
    problems = [f"{others} masks leave another share of weights"] if others else []
    wanted, have = accuracies(runs, expected), accuracies(runs, found)
    return problems + [
        f"{name}: test accuracy {have[name]:.4f} instead of {wanted[name]:.4f}"
        for name in _KINDS
        if abs(have[name] - wanted[name]) > _SAME
    ]


def show(rows: Sequence[Row], networks: int) -> Table:
    """The table of all contenders, a column each."""
    rounds = len(rows[0].seconds)
    some = f", fastest of {rounds} rounds" if rounds > 1 else ""
    table = Table(title=f"{networks} networks, start-up included{some}")
    table.add_column("")
    for row in rows:
        table.add_column(row.title, justify="right")
    best = [min(row.seconds) for row in rows]
    table.add_row("seconds", *(f"{seconds:.1f}" for seconds in best))
    table.add_row("× Regatta", *(f"{seconds / best[0]:.2f}" for seconds in best))
    for name in _KINDS:
        percent = (f"{100 * row.accuracies[name]:.2f}" for row in rows)
        table.add_row(f"accuracy, %: {name}", *percent)
    table.caption = "accuracy: on test, mean over seeds and levels"
    return table


if __name__ == "__main__":
    main()

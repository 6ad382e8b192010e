"""What the terminal shows while a study trains: a live panel, or plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.store import FINISHED, Outcome

if TYPE_CHECKING:
    from orchestrator.spec.study import OwnObjective

_STYLES = {
    "completed": "green",
    "stopped": "cyan",
    "diverged": "yellow",
    "failed": "red",
    "running": "blue",
    "pending": "dim",
}
_SECONDS_BETWEEN_LINES = 10.0


class Tally:
    """Counts what has been reported: runs by status, steps, the best value so far."""

    def __init__(
        self,
        objective: OwnObjective,
        work: Mapping[str, float],
        outcomes: Sequence[Outcome],
        runs: int = 0,
        starts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            work: run_id → its whole training in steps or so, for the time left; empty where
                nothing is known of it: runs are counted then.
            outcomes: how the runs stand in the store.
            runs: how many there will be, where that is more than there are.
            starts: run_id → steps that it is at before its own training begins.
        """
        self.objective = objective
        self._work = work
        self._runs = runs
        self._status = {outcome.run_id: outcome.status for outcome in outcomes}
        self._starts = starts
        self._steps = {o.run_id: max(o.steps, starts.get(o.run_id, 0)) for o in outcomes}
        self._since = time.monotonic()
        self._done_before = self._finished()
        self._steps_before = sum(self._steps.values())
        self._first: tuple[float, float] | None = None
        """When the first report came, and how much was done then."""
        self._best: dict[bool, tuple[float, str]] = {}
        for outcome in outcomes:
            self._consider(outcome)

    def observe(self, rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> None:
        """Takes in one report of a pack."""
        for outcome in outcomes:
            if self._status.get(outcome.run_id) in FINISHED and outcome.status == "running":
                continue  # a pack that restarted from a checkpoint replays finished runs
            self._status[outcome.run_id] = outcome.status
            self._steps[outcome.run_id] = max(outcome.steps, self._steps.get(outcome.run_id, 0))
            self._consider(outcome)
        self._first = self._first or (time.monotonic(), self.share_done)

    def _consider(self, outcome: Outcome) -> None:
        value = outcome.final.get(self.objective.metric)
        if value is None or value != value or outcome.status in ("diverged", "failed"):
            return
        sign = 1 if self.objective.mode == "max" else -1
        before = self._best.get(outcome.whole)
        if before is None or sign * value > sign * before[0]:
            self._best[outcome.whole] = (value, outcome.run_id)

    @property
    def best(self) -> tuple[float, str] | None:
        """The best last value of a run that has had all of its training, and the run; of any
        evaluation as long as there is no such run."""
        return self._best.get(True) or self._best.get(False)

    @property
    def best_word(self) -> str:
        return "best" if True in self._best else "best so far"

    @property
    def to_come(self) -> int:
        """Runs that a search has not asked for yet."""
        return max(0, self._runs - len(self._status))

    @property
    def counts(self) -> Counter[str]:
        return Counter(self._status.values())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    @property
    def started(self) -> bool:
        """Whether anything has been reported yet."""
        return self._first is not None

    @property
    def share_done(self) -> float:
        """Share of the study's work that needs no more training, in [0, 1]."""
        if not self._work:
            return self._finished() / max(1, len(self._status), self._runs)
        total = sum(self._work.values())
        done = sum(
            work if self._status.get(name) in FINISHED else min(work, self._own_steps(name))
            for name, work in self._work.items()
        )
        return done / total if total else 1.0

    def _own_steps(self, name: str) -> int:
        start = self._starts.get(name, 0)
        return max(start, self._steps.get(name, 0)) - start

    @property
    def steps_per_second(self) -> float:
        return (sum(self._steps.values()) - self._steps_before) / max(self.seconds, 1e-9)

    @property
    def runs_per_second(self) -> float:
        return (self._finished() - self._done_before) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """At the pace since the first report; None before there is a pace.

        What was done before counts for nothing: an earlier launch took its own time.
        """
        if self._first is None:
            return None
        since, before = self._first
        gained = self.share_done - before
        return (time.monotonic() - since) * (1 - self.share_done) / gained if gained > 0 else None

    def _finished(self) -> int:
        return sum(status in FINISHED for status in self._status.values())


def line(tally: Tally) -> str:
    """Progress in one plain line."""
    counts = tally.counts
    parts = [f"{counts[name]} {name}" for name in _STYLES if counts[name]]
    if tally.to_come:
        parts.append(f"{tally.to_come} to come")
    left = tally.seconds_left
    parts.append(f"{tally.steps_per_second:,.0f} steps/s")
    parts.append(f"{tally.runs_per_second:.1f} runs/s")
    if left is not None and tally.share_done < 1:
        parts.append(f"about {duration(left)} left")
    if tally.best is not None:
        parts.append(f"{tally.best_word} {tally.best[0]:.4g}")
    return " · ".join(parts)


def say(title: str, what: str) -> None:
    """A line of its own, above the live panel where there is one."""
    print(f"{title}: {what}", flush=True)  # noqa: T201 - this is the progress display


def duration(seconds: float) -> str:
    """Seconds as a person would say them: ``8 s``, ``2 min 05 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextlib.contextmanager
def display(tally: Tally, title: str) -> Iterator[None]:
    """Shows the tally until the block ends: live on a terminal, a line now and then elsewhere."""
    console = Console()
    if console.is_terminal:
        with Live(
            get_renderable=lambda: panel(tally, title), console=console, refresh_per_second=4
        ):
            yield
        return
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(_SECONDS_BETWEEN_LINES):
            if not tally.started:
                continue
            say(title, line(tally))

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
        say(title, line(tally))
    finally:
        stop.set()
        thread.join()


def panel(tally: Tally, title: str) -> Group:
    """Progress as a few lines for a terminal."""
    counts = tally.counts
    head = Text.assemble((title, "bold"), f"  {duration(tally.seconds)}")
    left = tally.seconds_left
    if left is not None and tally.share_done < 1:
        head.append(f", about {duration(left)} left", "dim")
    grid = Table.grid(padding=(0, 2))
    status = Text("  ").join(
        Text(f"{counts[name]} {name}", style) for name, style in _STYLES.items() if counts[name]
    )
    if tally.to_come:
        status.append(f"  {tally.to_come} to come", "dim")
    grid.add_row("runs", status)
    pace = f"{tally.steps_per_second:,.0f} steps/s  {tally.runs_per_second:.1f} runs/s"
    grid.add_row("pace", pace if tally.steps_per_second else Text("starting workers", "dim"))
    if tally.best is not None:
        metric = f"{tally.objective.metric} {tally.best[0]:.4g}"
        grid.add_row(tally.best_word, Text.assemble(metric, (f"  run {tally.best[1]}", "dim")))
    bar = ProgressBar(total=1.0, completed=tally.share_done, width=60)
    return Group(head, Padding(bar), grid)  # a bar alone ends without a line break

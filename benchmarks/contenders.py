"""The contenders: how each is started, and where it leaves its scores."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.store import Store

STUDY = Path("sweeps/lr_schedules.yaml")
_API = """
import sys
from orchestrator import run_study
spec, folder, *overrides = sys.argv[1:]
run_study(spec, folder, overrides=overrides, report=False)
"""

Scores = Mapping[str, tuple[float, float]]
"""run_id → (final loss on valid, final accuracy on test)."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the sweep."""

    name: str
    title: str
    subset: bool = False
    """Whether ``--baseline-runs`` applies to it."""


CONTENDERS = (
    Contender("regatta", "Regatta, with its report"),
    Contender("regatta-bare", "Regatta, without the report"),
    Contender("eager", "PyTorch by hand, a process a core"),
    Contender("tune-class", "Ray Tune, class, actors reused", subset=True),
    Contender("tune-function", "Ray Tune, function", subset=True),
)


def command(
    name: str, overrides: Sequence[str], folder: Path, subset: int | None = None
) -> list[str]:
    """What a user would type for this contender."""
    python = sys.executable
    if name == "regatta":
        regatta = str(Path(python).with_name("regatta"))
        sets = [word for item in overrides for word in ("--set", item)]
        return [regatta, "run", str(STUDY), "--results", str(folder), *sets]
    if name == "regatta-bare":
        return [python, "-c", _API, str(STUDY), str(folder), *overrides]
    modules = {"eager": "eager_pool", "tune-class": "tune_class", "tune-function": "tune_function"}
    sets = [word for item in overrides for word in ("--set", item)]
    some = [] if subset is None else ["--subset", str(subset)]
    module = f"benchmarks.{modules[name]}"
    return [python, "-m", module, str(STUDY), *sets, "--folder", str(folder), *some]


def timed(name: str, overrides: Sequence[str], subset: int | None = None) -> tuple[float, Scores]:
    """Seconds from the start of a fresh process to its end, and its scores.

    Raises:
        RuntimeError: the contender failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as root:
        folder = Path(root) / "results"
        folder.mkdir()
        seconds = clocked(command(name, overrides, folder, subset), Path(root))
        return seconds, _scores(name, folder)


def clocked(words: Sequence[str], root: Path) -> float:
    """Seconds from the start of a fresh process with this command to its end.

    Args:
        root: a folder for its log and for Ray's files; its path must be short, since Ray puts
            sockets in there.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    log = root / "log"
    environment = os.environ | {
        "RAY_TMPDIR": str(root),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    with log.open("w") as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches it through us, once
        )
        try:
            code = process.wait()
        finally:
            _end(process)
        seconds = time.perf_counter() - started
    if code:
        command = " ".join(words)
        raise RuntimeError(f"{command}\nended with {code}:\n{log.read_text()[-3000:]}")
    return seconds


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a contender that still runs; Ray's processes go with their driver."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _scores(name: str, folder: Path) -> Scores:
    if not name.startswith("regatta"):
        return {
            run: (a, b) for run, (a, b) in json.loads((folder / "scores.json").read_text()).items()
        }
    [study] = (path for path in folder.iterdir() if path.is_dir())
    with Store.open(study) as store:
        return {
            outcome.run_id: (outcome.final["valid/loss"], outcome.final["test/accuracy"])
            for outcome in store.outcomes()
        }

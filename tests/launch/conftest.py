"""Studies run for real: `regatta` as a process of its own, Ray and all, in folders of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import descendants

STUDY = """\
study: small
data: {name: digits}
model: {name: mlp, hidden: [16]}
optimizer: {name: sgd, momentum: 0.9}
train: {epochs: 200, batch_size: 32, evaluate_every: {epochs: 10}}
seeds: 2
sweep:
  optimizer.lr: [0.01, 0.1, 300.0]
  schedule: [{name: constant}, {name: cosine, warmup: 0.1}]
execution: {strategy: fused, lanes: 6, checkpoint_every: 1}
tracking: {wandb: "off"}
"""


class Regatta:
    """Starts `regatta` commands in one folder, and ends what it started."""

    def __init__(self, folder: Path, scratch: str) -> None:
        self.folder = folder
        self.spec = folder / "study.yaml"
        self.spec.write_text(STUDY)
        self._scratch = scratch
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, results: str = "results") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "orchestrator", *arguments]
        if arguments[0] == "run":
            command += [str(self.spec), "--results", str(self.folder / results)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=os.environ | {"TMPDIR": self._scratch, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            # Tests that were started in the background ignore Ctrl-C, and so would this.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str, results: str = "results", seconds: float = 240) -> str:
        """Runs a command to its end and returns what it printed; it must exit with 0."""
        process = self.start(*arguments, results=results)
        output, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, output
        return output

    def wait_for(self, condition: Callable[[], bool], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            assert self._started[-1].poll() is None, self._started[-1].communicate()[0]
            time.sleep(0.05)

    def descendants(self, process: subprocess.Popen[str]) -> dict[int, str]:
        """pid → command line of everything below a command, the workers of Ray included."""
        return descendants(process.pid)

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def regatta(tmp_path: Path) -> Iterator[Regatta]:
    # Ray's sockets need a short path.
    scratch = tempfile.mkdtemp(prefix="rg", dir="/tmp")
    started = Regatta(tmp_path, scratch)
    yield started
    started.close()
    shutil.rmtree(scratch, ignore_errors=True)

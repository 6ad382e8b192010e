"""A study under random ``kill -9``: of its workers, of raylets and of its driver."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.processes import descendants

RAYLETS = 3


@dataclass
class Cluster:
    """``nodes.py`` as a process, and the raylets that it has started."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    raylets: list[int] = field(default_factory=list)

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the cluster has ended"
        return line

    def add(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("add\n")
        self.process.stdin.flush()
        self.raylets.append(int(self.read()))

    def workers(self) -> list[int]:
        """Processes that train, or are about to."""
        below = [descendants(raylet) for raylet in self.raylets]
        return [
            pid
            for processes in below
            for pid, command in processes.items()
            if command.startswith("ray::ResourceTrainable")
        ]


@contextlib.contextmanager
def cluster(scratch: str) -> Iterator[Cluster]:
    """A cluster of RAYLETS CPUs that only those with its token can talk to."""
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": scratch,
        "TMPDIR": scratch,
        "PYTHONUNBUFFERED": "1",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.nodes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    started = Cluster(process, environment)
    try:
        environment["RAY_ADDRESS"] = started.read()
        for _ in range(RAYLETS):
            started.add()
        yield started
    finally:
        assert process.stdin is not None
        process.stdin.close()
        below = descendants(process.pid)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@dataclass
class Storm:
    """Runs a study on a cluster, kills, and starts the driver again with the same command."""

    cluster: Cluster
    spec: Path
    results: Path
    kills: list[str]
    rng: random.Random
    rows: int
    """History rows of the finished study."""
    log: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.results / "storm"

    def drive(self, seconds: float) -> float:
        """Until the study is done; returns seconds.

        Kill k of K is due when k/(K + 1) of the history is written, so that all of them hit
        a study at work, on a slow machine and on a fast one.
        """
        with (self.results / "driver.log").open("ab") as output:
            return self._drive(output, seconds)

    def _drive(self, output: BinaryIO, seconds: float) -> float:
        started = time.monotonic()
        driver = self._start(output)
        done = 0
        while driver.poll() is None or done < len(self.kills):
            assert time.monotonic() - started < seconds, f"too slow: {done} kills {self.log}"
            if driver.poll() is not None:
                text = (self.results / "driver.log").read_text()
                raise AssertionError(f"ended with {driver.returncode} after {self.log}: {text}")
            due = done < len(self.kills) and self._written() * (len(self.kills) + 1) > (
                self.rows * (done + 1)
            )
            if due and self._kill(self.kills[done], driver):
                if driver.poll() is not None:
                    driver = self._start(output)
                done += 1
            time.sleep(0.1 + 0.3 * self.rng.random())
        assert driver.wait() == 0, (self.results / "driver.log").read_text()
        return time.monotonic() - started

    def _start(self, output: BinaryIO) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestrator", "run", str(self.spec)]
        return subprocess.Popen(
            [*command, "--results", str(self.results)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.cluster.environment,
        )

    def _kill(self, what: str, driver: subprocess.Popen[bytes]) -> bool:
        """False where there is none to kill yet."""
        if what == "driver":
            driver.kill()
            driver.wait()
        elif what == "raylet":
            raylet = self.rng.choice(self.cluster.raylets)
            self.cluster.raylets.remove(raylet)
            os.kill(raylet, signal.SIGKILL)
            self.cluster.add()
        else:
            workers = self.cluster.workers()
            if not workers:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(workers), signal.SIGKILL)
        self.log.append(what)
        return True

    def _written(self) -> int:
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{self.folder / 'store.sqlite'}?mode=ro", uri=True)
            ) as db:
                return int(db.execute("SELECT count(*) FROM history").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

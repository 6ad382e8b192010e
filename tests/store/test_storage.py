"""Disks that fill up and storage that goes away: waited for, then one clear line; nothing torn."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.store import StorageError, Store
from orchestrator.store.patience import Patience
from orchestrator.store.schema import FILE
from tests.store.big import ROWS, RUNS, finish, outcome, plan, rows


class Clock:
    """Time that only passes when someone sleeps; ``then`` happens after so many seconds."""

    def __init__(self, after: float, then: Callable[[], object]) -> None:
        self.time = 0.0
        self._after, self._then = after, then
        self._happened = False

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.time >= self._after and not self._happened:
            self._happened = True
            self._then()


def _patient(store: Store, clock: Clock, seconds: float = 60.0) -> None:
    store.patience = Patience(seconds=seconds, now=clock.now, sleep=clock.sleep)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own in memory; yields a function that mounts it again otherwise."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")

    def again(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    try:
        yield again
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _finish_until_full(store: Store) -> int:
    """How many runs were committed before the disk was full for good."""
    for run in range(RUNS):
        try:
            store.record("p", rows(run), [outcome(f"r{run}")])
        except StorageError:
            return run
    raise AssertionError("the disk never was full")


def _holds(folder: Path, runs: int) -> None:
    with Store.create(folder) as store:
        finished = [name for name, status in store.statuses().items() if status == "completed"]
        assert finished == [f"r{run}" for run in range(runs)]
        assert len(store.history()) == runs * ROWS
        assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_full_disk_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "disk", "200k") as again:
        store = plan(tmp_path / "disk/s")
        clock = Clock(17.0, lambda: again("size=8m"))
        _patient(store, clock)
        with caplog.at_level(logging.WARNING):
            finish(store, 0, RUNS)
        assert 17 <= clock.time < 40
        assert store.fault_counts() == {"write retried": 1}
        assert "no space left" in caplog.messages[0]
        store.close()
        _holds(tmp_path / "disk/s", RUNS)


def test_a_disk_that_stays_full_ends_in_one_line_and_keeps_what_was_committed(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "200k") as again:
        store = plan(tmp_path / "disk/s")
        _patient(store, Clock(1e9, lambda: None), seconds=61.0)
        committed = _finish_until_full(store)
        assert 0 < committed < RUNS
        assert store.broken is not None
        text = str(store.broken)
        assert "\n" not in text
        assert f"{FILE}: no space left (database or disk is full), for 61 s; all that" in text
        store.close()
        again("size=8m")
        _holds(tmp_path / "disk/s", committed)


def test_storage_that_turns_read_only_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as again:
        store = plan(tmp_path / "disk/s")
        finish(store, 0, 3)
        # Files that are open for writing hold it, so the connection is made anew.
        store._db.close()
        again("ro")
        _patient(store, Clock(5.0, lambda: again("rw")))
        store._db = sqlite3.connect(f"file:{tmp_path / 'disk/s' / FILE}?mode=ro", uri=True)
        store._db.isolation_level = None
        finish(store, 3, 5)
        assert store.fault_counts() == {"write retried": 1}
        store.close()
        _holds(tmp_path / "disk/s", 5)


def test_a_folder_that_moves_away_and_returns_loses_nothing(tmp_path: Path) -> None:
    store = plan(tmp_path / "s")
    finish(store, 0, 3)
    away = (tmp_path / "s").rename(tmp_path / "away")
    finish(store, 3, 5)  # open files move along
    _patient(store, Clock(5.0, lambda: away.rename(tmp_path / "s")))
    store._db.close()  # as after a remount: what was open is of no use
    store._db = sqlite3.connect(tmp_path / "elsewhere", isolation_level=None)
    store._db.execute("PRAGMA query_only=1")
    finish(store, 5, 7)
    store.close()
    _holds(tmp_path / "s", 7)


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    program = f"""
        import os, resource, signal, sys
        from pathlib import Path
        from orchestrator.store import StorageError, Store
        from tests.store.big import RUNS, outcome, plan, rows
        store = plan(Path({str(tmp_path / "s")!r}))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        for run in range(RUNS):
            try:
                store.record("p", rows(run), [outcome(f"r{{run}}")])
            except StorageError as error:
                print(run, error, sep="\\n")
                os._exit(7)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | {"REGATTA_STORAGE_SECONDS": "0.5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    committed, line = done.stdout.splitlines()
    assert "for 0 s; all that was committed is kept" in line or "for 1 s" in line
    assert 0 < int(committed) < RUNS
    _holds(tmp_path / "s", int(committed))


def test_what_can_be_read_only_once_is_there_for_the_next_attempt(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    _patient(store, Clock(1e9, lambda: None))
    store._db.execute("PRAGMA max_page_count=1")
    store.plan_runs((f"r{run}", run, {"note": "x" * 503}) for run in range(RUNS))
    assert len(store.statuses()) == RUNS
    assert store.fault_counts() == {"write retried": 1}


def test_an_error_of_ours_is_not_tried_again(tmp_path: Path) -> None:
    store = plan(tmp_path / "s")

    def refuse() -> None:
        raise AssertionError("slept")

    _patient(store, Clock(0.0, refuse))
    store._db.execute("DROP TABLE history")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        finish(store, 0, 1)


def test_damage_in_mid_study_says_that_the_same_command_repairs_it(tmp_path: Path) -> None:
    store = plan(tmp_path / "s")
    finish(store, 0, RUNS)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (tmp_path / "s" / FILE).stat().st_size
    with (tmp_path / "s" / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    store._db.close()
    store._db = sqlite3.connect(tmp_path / "s" / FILE, isolation_level=None)
    with pytest.raises(StorageError, match=r"damaged .* The same command repairs it") as caught:
        finish(store, 0, 1)
    assert store.broken is caught.value


def test_pauses_double_up_to_ten_seconds_and_end_in_time() -> None:
    clock = Clock(1e9, lambda: None)
    pauses = []
    for pause in Patience(seconds=31.0, now=clock.now, sleep=clock.sleep).pauses():
        pauses.append(pause)
        clock.sleep(pause)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert max(pauses) == 10.0
    assert clock.time == pytest.approx(31.0)
    assert Patience.of_environment() == Patience()

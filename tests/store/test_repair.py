"""A damaged store is repaired of its backup and of itself, or refused; never silently less."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.store import SETTLED, Decision, Store, StoreError
from orchestrator.store.backup import back_up, backups
from orchestrator.store.faults import STORE_REPAIRED
from orchestrator.store.schema import BACKUP, FILE
from tests.store.big import ROWS, RUNS, finish, killed, plan, rows

PAGE = 4096
BACKED_UP, FINISHED = 17, 29


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 - 777)


def _zero(page: int) -> Callable[[Path], None]:
    def zero(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(page * PAGE)
            file.write(bytes(PAGE))

    return zero


def _middle(path: Path) -> None:
    _zero(path.stat().st_size // PAGE // 2)(path)


def _garbage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage!" * 16)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _delete(path: Path) -> None:
    path.unlink()


def _lose_log(path: Path) -> None:
    path.with_name(f"{FILE}-wal").unlink()


DAMAGE = {
    "truncated": _truncate,
    "a zeroed page in the middle": _middle,
    "a zeroed page of runs": _zero(7),
    "a garbage header": _garbage_header,
    "empty": _empty,
    "deleted": _delete,
    "without its log": _lose_log,
}


def _same_as_written(store: Store) -> list[str]:
    """The finished runs, each with all that was ever recorded of it."""
    history = store.history()
    finished = [name for name, status in store.statuses().items() if status in SETTLED]
    for name in finished:
        run = int(name[1:])
        found = history[history["run_id"] == name]
        expected = rows(run)
        assert found["step"].tolist() == [row["step"] for row in expected]
        for metric in ("valid/loss", "train/loss"):
            assert found[metric].tolist() == [row[metric] for row in expected]
    return finished


@pytest.fixture(name="broken")
def _broken(tmp_path: Path) -> Path:
    """Killed with 29 of 37 runs finished, 17 of them in the backup; the log holds the last."""
    store = plan(tmp_path / "s")
    finish(store, 0, BACKED_UP)
    back_up(store.folder)
    finish(store, BACKED_UP, FINISHED - 2)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finish(store, FINISHED - 2, FINISHED)
    folder = killed(store, tmp_path / "broken")
    store.close()
    return folder


def test_an_undamaged_killed_store_is_opened_as_it_is(broken: Path) -> None:
    with Store.create(broken) as store:
        assert len(_same_as_written(store)) == FINISHED
        assert store.fault_counts() == {}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_repaired_of_the_backup_and_the_file(
    broken: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, ways = broken / "packs/p/state.pt", broken / "packs/p/ways.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    ways.touch()
    damage(broken / FILE)
    with caplog.at_level(logging.WARNING), Store.create(broken) as store:
        store.plan_runs((f"r{run}", run, {}) for run in range(RUNS))
        finished = _same_as_written(store)
        assert BACKED_UP <= len(finished) <= FINISHED
        assert len(store.statuses()) == RUNS
        assert store.fault_counts() == {"store repaired": 1}
        assert store.meta()["study"] == "s"
        assert [pack["pack_id"] for pack in store.packs()] == ["p"]
    (message,) = caplog.messages
    assert f"is repaired: {len(finished)} finished runs recovered" in message
    assert f"({BACKED_UP} from {BACKUP}" in message
    # Unfinished packs start anew, stacked as they were: nothing is missing between.
    assert not checkpoint.exists()
    assert ways.exists()
    caplog.clear()
    with Store.create(broken) as store:
        assert _same_as_written(store) == finished
    assert not caplog.messages


def test_what_only_the_damaged_file_has_is_taken_from_it(broken: Path) -> None:
    _middle(broken / FILE)
    with Store.create(broken) as store:
        assert len(_same_as_written(store)) > BACKED_UP
    kept = list(broken.glob("store.damaged-*.sqlite"))
    assert len(kept) == 1


def test_without_a_backup_the_file_alone_is_read(broken: Path) -> None:
    (broken / BACKUP).unlink()
    _middle(broken / FILE)
    with Store.create(broken) as store:
        finished = _same_as_written(store)
        assert 0 < len(finished) < FINISHED


def test_a_damaged_backup_is_not_used(broken: Path) -> None:
    _middle(broken / BACKUP)
    _middle(broken / FILE)
    with Store.create(broken) as store:
        assert 0 < len(_same_as_written(store)) < FINISHED


@pytest.mark.parametrize("damage", [_garbage_header, _zero(0)], ids=["garbage", "zeroed"])
def test_where_nothing_is_left_the_store_is_refused(
    broken: Path, damage: Callable[[Path], None]
) -> None:
    (broken / BACKUP).unlink()
    _lose_log(broken / FILE)
    damage(broken / FILE)
    before = (broken / FILE).read_bytes()
    with pytest.raises(StoreError, match=r"store\.sqlite: damaged .* Move .* away") as caught:
        Store.create(broken)
    assert "\n" not in str(caught.value)
    assert (broken / FILE).read_bytes() == before
    assert sorted(path.name for path in broken.iterdir()) == [FILE, "store.state"]


def test_a_page_zeroed_after_a_clean_end_is_found(tmp_path: Path) -> None:
    with plan(tmp_path / "s") as store:
        finish(store, 0, RUNS)
        back_up(store.folder)
    assert not list(store.folder.glob("*-wal"))
    _middle(store.folder / FILE)
    with Store.create(store.folder) as repaired:
        assert len(_same_as_written(repaired)) == RUNS


def test_a_store_that_was_closed_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(tmp_path / "s").close()

    def refuse(db: sqlite3.Connection) -> str:
        raise AssertionError("checked")

    monkeypatch.setattr("orchestrator.store.repair.quick_check", refuse)
    Store.create(tmp_path / "s").close()
    with (tmp_path / "s" / FILE).open("ab") as file:
        file.write(bytes(PAGE))
    with pytest.raises(AssertionError, match="checked"):
        Store.create(tmp_path / "s")


def test_a_damaged_store_never_replaces_its_backup(tmp_path: Path) -> None:
    with plan(tmp_path / "s") as store:
        finish(store, 0, RUNS)
        back_up(store.folder)
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = (store.folder / BACKUP).read_bytes()
        _middle(store.folder / FILE)
        with pytest.raises(sqlite3.DatabaseError):
            back_up(store.folder)
    assert (store.folder / BACKUP).read_bytes() == before
    assert not list(store.folder.glob("*.part"))


def test_backups_are_made_while_a_study_runs_and_at_its_end(tmp_path: Path) -> None:
    import time

    with plan(tmp_path / "s") as store, backups(store.folder, every_seconds=0.01) as failures:
        deadline = time.monotonic() + 20
        while not (store.folder / BACKUP).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        finish(store, 0, 3)
    assert not failures
    (store.folder / FILE).unlink()
    with Store.create(store.folder) as repaired:
        assert len(_same_as_written(repaired)) == 3


def test_a_new_store_forgets_checkpoints_of_an_old_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "s/packs/p/state.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    plan(tmp_path / "s").close()
    assert not checkpoint.exists()


def test_a_finished_run_with_a_hole_in_its_history_is_trained_again(broken: Path) -> None:
    (broken / BACKUP).unlink()
    with sqlite3.connect(broken / FILE) as db:
        db.execute("DELETE FROM history WHERE number = 3 AND step = ?", (ROWS,))
    db.close()
    _garbage_tail(broken / FILE)
    with Store.create(broken) as store:
        assert store.statuses()["r2"] == "pending"
        assert len(_same_as_written(store)) < FINISHED


def _garbage_tail(path: Path) -> None:
    _zero(path.stat().st_size // PAGE - 2)(path)


def test_what_the_file_knows_of_packs_goes_into_a_backup_of_an_earlier_version(
    broken: Path,
) -> None:
    with contextlib.closing(sqlite3.connect(broken / BACKUP, isolation_level=None)) as db:
        for table in ("decisions", "suggestions", "population", "probes"):
            db.execute(f"DROP TABLE {table}")
        db.execute("ALTER TABLE packs DROP COLUMN reports")
        db.execute("PRAGMA user_version = 1")
    with contextlib.closing(sqlite3.connect(broken / FILE, isolation_level=None)) as db:
        db.execute("INSERT INTO packs (pack_id, run_ids, settings, status, reports)"
                   " VALUES ('late', '[]', '{}', 'running', 7)")  # fmt: skip
        db.execute("INSERT INTO decisions VALUES ('late', 5, '{}', '[\"r3\"]')")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (broken / f"{FILE}-wal").unlink(missing_ok=True)
    with Store.create(broken) as store:
        assert store.fault_counts() == {STORE_REPAIRED: 1}
        assert store.last_report("late") == 7
        assert store.decisions("late") == [Decision(pack_id="late", report=5, join=("r3",))]

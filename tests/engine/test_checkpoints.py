"""Checkpoints: whole or refused, and a pack that falls back to an older one ends bit for bit."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import checkpoint
from trainables.checkpoint import CheckpointError
from trainables.configs import RunConfig
from trainables.configs.base import Steps
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.ray_pack import FELL_BACK, PackTask, RayPack

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
CONTENT = {"weights": torch.arange(7.0), "plain": [1, {"two": 2.0}], "none": None}


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        return torch.equal(found, expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _equal(found[key], expected[key]) for key in expected
        )
    return bool(found == expected)


def test_a_checkpoint_is_what_was_saved_and_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/a.pt"
    checkpoint.save(path, CONTENT)
    assert _equal(checkpoint.load(path), CONTENT)
    assert _equal(torch.load(path, weights_only=True), CONTENT)
    assert zipfile.ZipFile(path).testzip() is None
    assert [file.name for file in path.parent.iterdir()] == ["a.pt"]


def test_any_flipped_bit_and_any_missing_byte_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, CONTENT)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            checkpoint.load(path)
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            checkpoint.load(path)
    path.write_bytes(whole)
    assert _equal(checkpoint.load(path), CONTENT)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"", "only 0 bytes"), (b"x" * 999, "its end")]
)
def test_what_is_wrong_is_said(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"evil": print})
    with pytest.raises(CheckpointError, match="Weights only"):
        checkpoint.load(path)


def test_the_newest_few_are_kept(tmp_path: Path) -> None:
    for number in range(1, 6):
        checkpoint.save_next(tmp_path, {"number": number}, keep=3)
    names = [path.name for path in checkpoint.numbered(tmp_path)]
    assert names == [f"state-{n:09d}.pt" for n in (5, 4, 3)]
    assert [checkpoint.load(path)["number"] for path in checkpoint.numbered(tmp_path)] == [5, 4, 3]
    checkpoint.numbered(tmp_path)[0].unlink()
    first = checkpoint.numbered(tmp_path)[0]
    assert first.name == "state-000000005.pt", "a newest that is gone is missed"
    checkpoint.save_next(tmp_path, {"number": 6}, keep=3)
    assert checkpoint.numbered(tmp_path)[0].name == "state-000000006.pt"


def _pack(runs: list[RunConfig], data: dict[str, DataSet], folder: Path, **options: Any) -> RayPack:
    """A worker's trainable, without Ray around it: what an actor's start makes of a task."""
    task = PackTask(
        pack_id="p",
        runs=tuple((run_id(run), run) for run in runs),
        settings={"strategy": "fused", "ways": None, "threads": 1, "device": "cpu"},
        folder=folder / "p",
        runs_folder=folder / "runs",
        import_from=str(folder),
        asked={"CPU": 1.0, "GPU": 1.0},
        at_once=1,
        **({"checkpoint_every": 1} | options),
    )
    pack: RayPack = object.__new__(RayPack)
    pack.setup({"pack": 0}, tasks=[task], data=data)
    return pack


def _rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "seconds"}
        for result in results
        for row in result["rows"]
    ]


def _to_the_end(pack: RayPack) -> list[dict[str, Any]]:
    results = [pack.step()]
    while not results[-1]["done"]:
        results.append(pack.step())
    return results


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "truncated": _truncate,
    "empty": lambda path: path.write_bytes(b""),
    "flipped": _flip,
    "garbage": lambda path: path.write_bytes(b"\x93" * 4000),
    "deleted": Path.unlink,
    "of another version": lambda path: checkpoint.save(path, {"stacks": [(["a"], {})]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("damaged", "replayed"), [(0, 1), (1, 2), (2, 3), (3, 6)])
def test_a_pack_goes_on_from_the_newest_whole_checkpoint(
    make_run: Maker, data_of: Data, tmp_path: Path, damage: str, damaged: int, replayed: int
) -> None:
    """Six reports, the last five of them after a checkpoint; three of those are kept."""
    train = {"steps": 60, "evaluate_every": Steps(steps=7)}
    runs = [make_run(train=train, seed=seed) for seed in range(3)]
    data = data_of(runs[0])
    undisturbed = _rows(_to_the_end(_pack(runs, data, tmp_path / "whole")))
    first = _pack(runs, data, tmp_path, keep=3)
    committed = [first.step() for _ in range(6)]
    paths = checkpoint.numbered(tmp_path / "p")
    assert len(paths) == 3
    for path in paths[:damaged]:
        DAMAGES[damage](path)

    second = _pack(runs, data, tmp_path, keep=3)
    rest = _to_the_end(second)
    before = _rows(committed)
    assert _rows(rest) == undisturbed[-len(_rows(rest)) :], "bit for bit"
    assert len(before) + len(_rows(rest)) - len(undisturbed) == replayed * len(runs)
    # Of files that are all gone only the newest is known to have been there.
    seen = min(damaged, 1) if damage == "deleted" else damaged
    notes = rest[0]["notes"].get(FELL_BACK, [])
    assert [note.partition(" ")[0] for note in notes] == [p.name for p in paths[:seen]]
    assert all(not result["notes"] for result in rest[1:])
    assert checkpoint.load(checkpoint.numbered(tmp_path / "p")[0]), "and a good one is there again"


def test_checkpoints_by_the_clock(
    make_run: Maker, data_of: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trainables.ray_pack

    now = [0.0]
    monkeypatch.setattr(trainables.ray_pack.time, "monotonic", lambda: now[0])
    run = make_run(train={"epochs": 9.0})
    pack = _pack([run], data_of(run), tmp_path, checkpoint_every=None, checkpoint_seconds=120.0)
    written = []
    for _ in range(9):
        pack.step()
        now[0] += 50
        written.append(len(checkpoint.numbered(tmp_path / "p")))
    assert written == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_good_checkpoint_outlives_storage_that_is_away(
    make_run: Maker, data_of: Data, tmp_path: Path
) -> None:
    run = make_run(train={"epochs": 5.0})
    first = _pack([run], data_of(run), tmp_path)
    for _ in range(3):
        first.step()
    (newest, _) = checkpoint.numbered(tmp_path / "p")
    content = newest.read_bytes()
    newest.unlink()
    newest.mkdir()  # an error of the system's when it is opened
    assert _pack([run], data_of(run), tmp_path).step()["notes"]
    newest.rmdir()
    newest.write_bytes(content)
    assert not _pack([run], data_of(run), tmp_path).step()["notes"]

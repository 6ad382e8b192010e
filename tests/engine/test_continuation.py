"""A longer run that goes on from a shorter one is the run that was trained through."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables import checkpoint, models, saved_run
from trainables.checkpoint import CheckpointError
from trainables.configs import Mlp, RunConfig
from trainables.configs import schedules as s
from trainables.configs.base import Epochs, Steps
from trainables.configs.optimizers import AdamW, ScheduleFreeSgd, Sgd
from trainables.configs.regularization import BatchGrowth, Swa
from trainables.configs.run import run_id
from trainables.continuation import obstacle
from trainables.data import DataSet
from trainables.progress import with_best
from trainables.session import PackSession, Settings, Start
from trainables.stack_width import Way

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
GROWTH = BatchGrowth(milestones=(Epochs(epochs=1.0), Epochs(epochs=3.0)))
SWA = Swa(start=Epochs(epochs=1.0))
KINDS: dict[str, dict[str, Any]] = {
    "constant": {},
    "adamw, warmup in steps": {
        "optimizer": AdamW(lr=0.01),
        "schedule": s.Constant(warmup=Steps(steps=9)),
    },
    "milestones": {"schedule": s.MultiStep(milestones=(Steps(steps=10), Steps(steps=18)))},
    "cycles": {
        "schedule": s.Cyclic(period=Steps(steps=10), cycle_momentum=True),
    },
    "plateau": {"schedule": s.Plateau(patience=0, threshold=0.3)},
    "ema": {"train": {"ema": 0.9}, "model": Mlp(hidden=(11,), norm="batch")},
    "swa": {"train": {"swa": SWA}, "model": Mlp(hidden=(11,), norm="batch")},
    "schedule-free": {"optimizer": ScheduleFreeSgd(lr=0.1)},
    "growth": {"train": {"batch_growth": GROWTH, "epochs": 3.0}},
    "off the grid": {"train": {"evaluate_every": Epochs(epochs=2.0), "epochs": 3.0}},
    "grid in steps": {"train": {"evaluate_every": Steps(steps=5), "epochs": 3.0}},
}


def _longer(make_run: Maker, epochs: float, **parts: Any) -> RunConfig:
    return make_run(**(parts | {"train": parts.get("train", {}) | {"epochs": epochs}}))


def _trained(session: PackSession) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    return rows


def _session(
    runs: list[RunConfig], data: dict[str, DataSet], folder: Path, width: int = 99, **starts: Start
) -> PackSession:
    settings = Settings(ways=(Way(width),) * 9)
    ended = functools.partial(saved_run.save, folder)
    return PackSession([(run_id(run), run) for run in runs], data, settings, starts, ended)


def _starts(
    short: list[RunConfig], long: list[RunConfig], session: PackSession, rows: list[Any], to: Path
) -> dict[str, Start]:
    """As the launch finds them: the best is that of the rows which the longer run has, too."""
    found = {}
    for one, other in zip(short, long, strict=True):
        best: dict[str, float] = {}
        for row in rows:
            if row["run_id"] == run_id(one):
                best = with_best(best, {k: v for k, v in row.items() if "/" in k or k in NAMES})
        seconds = session.progress[run_id(one)].wall_seconds
        found[run_id(other)] = saved_run.load_start(to, run_id(one), best, seconds)
    return found


NAMES = ("lr", "grad_norm")


def _values(rows: list[dict[str, Any]], run: RunConfig) -> list[dict[str, Any]]:
    left_out = ("seconds", "run_id")
    own = [row for row in rows if row["run_id"] == run_id(run)]
    return [{k: v for k, v in row.items() if k not in left_out} for row in own]


def _on_grid(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Rows of three epochs that a longer training has, too."""
    if kind == "off the grid":
        return [row for row in rows if row["epoch"] == 2]
    if kind == "grid in steps":
        return [row for row in rows if row["step"] % 5 == 0]
    return rows


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_going_on_is_bitwise_as_training_through(
    make_run: Maker, data_of: Data, tmp_path: Path, kind: str, precision: str
) -> None:
    """Stacked in the same way bit for bit; in float64 stacked otherwise to 1e-10."""
    parts = KINDS[kind]
    parts = parts | {"train": parts.get("train", {}) | {"precision": precision}}
    short = [_longer(make_run, 3.0, seed=seed, **parts) for seed in range(3)]
    long = [_longer(make_run, 7.0, seed=seed, **parts) for seed in range(3)]
    data = data_of(short[0])
    through = _session(long, data, tmp_path)
    expected = _trained(through)
    first = _session(short, data, tmp_path)
    before = _on_grid(_trained(first), kind)
    at = next(iter(first.progress.values())).examples // 13
    assert obstacle(short[0], long[0], at, 7) is None
    for width in (99, 1) if precision == "float64" else (99,):
        starts = _starts(short, long, first, before, tmp_path)
        second = _session(long, data, tmp_path, width, **starts)
        standing = second.progress[run_id(long[0])]
        assert (standing.examples, standing.steps) == (
            at * 13,
            first.progress[run_id(short[0])].steps,
        )
        after = _trained(second)
        exactly = width == 99
        for old, run in zip(short, long, strict=True):
            _compare(_values(before, old) + _values(after, run), _values(expected, run), exactly)
            mine, its = second.progress[run_id(run)], through.progress[run_id(run)]
            assert (mine.steps, mine.status, mine.reason) == (its.steps, its.status, its.reason)
            assert mine.best == (its.best if exactly else pytest.approx(its.best, rel=1e-10))
            assert mine.wall_seconds > first.progress[run_id(old)].wall_seconds


def _compare(found: list[dict[str, Any]], expected: list[dict[str, Any]], exactly: bool) -> None:
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == (other if exactly else pytest.approx(other, rel=1e-10, abs=1e-12))


def test_lanes_that_go_on_train_beside_new_ones_in_stacks_of_their_own(
    make_run: Maker, data_of: Data, tmp_path: Path
) -> None:
    short = [_longer(make_run, 2.0, seed=seed) for seed in range(2)]
    middle = [_longer(make_run, 3.0, seed=seed) for seed in range(2, 4)]
    long = [_longer(make_run, 5.0, seed=seed) for seed in range(6)]
    data = data_of(short[0])
    expected = _trained(_session(long, data, tmp_path))
    starts: dict[str, Start] = {}
    rows: list[dict[str, Any]] = []
    for runs, longer in ((short, long[:2]), (middle, long[2:4])):
        session = _session(runs, data, tmp_path)
        trained = _trained(session)
        rows += trained
        starts |= _starts(runs, longer, session, trained, tmp_path)
    session = _session(long, data, tmp_path, **starts)
    assert [choice.lanes for choice in session.choices] == [2, 2, 2]
    rows += _trained(session)
    for old, run in zip([*short, *middle, *long[4:]], long, strict=True):
        own = _values(rows, run) if old == run else _values(rows, old) + _values(rows, run)
        for one, other in zip(own, _values(expected, run), strict=True):
            assert one == pytest.approx(other, rel=1e-4)


def test_a_checkpoint_of_a_run_that_went_on_is_bitwise(
    make_run: Maker, data_of: Data, tmp_path: Path
) -> None:
    short, long = _longer(make_run, 2.0), _longer(make_run, 6.0)
    data = data_of(short)
    first = _session([short], data, tmp_path)
    starts = _starts([short], [long], first, _trained(first), tmp_path)
    session = _session([long], data, tmp_path, **starts)
    session.advance()
    checkpoint.save(tmp_path / "c.pt", session.state_dict())
    rest = _trained(session)
    restored = PackSession.restore(
        checkpoint.load(tmp_path / "c.pt"), [(run_id(long), long)], data, Settings()
    )
    assert _values(_trained(restored), long) == _values(rest, long)


WRONG: dict[str, tuple[dict[str, Any], str | None]] = {
    "cosine": ({"schedule": s.Cosine()}, "cosine depends on the length of training"),
    "warmup": ({"schedule": s.Constant(warmup=0.1)}, "constant depends on the length"),
    "one cycle": ({"schedule": s.OneCycle()}, "one_cycle depends on the length"),
    "wsd before its decay": ({"schedule": s.Wsd(decay=Steps(steps=20))}, None),
    "wsd in its decay": ({"schedule": s.Wsd(decay=Steps(steps=30))}, "wsd depends"),
    "step as a share": ({"schedule": s.Step(every=0.5)}, "step depends on the length"),
    "step in epochs": ({"schedule": s.Step(every=Epochs(epochs=1.0))}, None),
    "plateau with a share": ({"schedule": s.Plateau(warmup=0.2)}, "plateau depends on the length"),
    "plateau": ({"schedule": s.Plateau(warmup=Steps(steps=5))}, None),
    "grid": ({"train": {"evaluate_every": 0.25}}, "train.evaluate_every depends on the length"),
    "swa": ({"train": {"swa": Swa(start=0.5)}}, "train.swa depends on the length"),
    "swa later": ({"train": {"swa": Swa(start=0.75)}}, None),
    "swa, same steps": ({"train": {"swa": SWA}}, None),
    "growth": (
        {"train": {"batch_growth": BatchGrowth(milestones=(0.3,))}},
        "train.batch_growth depends on the length",
    ),
    "growth later": ({"train": {"batch_growth": BatchGrowth(milestones=(0.9,))}}, None),
    "constant until": ({"schedule": s.Constant(factor=0.5, until=0.5)}, "constant depends"),
    "sequence": (
        {
            "schedule": s.Sequence(
                schedules=(s.Constant(), s.Cosine()), durations=(Epochs(epochs=2.0),)
            )
        },
        "sequence depends",
    ),
    "momentum only": (
        {"schedule": s.Chain(schedules=(s.Constant(), s.Cyclic(low=1.0, cycle_momentum=True)))},
        "chain depends on the length",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_depends_on_the_length_is_told_by_the_tables(make_run: Maker, case: str) -> None:
    """A training of 8 epochs of 7 steps, up to step 36 of it, and one of 12 epochs."""
    parts, expected = WRONG[case]
    found = obstacle(_longer(make_run, 8.0, **parts), _longer(make_run, 12.0, **parts), 36, 7)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(expected)


MODELS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "norm": {"model": Mlp(hidden=(11,), norm="batch"), "train": {"ema": 0.9}},
    "weight norm": {"model": Mlp(hidden=(11,), norm="weight")},
    "schedule-free": {"optimizer": ScheduleFreeSgd(lr=0.1)},
    "shared": {"model": None},
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_final_state_is_the_model_whose_numbers_were_reported(
    make_run: Maker, data_of: Data, small_data: DataSet, tmp_path: Path, kind: str
) -> None:
    """Plain PyTorch: the file, the model's builder, a loss by ``torch.nn.functional``."""
    from trainables.configs import UserModel

    parts = dict(MODELS[kind])
    if kind == "shared":
        parts["model"] = UserModel(name="tests.engine.models:shared")
    train = parts.pop("train", {}) | {"precision": "float64"}
    runs = [make_run(seed=seed, train=train, **parts) for seed in range(2)]
    session = _session(runs, data_of(runs[0]), tmp_path)
    _trained(session)
    assert {p.error for p in session.progress.values()} == {""}
    for run in runs:
        saved = torch.load(tmp_path / f"{run_id(run)}.pt", weights_only=True)
        model = models.build(run.model, (7,), 5, seed=99).to(torch.float64)
        model.load_state_dict(saved["model"])
        model.eval()
        x = torch.from_numpy(np.asarray(small_data.valid_x)).to(torch.float64)
        y = torch.from_numpy(np.asarray(small_data.valid_y))
        loss = torch.nn.functional.cross_entropy(model(x), y).item()
        assert loss == pytest.approx(session.progress[run_id(run)].final["valid/loss"], rel=1e-6)
        assert saved["run_id"] == run_id(run)
        assert saved["config"]["model"]["name"] == run.model.name
        assert (saved["steps"], saved["epochs"], saved["examples"]) == (21, 3.0, 273)


def test_only_runs_that_ended_well_are_kept(make_run: Maker, data_of: Data, tmp_path: Path) -> None:
    good, wild = make_run(), make_run(optimizer=Sgd(lr=1e8))
    _trained(_session([good, wild], data_of(good), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [f"{run_id(good)}.pt"]


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", {"format": 0, "lane": {}})
    with pytest.raises(CheckpointError, match="another version"):
        saved_run.load_start(tmp_path, "a", {}, 0.0)

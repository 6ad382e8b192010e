"""Spectra of runs in packs: when they are measured, what is told, and that nothing else moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import checkpoint
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.base import Steps
from trainables.configs.optimizers import Sgd
from trainables.configs.probes import NoiseScale, Probes, Spectrum
from trainables.configs.regularization import BatchGrowth
from trainables.configs.run import fusion_key, run_id
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.optimizers import OPTIMIZERS
from trainables.probes import spectrum
from trainables.procedures import spectra as timing
from trainables.pruning.masks import ones, with_masks
from trainables.session import PackSession, Settings
from trainables.trial import problem

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
Packed = list[tuple[str, RunConfig]]
TRAIN = {"steps": 22, "precision": "float64", "evaluate_every": 0.25}
"""Evaluations after 6, 12, 18 and 22 steps."""
TOP = "probe/hessian/top"


def _probes(**fields: Any) -> Probes:
    return Probes(spectrum=Spectrum(**{"examples": 37, "lanczos": 3, "top": 2} | fields))


def _runs(make_run: Maker, probes: Probes | None, **parts: Any) -> Packed:
    train = TRAIN | parts.pop("train", {})
    parts = {"model": Mlp(hidden=(11,))} | parts
    runs = [make_run(train=train, seed=seed, probes=probes, **parts) for seed in range(3)]
    return [(run_id(run), run) for run in runs]


def _session(pack: Packed, data_of: Data) -> PackSession:
    return PackSession(pack, data_of(pack[0][1]), Settings(strategy="fused", compile="off"))


Kept = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]


def _trained(session: PackSession) -> Kept:
    """History without times, rows of probes, and runs' ends."""
    rows: list[dict[str, Any]] = []
    probes: list[dict[str, Any]] = []
    while not session.finished:
        report = session.advance()
        rows += report.rows
        probes += report.probes
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return rows, probes, {name: p.final for name, p in session.progress.items()}


def _steps(probes: list[dict[str, Any]], run: str) -> list[int]:
    found = [int(p["at"]) for p in probes if p["name"] == "hessian/top" and p["run_id"] == run]
    assert len(set(found)) == len(found)
    return found


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({}, [0, 22]),
        ({"at": (1.0,)}, [22]),
        ({"at": (0.0, 0.3, 0.5, 0.51)}, [0, 12]),
        ({"at": (0.01, 0.9)}, [6, 22]),
        ({"at": (), "every": 1}, [6, 12, 18]),
        ({"at": (0.0, 1.0), "every": 2}, [0, 12, 22]),
    ],
)
def test_when(make_run: Maker, data_of: Data, fields: Any, steps: list[int]) -> None:
    pack = _runs(make_run, _probes(**fields))
    rows, probes, final = _trained(_session(pack, data_of))
    for name, _ in pack:
        assert _steps(probes, name) == steps
        measured = {row["step"]: row[TOP] for row in rows if row["run_id"] == name and TOP in row}
        assert [*measured] == [step for step in steps if step]
        at = {
            int(p["at"]): p["value"]
            for p in probes
            if (p["run_id"], p["name"]) == (name, "hessian/top")
        }
        assert measured == {step: at[step] for step in measured}
        assert (TOP in final[name]) == (22 in steps)
    assert len({row[TOP] for row in rows if TOP in row}) == 3 * len(measured)


def test_lengths_of_lanes_are_their_own(make_run: Maker, data_of: Data) -> None:
    """Each counts shares of its own training; packed it finds what it finds alone."""
    lengths = (13, 22, 17)
    runs = [
        make_run(
            train={"steps": steps, "evaluate_every": Steps(steps=5)},
            seed=seed,
            probes=_probes(at=(0.5, 1.0)),
        )
        for seed, steps in enumerate(lengths)
    ]
    pack = [(run_id(run), run) for run in runs]
    _, probes, _ = _trained(_session(pack, data_of))
    assert [_steps(probes, name) for name, _ in pack] == [[10, 13], [15, 22], [10, 17]]
    for alone in pack:
        _, solo, _ = _trained(_session([alone], data_of))
        own = [p for p in probes if p["run_id"] == alone[0] and "density" not in p["name"]]
        solo = [p for p in solo if "density" not in p["name"]]
        assert [p["at"] for p in own] == [p["at"] for p in solo]
        assert [p["value"] for p in own] == pytest.approx(
            [p["value"] for p in solo], rel=1e-3, abs=1e-4
        )


def test_the_start_is_where_a_network_begins(make_run: Maker, small_data: DataSet) -> None:
    """Not where a longer run goes on from a shorter one; a ticket, where it is rewound to."""
    (name, run), *_ = _runs(make_run, _probes())
    stack = Stack([run], Arrays.of(small_data, torch.device("cpu"), torch.float64))

    def steps(stack: Stack) -> list[int]:
        return _steps(timing.spectra_at_start([name], stack).rows, name)

    assert steps(stack) == [0]
    stack.advance(5)
    assert steps(stack) == []
    left = ones(stack.params, ["0.weight"])
    assert steps(stack.put([run], with_masks(stack.state_dict(), left))) == [5]
    late = dataclasses.replace(run, probes=_probes(at=(1.0,)))
    assert steps(Stack([late], stack.arrays)) == []


def test_steps_of_several_batches(make_run: Maker, data_of: Data) -> None:
    """The first evaluation past a share counts, and places are steps of the history."""
    growth = BatchGrowth(factor=3, milestones=(0.4,))
    train = {"steps": 30, "evaluate_every": Steps(steps=4), "batch_growth": growth}
    run = make_run(train=train, probes=_probes(at=(0.5, 0.75, 1.0)))
    rows, probes, _ = _trained(_session([("a", run)], data_of))
    measured = [row for row in rows if TOP in row]
    seen = [row["examples"] // 13 for row in measured]
    whole = [row["examples"] // 13 for row in rows]
    assert seen == [next(at for at in whole if at >= share * 30) for share in (0.5, 0.75, 1.0)]
    assert _steps(probes, "a") == [row["step"] for row in measured] != seen


def test_training_is_bitwise_what_it_is_without(make_run: Maker, data_of: Data) -> None:
    model = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.5})
    parts: dict[str, Any] = {"model": model, "train": {"precision": "float32"}}
    probed = _trained(_session(_runs(make_run, _probes(every=1), **parts), data_of))
    plain = _trained(_session(_runs(make_run, None, **parts), data_of))

    def bare(rows: list[dict[str, Any]]) -> str:
        kept = [{k: v for k, v in r.items() if "probe/" not in k and k != "run_id"} for r in rows]
        return repr(kept)

    assert bare(probed[0]) == bare(plain[0])
    assert plain[1] == []


def test_goes_on_bit_for_bit(
    make_run: Maker, data_of: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two measurements; with a preconditioner, too."""

    def hook(vector: Any, state: Mapping[str, Any], *rest: Any) -> Any:
        return {n: v / (state["momentum"][n].abs() + 0.1) for n, v in vector.items()}

    patched = OPTIMIZERS["sgd"]._replace(precondition=hook)
    monkeypatch.setitem(spectrum.OPTIMIZERS, "sgd", patched)
    pack = _runs(make_run, _probes(at=(0.0, 0.3, 0.6, 1.0)))
    session = _session(pack, data_of)
    first = [session.advance(), session.advance()]
    checkpoint.save(tmp_path / "state.pt", session.state_dict())
    rest = _trained(session)
    saved = checkpoint.load(tmp_path / "state.pt")
    assert saved is not None
    again = PackSession.restore(saved, pack, data_of(pack[0][1]), Settings())
    assert repr(_trained(again)) == repr(rest)
    names = {row["name"] for row in rest[1]}
    assert names >= {"hessian/top", "preconditioned/top", "preconditioned/density"}
    begun = {p["at"] for p in first[0].probes if p["name"].endswith("/top")}
    assert begun == {"0"}
    assert "preconditioned/top" not in {p["name"] for p in first[0].probes}
    assert {p["at"] for p in first[1].probes if p["name"] == "preconditioned/top"} == {"12"}


def test_runs_whose_measurement_raises_fail_alone(
    make_run: Maker, data_of: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start or later; others of the pack train on, and their memory may be little."""

    def raising(stack: Any, config: Any) -> Any:
        if config.examples == 41:
            raise RuntimeError("no second derivative")
        return real(stack, config)

    real = timing.spectra
    monkeypatch.setattr(timing, "spectra", raising)
    for fields in ({"at": (0.0,)}, {"at": (0.5,)}):
        good = _runs(make_run, _probes(**fields))
        bad = _runs(make_run, _probes(examples=41, **fields))
        session = _session(good + bad, data_of)
        _, probes, _ = _trained(session)
        for name, _ in bad:
            progress = session.progress[name]
            assert (progress.status, progress.reason) == (
                "failed",
                "RuntimeError: no second derivative",
            )
        assert all(session.progress[name].status == "completed" for name, _ in good)
        assert {p["run_id"] for p in probes} == {name for name, _ in good}


def test_lanes_are_halved_where_memory_is_short(
    make_run: Maker, data_of: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _trained(_session(_runs(make_run, _probes()), data_of))
    real, sizes = timing.spectra, []

    def short(stack: Any, config: Any) -> Any:
        sizes.append(stack.lanes)
        if stack.lanes > 1:
            raise torch.OutOfMemoryError("no memory")
        return real(stack, config)

    monkeypatch.setattr(timing, "spectra", short)
    halved = _trained(_session(_runs(make_run, _probes()), data_of))
    assert sizes == [3, 1, 2, 1, 1] * 2
    for one, other in zip(whole[1], halved[1], strict=True):
        assert (one["run_id"], one["name"]) == (other["run_id"], other["name"])
        assert one["value"] == pytest.approx(other["value"], rel=1e-8, abs=1e-8)


def test_the_clock_does_not_see_it(
    make_run: Maker, data_of: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds to a target are those of training and evaluating."""
    now = 0.0

    def slow(stack: Any, config: Any) -> Any:
        nonlocal now
        now += 1000
        return real(stack, config)

    real = timing.spectra
    monkeypatch.setattr(timing, "spectra", slow)
    monkeypatch.setattr("trainables.session.time.perf_counter", lambda: now)
    session = _session(_runs(make_run, _probes(every=1)), data_of)
    _trained(session)
    assert now >= 5000
    assert all(progress.wall_seconds == 0 for progress in session.progress.values())


def test_what_lanes_share(make_run: Maker) -> None:
    def key(probes: Probes | None, lr: float = 0.1) -> str:
        return fusion_key(make_run(probes=probes, optimizer=Sgd(lr=lr)))

    noise = NoiseScale()
    both = Probes(noise_scale=noise, spectrum=Spectrum())
    given = [None, Probes(noise_scale=noise), Probes(spectrum=Spectrum()), both, _probes(at=(0.5,))]
    assert len({key(probes) for probes in given}) == len(given)
    assert key(both) == key(both, lr=0.3)
    assert key(Probes()) == key(None)


class _Once(torch.autograd.Function):
    """x, with a first derivative and no second one."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("backward of rough is not implemented")
        return gradient


class _Rough(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Once.apply(super().forward(x))  # type: ignore[no-any-return, no-untyped-call]


def rough(input_shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
    return _Rough(*input_shape, outputs)


def test_models_without_a_second_derivative_are_found_before_the_start(
    make_run: Maker, data_of: Data
) -> None:
    model = UserModel(name="tests.probes.test_spectrum_in_packs:rough")
    for probes, found in ((None, None), (_probes(), "of rough is not implemented")):
        run = make_run(model=model, probes=probes)
        (data,) = data_of(run).values()
        why = problem(run, data)
        assert (why is None) == (found is None)
        assert found is None or found in str(why)

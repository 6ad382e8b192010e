"""The gradient noise scale of runs in packs: reported, compiled, resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables import checkpoint
from trainables.configs import Mlp, RunConfig
from trainables.configs.probes import NoiseScale, Probes
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.session import PackSession, Settings

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
NAMES = {"probe/noise_scale", "probe/noise_scale/trace", "probe/noise_scale/gradient"}
TRAIN = {"steps": 21, "batch_size": 14, "precision": "float64", "evaluate_every": 1 / 3}


def _runs(make_run: Maker, **fields: Any) -> list[tuple[str, RunConfig]]:
    probes = Probes(noise_scale=NoiseScale(**{"every": 3} | fields))
    runs = [
        make_run(train=TRAIN, model=Mlp(hidden=(11,)), seed=seed, probes=probes)
        for seed in range(3)
    ]
    return [(run_id(run), run) for run in runs]


def _trained(session: PackSession) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    rows = []
    while not session.finished:
        rows += session.advance().rows
    return rows, {name: progress.final for name, progress in session.progress.items()}


def _without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_history_and_last_values_have_it(make_run: Maker, data_of: Data, tmp_path: Path) -> None:
    """And go on bit for bit from a checkpoint between two measurements."""
    pack = _runs(make_run)
    data = data_of(pack[0][1])
    session = PackSession(pack, data, Settings(strategy="fused", compile="off"))
    rows = session.advance().rows
    checkpoint.save(tmp_path / "state.pt", session.state_dict())
    more, final = _trained(session)
    assert len(rows + more) == 9
    assert all(row.keys() > NAMES for row in rows + more)
    assert all(row["probe/noise_scale/trace"] > 0 for row in rows + more)
    traces = [{row["probe/noise_scale/trace"] for row in some} for some in (rows, more)]
    assert not traces[0] & traces[1], "they move"
    for name, values in final.items():
        (last,) = (row for row in more if row["run_id"] == name and row["step"] == 21)
        for metric in NAMES:
            assert values[metric] == pytest.approx(last[metric], rel=0, nan_ok=True)
    saved = checkpoint.load(tmp_path / "state.pt")
    assert saved is not None
    again = PackSession.restore(saved, pack, data, Settings())
    resumed, _ = _trained(again)
    assert repr(_without_times(resumed)) == repr(_without_times(more))


def test_compiled_runs_measure_what_others_do_and_keep_their_bits(
    make_run: Maker, data_of: Data
) -> None:
    """A compiled step is never watched, even where it trains in parts."""

    def trained(*, compile_: Any, probed: bool) -> dict[int, dict[str, float]]:
        pack = []
        for _, run in _runs(make_run):
            train = dataclasses.replace(run.train, accumulate=2)
            probes = run.probes if probed else None
            own = dataclasses.replace(run, train=train, probes=probes)
            pack.append((run_id(own), own))
        settings = Settings(strategy="fused", compile=compile_)
        session = PackSession(pack, data_of(pack[0][1]), settings)
        assert session.choices[0].compiled == (compile_ == "on")
        _, final = _trained(session)
        return {run.seed: final[name] for name, run in pack}

    compiled = trained(compile_="on", probed=True)
    plain = trained(compile_="off", probed=True)
    without = trained(compile_="on", probed=False)
    for seed, values in compiled.items():
        assert values == pytest.approx(plain[seed], rel=1e-9, nan_ok=True)
        assert {k: v for k, v in values.items() if k not in NAMES} == without[seed]

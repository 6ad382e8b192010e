"""PyTorch's compiler in packs: packed = alone, resumed = not interrupted; minutes long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import checkpoint
from trainables.configs import Mlp, RunConfig
from trainables.configs.optimizers import Adam, AdamW
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.session import PackSession, Settings

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
MODELS = {"chain": Mlp(hidden=(11,)), "vmap": Mlp(hidden=(11,), norm="batch")}
STEPS = (21, 21, 7, 14, 35)


def _runs(make_run: Maker, optimizer: Any, model: str, **train: Any) -> list[tuple[str, RunConfig]]:
    runs = [
        make_run(
            model=MODELS[model], optimizer=optimizer, seed=seed, train={"steps": steps} | train
        )
        for seed, steps in enumerate(STEPS)
    ]
    return [(run_id(run), run) for run in runs]


def _finish(session: PackSession) -> dict[str, dict[str, float]]:
    while not session.finished:
        session.advance()
    return {name: p.final for name, p in session.progress.items()}


@pytest.mark.fidelity
@pytest.mark.parametrize("model", MODELS)
def test_compiled_packed_is_compiled_alone(make_run: Maker, data_of: Data, model: str) -> None:
    pack = _runs(make_run, AdamW(lr=0.01), model, precision="float64", clip_norm=0.7, ema=0.9)
    data = data_of(pack[0][1])
    together = PackSession(pack, data, Settings(strategy="fused", compile="on"))
    alone = PackSession(pack, data, Settings(strategy="sequential", compile="on"))
    assert together.choices[0].compiled
    assert alone.choices[0].compiled
    packed, solo = _finish(together), _finish(alone)
    plain = _finish(PackSession(pack, data, Settings(strategy="fused", compile="off")))
    for name, final in packed.items():
        assert final == pytest.approx(solo[name], rel=1e-10)
        assert final == pytest.approx(plain[name], rel=1e-10)


@pytest.mark.fidelity
@pytest.mark.parametrize("reports", [1, 2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_a_resume_in_float32_keeps_all_bits(
    make_run: Maker, data_of: Data, tmp_path: Path, model: str, reports: int
) -> None:
    """By then lanes have ended; the program is made again at the width that there was first."""
    pack = _runs(make_run, Adam(lr=0.01), model)
    data = data_of(pack[0][1])
    session = PackSession(pack, data, Settings(strategy="fused", compile="on"))
    for _ in range(reports):
        session.advance()
    checkpoint.save(tmp_path / "state.pt", session.state_dict())
    final = _finish(session)
    torch._dynamo.reset()
    saved = checkpoint.load(tmp_path / "state.pt")
    assert saved is not None
    again = PackSession.restore(saved, pack, data, Settings())
    assert any(stack.program is not None for _, stack in again._stacks)
    assert _finish(again) == final

"""The same promises on a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.optimizers import Adam, Sls
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.memory import Forecast, free
from trainables.session import PackSession, Settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
MODELS = [
    Mlp(hidden=(11, 3)),
    UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3}),
]


@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), Sls(lr=1.0)], ids=["adam", "sls"])
@pytest.mark.parametrize("model", MODELS, ids=["chain", "vmap"])
def test_a_gpu_agrees_with_the_cpu_packed_and_alone(
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
    model: Mlp | UserModel,
    optimizer: Adam | Sls,
) -> None:
    runs = [
        make_run(model=model, optimizer=optimizer, seed=s, train={"precision": "float64"})
        for s in range(3)
    ]
    pack = [(run_id(run), run) for run in runs]

    def finals(runs: list[tuple[str, RunConfig]], device: str) -> dict[str, float]:
        session = PackSession(runs, data_of(runs[0][1]), Settings(device=device, strategy="fused"))
        while not session.finished:
            session.advance()
        return {name: p.final["test/loss"] for name, p in session.progress.items()}

    packed = finals(pack, "cuda")
    assert packed == pytest.approx(finals(pack, "cpu"), rel=1e-8)
    for one in pack:
        assert finals([one], "cuda")[one[0]] == pytest.approx(packed[one[0]], rel=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=["chain", "vmap"])
def test_a_forecast_is_what_a_wide_stack_takes_of_a_gpu(
    make_run: Callable[..., RunConfig], small_data: DataSet, model: Mlp | UserModel
) -> None:
    """The allocator rounds each tensor up to 512 bytes, so that all of these are small."""
    device = torch.device("cuda")
    arrays = Arrays.of(small_data, device, torch.float32)
    runs = [make_run(model=model, optimizer=Adam(lr=0.01), seed=seed) for seed in range(211)]
    found = Forecast(211, 10**12)
    for width in (1, 29, 97):
        found.observe(Stack(runs[:width], arrays))
    before = torch.cuda.memory_allocated()
    stack = Stack(runs, arrays)
    stack.advance(1)
    assert found.kept(211) == pytest.approx(torch.cuda.memory_allocated() - before, rel=0.3)
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    stack.advance(2)
    stack.evaluate()
    assert found.more(211) == pytest.approx(torch.cuda.max_memory_allocated() - held, rel=0.3)


def test_what_the_allocator_keeps_is_free() -> None:
    device = torch.device("cuda")
    torch.cuda.empty_cache()
    before = free(device)
    block = torch.zeros(2**28, dtype=torch.uint8, device=device)
    assert before - free(device) >= 2**28
    del block
    assert torch.cuda.memory_reserved() >= 2**28
    assert free(device) == pytest.approx(before, rel=0.01)


def test_a_small_memory_makes_stacks_narrower_on_a_gpu(
    make_run: Callable[..., RunConfig], data_of: Callable[[RunConfig], dict[str, DataSet]]
) -> None:
    runs = [make_run(seed=seed) for seed in range(11)]
    pack = [(run_id(run), run) for run in runs]
    settings = Settings(device="cuda", strategy="fused", memory=120_000)
    session = PackSession(pack, data_of(runs[0]), settings)
    assert session.choices[0].width < 11
    assert "memory: " in session.choices[0].reason
    while not session.finished:
        session.advance()
    assert {progress.status for progress in session.progress.values()} == {"completed"}


@pytest.mark.parametrize("model", MODELS, ids=["chain", "vmap"])
def test_compiled_steps_and_their_graphs_change_nothing(
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
    model: Mlp | UserModel,
) -> None:
    """Lanes leave, losses of many steps are kept: none of it lies where a graph writes again."""
    runs = [
        make_run(model=model, optimizer=Adam(lr=0.01), seed=seed, train={"steps": steps})
        for seed, steps in enumerate((35, 14, 35, 35))
    ]
    pack, data = [(run_id(run), run) for run in runs], data_of(runs[0])

    def losses(asked: Literal["on", "off"]) -> tuple[list[float], list[bool]]:
        settings = Settings(device="cuda", strategy="fused", compile=asked)
        session = PackSession(pack, data, settings)
        rows = []
        while not session.finished:
            rows += session.advance().rows
        return [row["train/loss"] for row in rows], [c.compiled for c in session.choices]

    compiled, plain = losses("on"), losses("off")
    assert (compiled[1], plain[1]) == ([True], [False])
    assert compiled[0] == pytest.approx(plain[0], rel=1e-5)

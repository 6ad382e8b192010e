"""Whatever the network: packed lanes equal solo runs, and no number leaves a broken lane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig, UserModel
from trainables.configs.base import Steps
from trainables.configs.data import Characters
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.configs.models import Gpt, Resnet20, Vit
from trainables.configs.optimizers import OPTIMIZERS
from trainables.configs.run import data_key, run_id
from trainables.data import DataSet, load
from trainables.data.dataset import split
from trainables.engine import Stack
from trainables.forward import Network
from trainables.optimizers import OPTIMIZERS as METHODS
from trainables.session import PackSession, Settings

Maker = Callable[..., RunConfig]
CPU = torch.device("cpu")
CNN = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3})
OFTEN: dict[str, Any] = {"statistics_every": 2, "inverse_every": 2}


def _images(channels: int, height: int, width: int) -> DataSet:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(67, channels, height, width))
    return split("images", x, rng.integers(0, 5, 67), Digits(valid=0.15, test=0.15))


def _text(folder: Path) -> DataSet:
    path = folder / "t.txt"
    path.write_text("abcdeabdce" * 31, encoding="utf-8")
    return load(Characters(path=str(path), context=7))


NETWORKS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "batch norm": (Mlp(hidden=(7, 5), norm="batch", skip=True), (), {}),
    "user's": (CNN, (), {}),
    "in parts": (Mlp(hidden=(7, 5), norm="batch"), (), {"accumulate": 2, "batch_size": 14}),
    "resnet": (Resnet20(width=0.15), (3, 7, 5), {}),
    "vit": (Vit(width=6, depth=1, heads=2, patch=2), (3, 6, 4), {}),
    "gpt": (Gpt(width=6, depth=1, heads=3), (), {}),
    "bfloat16": (Mlp(hidden=(7, 5), norm="batch"), (), {"precision": "bfloat16"}),
    "float16": (Mlp(hidden=(7, 5)), (), {"precision": "float16"}),
}


@pytest.mark.parametrize("kind", [Kfac, Ekfac])
@pytest.mark.parametrize("name", NETWORKS)
def test_packed_equals_solo(
    make_run: Maker, small_data: DataSet, tmp_path: Path, name: str, kind: type
) -> None:
    model, image, train = NETWORKS[name]
    data = _images(*image) if image else _text(tmp_path) if name == "gpt" else small_data
    settings = {"steps": 5, "precision": "float64", "batch_size": 11} | train
    double = settings["precision"] == "float64"
    # Of 8 bits, targets drawn differ now and then, and so does what little damping magnifies.
    options = OFTEN if double else OFTEN | {"fisher": "empirical", "damping": 1.0}
    runs = [
        make_run(model=model, optimizer=kind(lr=lr, **options), seed=seed, train=settings)
        for seed, lr in enumerate((0.03, 0.1, 0.01))
    ]
    arrays = Arrays.of(data, CPU, torch.float64 if double else torch.float32)
    packed = Stack(runs, arrays)
    start = packed.params
    packed.advance(5)
    close = {"rtol": 1e-8, "atol": 1e-10} if double else {"rtol": 0.1, "atol": 0.02}
    for lane, run in enumerate(runs):
        solo = Stack([run], arrays)
        solo.advance(5)
        for key, tensor in solo.params.items():
            assert tensor.isfinite().all()
            torch.testing.assert_close(packed.params[key][lane], tensor[0], **close)
    moved = [not tensor.equal(start[key]) for key, tensor in packed.params.items()]
    assert all(moved), "norms and embeddings move, too"


BROKEN = {
    "not a number": lambda p: p.fill_(torch.nan),
    "infinite": lambda p: p.fill_(torch.inf),
    "huge": lambda p: p.fill_(3e38),
    "no gradient": lambda p: p.zero_(),
}


@pytest.mark.parametrize("kind", [Kfac, Ekfac])
@pytest.mark.parametrize("model", [Mlp(hidden=(7, 5)), CNN], ids=["chain", "vmap"])
@pytest.mark.parametrize("how", BROKEN)
def test_nothing_leaves_a_broken_lane(
    make_run: Maker, small_data: DataSet, how: str, model: Any, kind: type
) -> None:
    train = {"steps": 7, "batch_size": 11}
    config = kind(lr=0.03, **OFTEN)
    runs = [make_run(model=model, optimizer=config, seed=s, train=train) for s in range(3)]
    arrays = Arrays.of(small_data, CPU, torch.float32)
    clean, dirty = Stack(runs, arrays), Stack(runs, arrays)
    dirty.params = {name: p.clone() for name, p in dirty.params.items()}
    for param in dirty.params.values():
        BROKEN[how](param[1])
    for stack in (clean, dirty):
        stack.advance(7)
    for name, tensor in clean.params.items():
        assert dirty.params[name][[0, 2]].equal(tensor[[0, 2]])
        assert dirty.params[name][1].isfinite().all() == (how == "no gradient")


@pytest.mark.parametrize("kind", [Kfac, Ekfac])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_singular_factors(make_run: Maker, small_data: DataSet, kind: type, precision: str) -> None:
    """Batches of one example, inputs that are 0, no damping or a huge one: all stays finite."""
    data = split("s", *_with_zeros(small_data), Digits(valid=0.15, test=0.15))
    arrays = Arrays.of(data, CPU, torch.float64 if precision == "float64" else torch.float32)
    train = {"steps": 60, "batch_size": 1, "precision": precision}
    runs = [
        make_run(optimizer=kind(lr=0.01, damping=d, **OFTEN), train=train)
        for d in (0.0, 1e-12, 1e-3, 1e12)
    ]
    stack = Stack(runs, arrays)
    before = stack.evaluate()[0]["valid/loss"]
    stack.advance(60)
    after = stack.evaluate()[0]["valid/loss"]
    assert np.isfinite(after).all()
    assert after[3] == pytest.approx(before[3], rel=1e-4), "no step at all"


def _with_zeros(data: DataSet) -> tuple[Any, Any]:
    x = np.concatenate([data.train_x, data.valid_x, data.test_x]).astype(np.float64)
    x[:, :3] = 0
    return x, np.concatenate([data.train_y, data.valid_y, data.test_y])


@pytest.mark.parametrize("kind", [Kfac, Ekfac])
def test_a_lane_that_explodes_ends_with_its_reason(
    make_run: Maker, small_data: DataSet, kind: type
) -> None:
    train = {"steps": 20, "evaluate_every": Steps(steps=5)}
    options: dict[str, Any] = {"damping": 0.03, "kl_clip": 0.0}
    rates = (0.01, 1e30, 0.02)
    runs = [make_run(optimizer=kind(lr=lr, **options), train=train) for lr in rates]
    data = {data_key(run): small_data for run in runs}
    session = PackSession([(run_id(run), run) for run in runs], data, Settings())
    found: dict[str, dict[str, Any]] = {}
    while not session.finished:
        for progress in session.advance().progress:
            found.setdefault(progress["run_id"], {}).update(progress)
    status = [found[run_id(run)]["status"] for run in runs]
    assert status[1] == "diverged"
    assert found[run_id(runs[1])]["reason"]
    assert status[0] == status[2] == "completed"


@pytest.mark.parametrize("name", ["kfac", "ekfac"])
def test_a_network_without_factors_is_refused(name: str) -> None:
    network = Network.of(torch.nn.BatchNorm1d(3))
    config: Any = OPTIMIZERS[name]()
    with pytest.raises(ValueError, match=f"{name} needs a model with a linear layer"):
        METHODS[name].init({}, config, network)

"""A lane's numbers are its own: packed, solo, compacted, split, resumed, by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables import models, schedules
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.base import Steps
from trainables.configs.optimizers import Adam, AdamW, Sgd
from trainables.configs.run import run_id
from trainables.configs.schedules import Constant, Cosine, OneCycle
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import permutation
from trainables.session import PackSession, Settings

CNN = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3})
MODELS = {
    "mlp": Mlp(hidden=(11, 3)),
    "norms": Mlp(hidden=(7, 7), norm="batch", skip=True),
    "cnn": CNN,
}

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]


def _train(runs: list[RunConfig], data: DataSet, **options: Any) -> dict[str, dict[str, Any]]:
    """run_id → final progress and history of a pack."""
    session = PackSession([(run_id(run), run) for run in runs], _AnyData(data), Settings(**options))
    return _finish(session)


def _finish(session: PackSession, limit: int | None = None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    while not session.finished and limit != 0:
        limit = None if limit is None else limit - 1
        report = session.advance()
        for progress in report.progress:
            found.setdefault(progress["run_id"], {"rows": []}).update(progress)
        for row in report.rows:
            row.pop("seconds")
            found.setdefault(row["run_id"], {"rows": []})["rows"].append(row)
    return found


class _AnyData(dict[str, DataSet]):
    """The same data set under every name."""

    def __init__(self, data: DataSet) -> None:
        super().__init__()
        self._data = data

    def __getitem__(self, key: str) -> DataSet:
        return self._data


def _close(a: dict[str, Any], b: dict[str, Any], rtol: float) -> None:
    assert (a["status"], a["reason"], a["steps"]) == (b["status"], b["reason"], b["steps"])
    assert len(a["rows"]) == len(b["rows"])
    for mine, other in zip(a["rows"], b["rows"], strict=True):
        assert mine.keys() == other.keys()
        for key in mine.keys() - {"run_id"}:
            expected = pytest.approx(other[key], rel=rtol, abs=1e-9, nan_ok=True)
            assert mine[key] == expected, key


def test_equals_a_hand_written_loop(make_run: Maker, small_data: DataSet) -> None:
    """The engine against the plainest PyTorch: module, torch.optim, one batch after another."""
    run = make_run(
        train={"epochs": 4.0, "precision": "float64"},
        optimizer=AdamW(lr=0.02, weight_decay=0.1),
        schedule=Cosine(warmup=0.1),
        seed=3,
    )
    found = _train([run, make_run(train={"epochs": 4.0, "precision": "float64"})], small_data)
    module = models.build(run.model, small_data.input_shape, small_data.outputs, run.seed).double()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1.0, weight_decay=0.1)
    x, y = torch.tensor(small_data.train_x).double(), torch.tensor(small_data.train_y)
    per_epoch = len(x) // 13
    rates = schedules.table(run.schedule, 0.02, 4 * per_epoch, per_epoch)
    losses: list[float] = []
    for step in range(4 * per_epoch):
        epoch, position = divmod(step, per_epoch)
        batch = permutation(run.seed, epoch, len(x))[13 * position : 13 * position + 13]
        optimizer.param_groups[0]["lr"] = rates[step].item()
        loss = F.cross_entropy(module(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        predicted = module(torch.tensor(small_data.test_x).double())
        test_y = torch.tensor(small_data.test_y)
    final = found[run_id(run)]["final"]
    expected = F.cross_entropy(predicted, test_y).item()
    assert final["test/loss"] == pytest.approx(expected, rel=1e-10)
    assert final["test/accuracy"] == (predicted.argmax(-1) == test_y).double().mean().item()
    assert final["train/loss"] == pytest.approx(sum(losses[-per_epoch:]) / per_epoch, rel=1e-10)
    assert final["lr"] == rates[-1].item()


@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-9), ("float32", 1e-3)])
@pytest.mark.parametrize(
    "optimizer",
    # A bias before batch norm has no gradient but rounding, which Adam divides by itself:
    # a larger epsilon keeps that noise out of the comparison in float32.
    [Sgd, partial(Adam, eps=1e-2), partial(AdamW, eps=1e-2)],
    ids=["sgd", "adam", "adamw"],
)
@pytest.mark.parametrize("model", MODELS)
def test_packed_equals_solo(
    make_run: Maker, small_data: DataSet, model: str, optimizer: Any, precision: str, rtol: float
) -> None:
    """Different seeds, learning rates, schedules and lengths side by side, then one by one."""
    runs = [
        make_run(
            train={"epochs": epochs, "precision": precision},
            model=MODELS[model],
            optimizer=optimizer(lr=lr),
            schedule=schedule,
            seed=seed,
        )
        for lr, schedule, seed, epochs in [
            (0.01, Constant(), 0, 3.0),
            (0.03, Cosine(warmup=0.2), 1, 3.0),
            (0.02, OneCycle(), 1, 2.0),
            (0.01, Cosine(), 0, 4.0),
        ]
    ]
    packed = _train(runs, small_data, strategy="fused")
    for run in runs:
        solo = _train([run], small_data)
        _close(packed[run_id(run)], solo[run_id(run)], rtol)
    sequential = _train(runs, small_data, strategy="sequential")
    for name, result in sequential.items():
        _close(packed[name], result, rtol)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_packs_equal_solo_runs(
    make_run: Maker, small_data: DataSet, data: st.DataObject
) -> None:
    """Any mixture of runs, in any order, some of them diverging: each as if alone."""
    lr = st.sampled_from([1e-3, 0.05, 0.3, 1e4])
    optimizers = st.one_of(
        st.builds(Sgd, lr=lr, momentum=st.sampled_from([0.0, 0.9])), st.builds(Adam, lr=lr)
    )
    runs = data.draw(
        st.lists(
            st.builds(
                make_run,
                train=st.fixed_dictionaries(
                    {"steps": st.integers(1, 25), "precision": st.just("float64")}
                ),
                optimizer=optimizers,
                schedule=st.sampled_from([Constant(), Cosine()]),
                seed=st.integers(0, 2),
            ),
            min_size=1,
            max_size=7,
            unique_by=run_id,
        )
    )
    packed = _train(runs, small_data, strategy="fused")
    for run in runs:
        _close(packed[run_id(run)], _train([run], small_data)[run_id(run)], 1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_resumed_is_bitwise_the_uninterrupted(
    make_run: Maker, small_data: DataSet, model: str
) -> None:
    """Interrupted where one lane has ended off the others' grid of evaluations."""
    every = Steps(steps=10)
    runs = [
        make_run(
            train={"steps": steps, "evaluate_every": every},
            model=MODELS[model],
            optimizer=optimizer,
            seed=seed,
        )
        for steps, optimizer, seed in [
            (35, Sgd(lr=0.1, momentum=0.9), 0),
            (13, Sgd(lr=0.2), 1),
            (35, Adam(lr=0.01), 1),
            (35, Sgd(lr=1e6), 2),
        ]
    ]
    pack = [(run_id(run), run) for run in runs]
    options = Settings(strategy="fused")
    whole = _finish(PackSession(pack, _AnyData(small_data), options))
    first = PackSession(pack, _AnyData(small_data), options)
    begun = _finish(first, limit=2)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = PackSession.restore(saved, pack, _AnyData(small_data), options)
    rest = _finish(second)
    for name, result in whole.items():
        rows = begun[name]["rows"] + rest.get(name, {"rows": []})["rows"]
        assert repr(rows) == repr(result["rows"])  # repr: NaN equals NaN, and bits count
        ended = rest.get(name, begun[name])
        for key in ("status", "final", "best", "steps"):
            assert repr(ended[key]) == repr(result[key])


def test_compaction_keeps_every_other_lane(make_run: Maker, small_data: DataSet) -> None:
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float64)
    runs = [make_run(seed=seed, optimizer=Adam(lr=0.01 * (1 + seed))) for seed in range(5)]
    stack = Stack(runs, arrays)
    stack.advance(4)
    kept = stack.keep([3, 1])
    assert kept.runs == [runs[3], runs[1]]
    for tree in ("params", "buffers"):
        for name, tensor in getattr(stack, tree).items():
            assert getattr(kept, tree)[name].equal(tensor[[3, 1]])
    stack.advance(9)
    kept.advance(9)
    for name, tensor in stack.params.items():
        torch.testing.assert_close(kept.params[name], tensor[[3, 1]], rtol=1e-10, atol=1e-12)

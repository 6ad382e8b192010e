"""Texts through the whole engine: lanes of a causal transformer, and the metrics of sequences."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check
from trainables import evaluation, models, schedules
from trainables.arrays import Arrays
from trainables.configs import (
    HIGHER_IS_BETTER,
    Digits,
    Mlp,
    RunConfig,
    Target,
    Train,
    UserModel,
    measured,
    run_id,
)
from trainables.configs.base import Steps
from trainables.configs.data import Characters, Data, LeastSquares
from trainables.configs.models import Gpt, Lenet5, Model
from trainables.configs.optimizers import AdamW, Muon
from trainables.configs.run import data_key
from trainables.configs.schedules import Cosine
from trainables.data import DataSet, load
from trainables.engine import Stack
from trainables.lanes import permutation
from trainables.session import PackSession, Settings

CPU = torch.device("cpu")
CONTEXT, BATCH = 7, 13
GPT = Gpt(width=6, depth=2, heads=3)


@pytest.fixture(scope="module", name="text")
def _text(tmp_path_factory: pytest.TempPathFactory) -> Characters:
    """Letters of which each is mostly followed by the next."""
    rng = np.random.default_rng(0)
    steps = rng.choice([1, 1, 1, 2], 1511)
    path = tmp_path_factory.mktemp("text") / "t.txt"
    path.write_text("".join("abcde"[at % 5] for at in np.cumsum(steps)), encoding="utf-8")
    return Characters(path=str(path), context=CONTEXT)


def _run(text: Characters, **parts: Any) -> RunConfig:
    train = {"steps": 29, "batch_size": BATCH, "evaluate_every": Steps(steps=10)}
    train |= parts.pop("train", {})
    given = {"data": text, "model": GPT, "optimizer": AdamW(lr=0.01, eps=1e-4)} | parts
    return RunConfig(train=Train(**train), **given)


def _finish(session: PackSession, reports: int = 99) -> dict[str, list[dict[str, Any]]]:
    """run_id → history."""
    rows: dict[str, list[dict[str, Any]]] = {}
    while not session.finished and reports:
        reports -= 1
        for row in session.advance().rows:
            row.pop("seconds")
            rows.setdefault(row["run_id"], []).append(row)
    return rows


def _train(runs: list[RunConfig], **options: Any) -> dict[str, list[dict[str, Any]]]:
    data = {data_key(run): load(run.data) for run in runs}
    return _finish(PackSession([(run_id(run), run) for run in runs], data, Settings(**options)))


def test_equals_a_hand_written_loop(text: Characters) -> None:
    """Module, torch.optim and torch's cross-entropy over all places of a batch."""
    run = _run(text, schedule=Cosine(warmup=0.1), seed=3, train={"precision": "float64"})
    data = load(text)
    (last,) = _train([run])[run_id(run)][-1:]
    module = models.build(run.model, data.input_shape, data.outputs, run.seed).double()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1.0, eps=1e-4, weight_decay=0.01)
    x, y = torch.tensor(data.train_x), torch.tensor(data.train_y)
    per_epoch = len(x) // BATCH
    rates = schedules.table(run.schedule, 0.01, 29, per_epoch)
    losses, hits = [], []
    for step in range(29):
        epoch, position = divmod(step, per_epoch)
        batch = permutation(run.seed, epoch, len(x))[BATCH * position : BATCH * position + BATCH]
        optimizer.param_groups[0]["lr"] = rates[step].item()
        predicted = module(x[batch])
        loss = F.cross_entropy(predicted.reshape(-1, data.outputs), y[batch].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        hits.append((predicted.argmax(-1) == y[batch]).double().mean().item())
    expected = {"train": (np.mean(losses[20:]), np.mean(hits[20:]))}
    for part in ("valid", "test"):
        inputs, targets = (torch.tensor(getattr(data, f"{part}_{name}")) for name in "xy")
        with torch.no_grad():
            logits = module(inputs)
        share = (logits.argmax(-1) == targets).double().mean().item()
        expected[part] = F.cross_entropy(logits.mT, targets).item(), share
    for part, (mean, accuracy) in expected.items():
        assert last[f"{part}/loss"] == pytest.approx(mean, rel=1e-10)
        assert last[f"{part}/accuracy"] == pytest.approx(accuracy, rel=1e-12)
        assert last[f"{part}/error"] == pytest.approx(1 - accuracy, rel=1e-12)
        assert last[f"{part}/perplexity"] == pytest.approx(math.exp(mean), rel=1e-10)
    assert expected["valid"][0] < 0.95 * math.log(5), "nothing was learnt"


MODELS: dict[str, Model] = {
    "gpt": GPT,
    "dropout": dataclasses.replace(GPT, dropout=0.3),
    "user": UserModel(name=f"{__name__}:recurrent"),
}


class Recurrent(nn.Module):
    """A user's module of tokens: the mean of what came before, through a linear layer."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 3)
        self.head = nn.Linear(3, vocabulary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = torch.arange(1, x.shape[1] + 1).view(-1, 1)
        return self.head(self.embed(x).cumsum(1) / count)  # type: ignore[no-any-return]


def recurrent(outputs: int) -> nn.Module:
    return Recurrent(outputs)


def _four(text: Characters, model: Model, precision: str) -> list[RunConfig]:
    return [
        _run(
            text,
            model=model,
            optimizer=AdamW(lr=lr, eps=1e-4),
            seed=seed,
            train={"steps": steps, "precision": precision},
        )
        for lr, seed, steps in [(0.01, 0, 29), (0.015, 1, 29), (0.02, 1, 17), (1e9, 2, 29)]
    ]


@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("model", MODELS)
def test_packed_equals_solo(text: Characters, model: str, precision: str, rtol: float) -> None:
    """Beside others and alone; one of them has a rate that ruins it."""
    runs = _four(text, MODELS[model], precision)
    packed = _train(runs, strategy="fused")
    for run in runs[:3]:
        solo = _train([run])[run_id(run)]
        assert len(solo) == len(packed[run_id(run)]) == (3 if run.train.steps == 29 else 2)
        for mine, alone in zip(packed[run_id(run)], solo, strict=True):
            assert mine.keys() == alone.keys()
            for key in mine.keys() - {"run_id"}:
                assert mine[key] == pytest.approx(alone[key], rel=rtol, abs=1e-7), key


@pytest.mark.parametrize("model", MODELS)
def test_resumed_is_bitwise_the_uninterrupted(text: Characters, model: str) -> None:
    runs = _four(text, MODELS[model], "float32")
    pack, data = [(run_id(run), run) for run in runs], {data_key(runs[0]): load(text)}
    options = Settings(strategy="fused")
    whole = _finish(PackSession(pack, data, options))
    first = PackSession(pack, data, options)
    begun = _finish(first, 1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    rest = _finish(PackSession.restore(saved, pack, data, options))
    for name, rows in whole.items():
        assert repr(begun[name] + rest.get(name, [])) == repr(rows)


def test_a_batch_in_parts_and_a_split_in_parts_are_the_same(
    text: Characters, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        _run(text, train={"batch_size": 12, "accumulate": parts, "precision": "float64"})
        for parts in (1, 3)
    ]
    (whole,) = _train(runs[:1]).values()
    monkeypatch.setattr(evaluation, "_POSITIONS", 5 * CONTEXT)
    assert evaluation.batch_size(torch.zeros(131, CONTEXT, dtype=torch.int64)) == 5
    assert evaluation.batch_size(torch.zeros(131, dtype=torch.int64)) == 1024
    assert evaluation.batch_size(torch.zeros(131, 3)) == 1024
    (parted,) = _train(runs[1:]).values()
    for mine, other in zip(whole, parted, strict=True):
        for key in mine.keys() - {"run_id"}:
            assert mine[key] == pytest.approx(other[key], rel=1e-9, abs=1e-12), key


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fewer_bits_stay_close(text: Characters, precision: str) -> None:
    runs = [
        _run(text, seed=seed, train={"precision": p})
        for seed in (0, 1)
        for p in ("float32", precision)
    ]
    found = [_train([run])[run_id(run)][-1] for run in runs]
    packed = _train(runs[1::2], strategy="fused")
    for run, full, low in zip(runs[1::2], found[::2], found[1::2], strict=True):
        assert low["valid/loss"] == pytest.approx(full["valid/loss"], rel=0.03)
        assert low["valid/loss"] != full["valid/loss"]
        assert packed[run_id(run)][-1]["valid/loss"] == pytest.approx(low["valid/loss"], rel=0.03)


def test_muon_and_smoothing_train(text: Characters) -> None:
    """An optimizer of matrices, to which embeddings are matrices too; a smoothed loss."""
    run = _run(text, optimizer=Muon(lr=0.02), train={"label_smoothing": 0.1})
    rows = _train([run])[run_id(run)]
    assert rows[-1]["valid/loss"] < rows[0]["valid/loss"]
    assert rows[-1]["train/loss"] > rows[-1]["valid/loss"], "smoothing holds the loss up"


@pytest.mark.parametrize(("metric", "value"), [("valid/perplexity", 4.5), ("valid/error", 0.7)])
def test_a_target_is_reached_from_above(text: Characters, metric: Any, value: float) -> None:
    train = {"steps": 400, "target": Target(metric=metric, value=value)}
    run = _run(text, train=train)
    data = {data_key(run): load(text)}
    session = PackSession([(run_id(run), run)], data, Settings())
    rows = _finish(session)[run_id(run)]
    progress = session.progress[run_id(run)]
    assert progress.reason == "target reached"
    assert rows[-1][metric] < value
    assert all(row[metric] >= value for row in rows[:-1])
    assert progress.best[metric] == min(row[metric] for row in rows)
    assert progress.best["valid/accuracy"] == max(row["valid/accuracy"] for row in rows)


def test_better_is_lower_but_for_accuracy_and_r2() -> None:
    splits = ("train", "valid", "test")
    assert {f"{s}/{what}" for s in splits for what in ("accuracy", "r2")} == HIGHER_IS_BETTER


@pytest.mark.parametrize(
    ("data", "loss", "names"),
    [
        (Digits(), "cross_entropy", ("loss", "accuracy", "error")),
        (Digits(), "logistic", ("loss", "accuracy", "error")),
        (LeastSquares(), "quadratic", ("loss", "r2")),
        (Digits(targets="inputs"), "bernoulli", ("loss", "squared_error")),
        (Characters(path="x"), "cross_entropy", ("loss", "accuracy", "error", "perplexity")),
    ],
)
def test_what_is_measured(data: Data, loss: Any, names: tuple[str, ...]) -> None:
    assert measured(data, Train(steps=1, loss=loss)) == names


def test_history_has_what_is_measured_and_nothing_else(text: Characters) -> None:
    regression = LeastSquares(features=3, examples=31)
    for run in (
        _run(text),
        _run(text, data=Digits(), model=Mlp(hidden=())),
        _run(text, data=regression, model=Mlp(hidden=()), train={"loss": "quadratic"}),
        _run(
            text,
            data=Digits(targets="inputs"),
            model=Mlp(hidden=()),
            train={"loss": "bernoulli"},
        ),
    ):
        (row,) = _train([run])[run_id(run)][-1:]
        expected = {
            f"{split}/{what}"
            for split in ("train", "valid", "test")
            for what in measured(run.data, run.train)
        }
        assert {key for key in row if "/" in key} == expected


def test_a_huge_loss_has_an_infinite_perplexity(text: Characters) -> None:
    stack = Stack([_run(text)], Arrays.of(load(text), CPU, torch.float32))
    stack.advance(1)
    stack.params = {name: 1e4 * p for name, p in stack.params.items()}
    metrics, _ = stack.evaluate()
    assert metrics["valid/loss"] > 710
    assert metrics["valid/perplexity"] == math.inf


@pytest.mark.parametrize(
    ("model", "data", "loss", "message"),
    [
        (GPT, Digits(), "cross_entropy", "model.name: gpt takes tokens, and digits has none; use"),
        (Mlp(), None, "cross_entropy", "model.name: mlp takes no tokens, and characters has"),
        (Lenet5(), None, "cross_entropy", "model.name: lenet5 takes no tokens, and characters"),
        (GPT, None, "quadratic", "train.loss: quadratic takes one target an example, characters"),
        (GPT, None, "logistic", "train.loss: logistic takes one target an example, characters"),
    ],
)
def test_what_does_not_fit_is_one_line(
    text: Characters, model: Model, data: Data | None, loss: Any, message: str
) -> None:
    run = _run(text, model=model, data=data or text, train={"loss": loss})
    loaded: dict[str, DataSet] = {data_key(run): load(run.data)}
    with pytest.raises(LaunchError) as caught:
        check([run], loaded)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [GPT, UserModel(name=f"{__name__}:recurrent")])
def test_what_fits_is_let_through(text: Characters, model: Model) -> None:
    run = _run(text, model=model)
    check([run], {data_key(run): load(text)})


def test_a_batch_larger_than_the_windows_is_refused(text: Characters) -> None:
    run = _run(text, train={"batch_size": 199})
    with pytest.raises(LaunchError, match="199 exceeds characters's 151 training examples"):
        check([run], {data_key(run): load(text)})

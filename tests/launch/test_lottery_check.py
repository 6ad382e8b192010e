"""What a lottery needs of data and model is said before any worker starts, in one line each."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from orchestrator.launch.check import LaunchError, check
from trainables.configs import Digits, Lottery, Mlp, RunConfig, Train, UserModel
from trainables.configs import schedules as s
from trainables.configs.base import Epochs, Steps
from trainables.configs.data import Characters
from trainables.configs.lottery import networks
from trainables.configs.models import Gpt
from trainables.configs.optimizers import Sgd
from trainables.configs.regularization import BatchGrowth
from trainables.configs.run import data_key
from trainables.data import DataSet, load

TRAIN = Train(epochs=5.0, batch_size=97)
PER_EPOCH = 12
NAMES = "0.weight, 2.weight or 4.weight"


@pytest.fixture(name="digits", scope="module")
def _digits() -> DataSet:
    return load(Digits())


def lines(found: DataSet, lottery: dict[str, Any], **changes: Any) -> list[str]:
    parts: dict[str, Any] = {
        "data": Digits(),
        "model": Mlp(hidden=(11, 7)),
        "optimizer": Sgd(lr=0.1),
        "train": TRAIN,
    }
    dense = RunConfig(**(parts | changes))
    runs = [
        dataclasses.replace(run, seed=seed)
        for run in networks(dense, Lottery(levels=3, children=1, **lottery))
        for seed in (0, 1)
    ]
    try:
        check(runs, {data_key(dense): found})
    except LaunchError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("lottery", "changes", "expected"),
    [
        (
            {"rewind_to": Steps(steps=5 * PER_EPOCH)},
            {},
            "procedure.rewind_to: step 60 must be before the end of training, 60 steps",
        ),
        (
            {"rewind_to": 0.999},
            {},
            "procedure.rewind_to: step 60 must be before the end of training, 60 steps",
        ),
        (
            {"batches": PER_EPOCH + 1, "criterion": "snip"},
            {},
            "procedure.batches: 13 must be at most those of an epoch, 12",
        ),
        (
            {"exclude": ("0.*", "norm*")},
            {},
            "procedure.exclude: 'norm*' matches none of 0.weight, 2.weight, 4.weight",
        ),
        (
            {"exclude": ("*",)},
            {},
            "procedure.exclude: nothing to prune: no weight of a linear layer or convolution is"
            " left",
        ),
        (
            {"layer_rates": {"2.*": 0.1, "3.*": 0.5}},
            {},
            f"procedure.layer_rates: '3.*' matches none of {NAMES}",
        ),
        (
            {"layer_rates": {"0.*": 0.1}, "exclude": ("0.*",)},
            {},
            "procedure.layer_rates: '0.*' matches none of 2.weight or 4.weight",
        ),
        (
            {"after": "fine_tune"},
            {"schedule": s.Cosine()},
            "procedure.after: fine_tune trains on at the last rate, and cosine ends at 0; use"
            " learning_rate or rewind, or another schedule",
        ),
        (
            {"rewind_to": Steps(steps=31)},
            {"train": dataclasses.replace(TRAIN, batch_growth=BatchGrowth(milestones=(0.4,)))},
            "procedure.rewind_to: 31 batches are in the middle of a step of train.batch_growth,"
            " which ends at 30 or 32",
        ),
    ],
)
def test_each_problem_is_one_line(
    digits: DataSet, lottery: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    assert lines(digits, lottery, **changes) == [expected]


@pytest.mark.parametrize(
    ("lottery", "changes"),
    [
        ({"rewind_to": Steps(steps=59)}, {}),
        ({"rewind_to": Epochs(epochs=1.0), "batches": PER_EPOCH, "criterion": "grasp"}, {}),
        ({"exclude": ("4.*",), "layer_rates": {"?.weight": 0.1}}, {}),
        (
            {"rewind_to": Steps(steps=32)},
            {"train": dataclasses.replace(TRAIN, batch_growth=BatchGrowth(milestones=(0.4,)))},
        ),
        ({}, {"model": Mlp(hidden=(11,), norm="weight")}),
    ],
)
def test_what_fits_is_taken(
    digits: DataSet, lottery: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert lines(digits, lottery, **changes) == []


@pytest.mark.parametrize(
    ("schedule", "ends"),
    [
        (s.Linear(), True),
        (s.Polynomial(power=2.0), True),
        (s.Cosine(), True),
        (s.Cosine(warmup=0.1), True),
        (s.Wsd(), True),
        (s.Rex(), True),
        (s.Cosine(final=0.1), False),
        (s.Constant(), False),
        (s.Constant(warmup=0.1), False),
        (s.Step(every=0.2, gamma=0.1), False),
        (s.MultiStep(milestones=(Steps(steps=59),), gamma=0.1), False),
        (s.Exponential(), False),
        (s.InverseSqrt(), False),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_fine_tuning_needs_a_rate_at_the_end(
    digits: DataSet, schedule: s.Schedule, ends: bool
) -> None:
    assert len(lines(digits, {"after": "fine_tune"}, schedule=schedule)) == ends
    assert lines(digits, {"after": "learning_rate"}, schedule=schedule) == []


def test_what_is_under_weight_normalization_is_not_pruned(digits: DataSet) -> None:
    note = "; layers under weight normalization are not pruned"
    model = Mlp(hidden=(11,), norm="weight")
    assert lines(digits, {"exclude": ("0.*",)}, model=model) == [
        f"procedure.exclude: '0.*' matches none of 2.weight{note}"
    ]
    assert lines(digits, {"exclude": ("2.*",)}, model=model) == [
        "procedure.exclude: nothing to prune: no weight of a linear layer or convolution is"
        f" left{note}"
    ]


def test_a_model_of_ones_own_without_weights_to_prune(
    digits: DataSet, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_bias.py").write_text(
        "import torch\n"
        "class Model(torch.nn.Module):\n"
        "    def __init__(self, outputs):\n"
        "        super().__init__()\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(outputs))\n"
        "    def forward(self, x):\n"
        "        return self.bias.expand(len(x), -1) + 0 * x.flatten(1).sum(1, keepdim=True)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    expected = "model.name: nothing to prune: no weight of a linear layer or convolution is left"
    assert lines(digits, {}, model=UserModel(name="only_bias:Model")) == [expected]


def test_tokens_of_data_of_ones_own(tmp_path: Any) -> None:
    (tmp_path / "t.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 211)
    config = Characters(path=str(tmp_path / "t.txt"))
    data = load(config)
    found = lines(
        data,
        {"criterion": "synflow"},
        data=config,
        model=Gpt(width=8, depth=1, heads=2),
        train=Train(steps=5, batch_size=3),
    )
    assert found == [
        "procedure.criterion: synflow feeds numbers to the network, and characters has tokens;"
        " use another criterion"
    ]

"""Augmented images are those of a loop over examples, and belong to a seed and a step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check
from trainables.arrays import Arrays
from trainables.augment import Draws, augment, draw
from trainables.configs import Digits, RunConfig, fusion_key
from trainables.configs.models import Mlp
from trainables.configs.regularization import Augment
from trainables.configs.run import data_key
from trainables.data import DataSet
from trainables.data.dataset import split
from trainables.engine import Stack
from trainables.lanes import derive

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
ALL = Augment(crop=3, flip=True, cutout=4)
CHOICES = [
    ALL,
    Augment(),
    Augment(crop=2),
    Augment(flip=True),
    Augment(cutout=5),
    Augment(cutout=7, crop=6),
]


@pytest.fixture(scope="module")
def images() -> DataSet:
    """131 images of 2 channels, 7 × 11 pixels, in 5 classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 131)
    x = rng.normal(size=(5, 2, 7, 11))[y] + 0.5 * rng.normal(size=(131, 2, 7, 11))
    return split("images", x, y, Digits(valid=0.15, test=0.15))


def _one(image: Tensor, config: Augment, draws: Draws, at: tuple[int, int]) -> Tensor:
    """One image, pixel by pixel, as the papers say it."""
    channels, height, width = image.shape
    n, side = config.crop, config.cutout
    padded = torch.zeros(channels, height + 2 * n, width + 2 * n, dtype=image.dtype)
    padded[:, n : n + height, n : n + width] = image
    top, left = int(draws.down[at]) + n, int(draws.right[at]) + n
    result = padded[:, top : top + height, left : left + width].clone()
    if config.flip and draws.flip[at]:
        result = torch.stack([result[..., width - 1 - column] for column in range(width)], -1)
    first_row, first_column = int(draws.row[at]) - side // 2, int(draws.column[at]) - side // 2
    for row in range(first_row, first_row + side):
        for column in range(first_column, first_column + side):
            if 0 <= row < height and 0 <= column < width:
                result[:, row, column] = 0
    return result


@pytest.mark.parametrize("config", CHOICES, ids=str)
def test_equals_a_loop_over_examples(config: Augment) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 53, 2, 7, 11, generator=generator, dtype=torch.float64)
    before, keys = x.clone(), torch.tensor([derive(seed) for seed in range(3)])
    found = augment(x, config, keys)
    drawn = draw(config, keys, 53, 7, 11)
    for seed in range(3):
        for example in range(53):
            expected = _one(x[seed, example], config, drawn, (seed, example))
            assert found[seed, example].equal(expected)
    assert x.equal(before)
    assert found.equal(x) == (config == Augment())


def test_draws_are_uniform_and_independent() -> None:
    """Chi-square tests of every draw, of shifts jointly, and from step to step."""
    keys = derive(5, "augment") + torch.tensor([derive(step) for step in range(97)])
    drawn = draw(ALL, keys, 211, 7, 11)
    for values, low, count in (
        (drawn.down, -3, 7),
        (drawn.right, -3, 7),
        (drawn.row, 0, 7),
        (drawn.column, 0, 11),
        (drawn.flip.to(torch.int64), 0, 2),
        ((drawn.down + 3) * 7 + drawn.right + 3, 0, 49),
        ((drawn.down + 3) * 2 + drawn.flip, 0, 14),
        ((drawn.row * 11 + drawn.column), 0, 77),
        ((drawn.down[1:] + 3) * 7 + drawn.down[:-1] + 3, 0, 49),
        ((drawn.down[:, 1:] + 3) * 7 + drawn.down[:, :-1] + 3, 0, 49),
    ):
        assert (values.min(), values.max()) == (low, low + count - 1)
        observed = torch.bincount((values - low).flatten(), minlength=count).numpy()
        assert stats.chisquare(observed).pvalue > 0.001
    share = drawn.flip.double().mean().item()
    assert share == pytest.approx(0.5, abs=3 * 0.5 / (97 * 211) ** 0.5)


def test_one_change_does_not_draw_for_another() -> None:
    keys = torch.tensor([derive(3)])
    alone = draw(Augment(flip=True), keys, 53, 7, 11)
    assert draw(ALL, keys, 53, 7, 11).flip.equal(alone.flip)


def _runs(make_run: Maker, seeds: tuple[int, ...], **train: Any) -> list[RunConfig]:
    settings = {"steps": 17, "augment": ALL} | train
    return [make_run(train=settings, model=Mlp(hidden=(5,)), seed=seed) for seed in seeds]


def _stack(runs: list[RunConfig], data: DataSet, dtype: torch.dtype = torch.float32) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, dtype))


def test_batches_of_a_stack(make_run: Maker, images: DataSet) -> None:
    """Each lane has its seed's examples, changed as its seed and the step say: no neighbour's."""
    stack = _stack(_runs(make_run, (3, 1, 3, 2)), images)
    plain = _stack(_runs(make_run, (3, 1, 3, 2), augment=None), images)
    for step in (0, 1, 9):
        batch, whole = stack.batch(step), plain.batch(step)
        assert batch.targets.equal(whole.targets)
        for lane, seed in enumerate((3, 1, 3, 2)):
            key = torch.tensor([derive(seed, "augment")]) + derive(step)
            drawn = draw(ALL, key, 13, 7, 11)
            expected = [_one(whole.x[lane, i], ALL, drawn, (0, i)) for i in range(13)]
            assert batch.x[lane].equal(torch.stack(expected))
            alone = _stack(_runs(make_run, (seed,)), images).batch(step)
            assert alone.x[0].equal(batch.x[lane])


def test_augmented_once_for_each_seed(
    make_run: Maker, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(x: Tensor, config: Augment, keys: Tensor) -> Tensor:
        seen.append((len(x), len(keys)))
        return augment(x, config, keys)

    monkeypatch.setattr("trainables.batches.augment", watched)
    for seeds in ((3, 1, 3, 2, 1), (2, 2, 2)):
        _stack(_runs(make_run, seeds), images).advance(1)
    assert seen == [(3, 3), (1, 1)]


def test_packed_solo_compacted_and_resumed(make_run: Maker, images: DataSet) -> None:
    runs = _runs(make_run, (3, 1, 2), precision="float64", steps=23)
    packed = _stack(runs, images, torch.float64)
    packed.advance(11)
    resumed = _stack(runs, images, torch.float64)
    resumed.load_state_dict(copy.deepcopy(packed.state_dict()))
    compacted = packed.keep([2, 1])
    for stack in (packed, resumed, compacted):
        stack.advance(23)
    found = packed.evaluate()[0]
    assert all(resumed.params[n].equal(t) for n, t in packed.params.items())
    assert compacted.evaluate()[0]["valid/loss"] == pytest.approx(
        found["valid/loss"][[2, 1]], rel=1e-10
    )
    for lane, run in enumerate(runs):
        solo = _stack([run], images, torch.float64)
        solo.advance(23)
        alone = solo.evaluate()[0]
        for metric in ("train/loss", "valid/loss"):
            assert alone[metric][0] == pytest.approx(found[metric][lane], rel=1e-10)


def test_only_training_is_augmented(make_run: Maker, images: DataSet) -> None:
    """Before the weights have moved, valid and test are those of a run without."""
    found = []
    for config in (ALL, None):
        run = _runs(make_run, (3,), augment=config, clip_norm=1e-30)
        stack = _stack(run, images)
        stack.advance(1)
        found.append(stack.evaluate()[0])
    for metric in ("valid/loss", "test/loss"):
        assert found[0][metric] == found[1][metric]
    assert found[0]["train/loss"] != found[1]["train/loss"]


def test_what_lanes_share(make_run: Maker) -> None:
    keys = {fusion_key(make_run(train={"augment": c})) for c in (None, *CHOICES)}
    assert len(keys) == 1 + len(CHOICES)
    assert len({fusion_key(run) for run in _runs(make_run, (1, 2))}) == 1


@pytest.mark.parametrize(
    ("config", "flat", "message"),
    [
        (ALL, True, "train.augment: takes images (channels, height, width); examples of digits"),
        (Augment(crop=7), False, "train.augment.crop: 7 must be below the sides of images"),
        (Augment(cutout=8), False, "train.augment.cutout: 8 must be within the sides of images"),
        (Augment(crop=6, flip=True, cutout=7), False, None),
    ],
)
def test_what_is_no_image_is_one_line(
    make_run: Maker,
    images: DataSet,
    small_data: DataSet,
    config: Augment,
    flat: bool,
    message: str | None,
) -> None:
    run = make_run(train={"augment": config})
    data = {data_key(run): small_data if flat else images}
    if message is None:
        check([run], data)
        return
    with pytest.raises(LaunchError) as caught:
        check([run], data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

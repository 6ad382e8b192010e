"""Clipping is torch's, with a bound for each lane."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trainables.arrays import Arrays
from trainables.clipping import Bounds, clip
from trainables.configs import RunConfig, Train, fusion_key
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.engine import Stack

BOUNDS = (0.01, 3.0, 1e3)


def _gradients() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"weight": (5, 7), "bias": (5,)}
    return {
        name: torch.randn(len(BOUNDS), *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("field", ["clip_norm", "clip_value"])
def test_equals_torch(field: str) -> None:
    gradients = _gradients()
    trains = [Train(steps=1, **{field: bound}) for bound in BOUNDS]
    found = clip(gradients, Bounds.of(trains, torch.device("cpu")))
    for lane, bound in enumerate(BOUNDS):
        leaves = [tensor[lane].clone().requires_grad_() for tensor in gradients.values()]
        for leaf in leaves:
            leaf.grad = leaf.detach().clone()
        if field == "clip_norm":
            torch.nn.utils.clip_grad_norm_(leaves, bound)
        else:
            torch.nn.utils.clip_grad_value_(leaves, bound)
        for name, leaf in zip(gradients, leaves, strict=True):
            assert leaf.grad is not None
            torch.testing.assert_close(found[name][lane], leaf.grad, rtol=1e-12, atol=0)


def test_without_bounds_gradients_are_left_alone() -> None:
    gradients = _gradients()
    assert clip(gradients, Bounds.of([Train(steps=1)], torch.device("cpu"))) is gradients


def test_a_bad_lane_keeps_to_itself() -> None:
    gradients, bad = _gradients(), _gradients()
    bad["weight"][1, 0, 0] = torch.nan
    bounds = Bounds.of([Train(steps=1, clip_norm=bound) for bound in BOUNDS], torch.device("cpu"))
    clean, dirty = clip(gradients, bounds), clip(bad, bounds)
    assert dirty["bias"][1].isnan().all()
    for name in clean:
        assert dirty[name][[0, 2]].equal(clean[name][[0, 2]])


def test_only_one_kind_of_clipping() -> None:
    with pytest.raises(ValueError, match="at most one of clip_norm and clip_value"):
        Train(steps=1, clip_norm=1.0, clip_value=1.0)


def test_bounds_are_free_from_lane_to_lane_but_clipping_is_shared(
    make_run: Callable[..., RunConfig],
) -> None:
    some, more = make_run(train={"clip_norm": 0.1}), make_run(train={"clip_norm": 0.2})
    assert fusion_key(some) == fusion_key(more)
    others = [make_run(), make_run(train={"clip_value": 0.1})]
    assert len({fusion_key(run) for run in [some, *others]}) == 3


def test_the_engine_clips_before_the_step(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """With plain SGD a first step is as long as lr × the bound; what is reported is not clipped."""
    runs = [
        make_run(
            optimizer=Sgd(lr=0.5),
            train={"clip_norm": c, "precision": "float64", "steps": 1},
            seed=1,
        )
        for c in (0.01, 0.02)
    ]
    stack = Stack(runs, Arrays.of(small_data, torch.device("cpu"), torch.float64))
    before = stack.params
    stack.advance(1)
    moved = sum((stack.params[n] - p).flatten(1).square().sum(1) for n, p in before.items())
    assert isinstance(moved, torch.Tensor)
    expected = torch.tensor([0.005, 0.01], dtype=torch.float64)
    torch.testing.assert_close(moved.sqrt(), expected, rtol=1e-4, atol=0)
    metrics, _ = stack.evaluate()
    assert (metrics["grad_norm"] > 0.1).all()

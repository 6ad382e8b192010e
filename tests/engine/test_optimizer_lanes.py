"""Whatever the optimizer, a lane's numbers are its own: packed, resumed, beside a broken one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.engine.dense_optimizers import NETWORK, quadratic
from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.hyper import hyperparameters
from trainables.optimizers import OPTIMIZERS, Context

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


TAME: dict[str, dict[str, Any]] = {
    "newton": {"damping": 1.0},
    "hessian_free": {"damping": 10.0, "cg_iterations": 7},
}
"""Where the method itself magnifies rounding: solving with small eigenvalues of either sign, and
the many iterations of conjugate gradients that takes."""


def _runs(make_run: Maker, name: str) -> list[RunConfig]:
    """Lanes that differ in seed, rate and, where the method has one, a second number."""
    kind, runs = CONFIGS[name], []
    for seed, lr in enumerate((0.02, 0.05, 0.01)):
        options: dict[str, Any] = {"lr": lr, **TAME.get(name, {})}
        if "weight_decay" in kind.__dataclass_fields__:
            options["weight_decay"] = 0.1 * seed
        train = {"steps": 14, "precision": "float64", "evaluate_every": 1.0}
        runs.append(make_run(train=train, optimizer=kind(**options), seed=seed))
    return runs


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_equals_solo(make_run: Maker, small_data: DataSet, name: str) -> None:
    runs = _runs(make_run, name)
    packed = _stack(runs, small_data)
    packed.advance(5)
    packed.advance(14)
    metrics, losses = packed.evaluate()
    for lane, run in enumerate(runs):
        solo = _stack([run], small_data)
        solo.advance(14)
        alone, own = solo.evaluate()
        assert own[:, 0] == pytest.approx(losses[:, lane], rel=1e-10)
        for metric, values in alone.items():
            assert values[0] == pytest.approx(metrics[metric][lane], rel=1e-10), metric
        for key, tensor in solo.params.items():
            torch.testing.assert_close(packed.params[key][lane], tensor[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_resumed_is_bitwise_and_compacted_is_close(
    make_run: Maker, small_data: DataSet, name: str
) -> None:
    runs = _runs(make_run, name)
    whole = _stack(runs, small_data)
    whole.advance(6)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed = _stack(runs, small_data)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    kept = whole.keep([2, 0])
    for stack in (whole, resumed, kept):
        stack.advance(14)
    for key, tensor in whole.params.items():
        assert resumed.params[key].equal(tensor)
        torch.testing.assert_close(kept.params[key], tensor[[2, 0]], rtol=1e-9, atol=1e-12)
    expected, _ = whole.evaluate()
    found, _ = resumed.evaluate()
    assert all(found[metric].tobytes() == values.tobytes() for metric, values in expected.items())


GRADIENTS = [name for name in CONFIGS if "curvature" not in (OPTIMIZERS[name].not_compiled or "")]
"""Methods that need no more than gradients and losses; the others have tests of their own."""


@pytest.mark.parametrize("name", GRADIENTS)
def test_zero_gradients_and_a_broken_lane(name: str) -> None:
    """Lane 1 is all NaN; lane 2 has no gradient at all; lane 0 notices neither."""
    generator = torch.Generator().manual_seed(1)
    start = {
        "weight": torch.randn(3, 5, 7, generator=generator),
        "bias": torch.zeros(3, 5),  # an all-zero tensor: no trust ratio
    }
    configs = [CONFIGS[name](lr=lr) for lr in (0.1, 0.2, 0.3)]

    def train(*, broken: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        params, state = start, OPTIMIZERS[name].init(start, configs[0], NETWORK)
        for step in range(6):
            numbers = torch.Generator().manual_seed(step)
            grads = {key: torch.randn(p.shape, generator=numbers) for key, p in start.items()}
            loss = torch.tensor([1.0, 1.0, 0.0])
            for grad in grads.values():
                grad[2] = 0
                if broken:
                    grad[1] = loss[1] = torch.nan
            hyper = hyperparameters(configs, CPU)
            at = step, quadratic(0.3)
            context = Context(configs[0], loss, 0.5, lambda at: torch.zeros(3), *at)
            params, state = OPTIMIZERS[name].update(grads, state, params, hyper, context)
        return params, OPTIMIZERS[name].evaluated(params, state)

    for clean, dirty in zip(train(broken=False), train(broken=True), strict=True):
        for key, tensor in dirty.items():
            assert tensor[[0, 2]].isfinite().all()
            assert tensor[[0, 2]].equal(clean[key][[0, 2]])
            assert not tensor[1].isfinite().all(), "a NaN must show"

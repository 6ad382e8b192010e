"""Momentum that moves against the learning rate: torch's own OneCycleLR and CyclicLR."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.optim import Optimizer, lr_scheduler

from trainables import models
from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.configs import optimizers as o
from trainables.configs import schedules as s
from trainables.configs.base import Steps
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.hyper import courses
from trainables.lanes import permutation
from trainables.schedules import course
from trainables.session import PackSession, Settings

CPU = torch.device("cpu")
STEPS, BATCH = 200, 13
Maker = Callable[..., RunConfig]

ONE_CYCLE = s.OneCycle(warmup=0.3, cycle_momentum=True, base_momentum=0.6, max_momentum=0.97)
THREE = s.OneCycle(warmup=0.25, anneal="linear", three_phase=True, cycle_momentum=True)
CYCLIC = s.Cyclic(period=Steps(steps=46), low=0.1, cycle_momentum=True, max_momentum=0.93)
FADING = s.Cyclic(
    period=Steps(steps=30), rise=0.3, mode="exp_range", gamma=0.99, cycle_momentum=True
)


def _one_cycle(optimizer: Optimizer, lr: float, **options: Any) -> Any:
    chosen = {"pct_start": 0.3, "base_momentum": 0.6, "max_momentum": 0.97} | options
    return lr_scheduler.OneCycleLR(optimizer, lr, STEPS, **chosen)


SCHEDULERS: dict[s.Schedule, Callable[[Optimizer, float], Any]] = {
    ONE_CYCLE: _one_cycle,
    THREE: lambda opt, lr: _one_cycle(
        opt,
        lr,
        pct_start=0.25,
        anneal_strategy="linear",
        three_phase=True,
        base_momentum=0.85,
        max_momentum=0.95,
    ),
    CYCLIC: lambda opt, lr: lr_scheduler.CyclicLR(opt, 0.1 * lr, lr, 23, max_momentum=0.93),
    FADING: lambda opt, lr: lr_scheduler.CyclicLR(
        opt, 0.1 * lr, lr, 9, 21, mode="exp_range", gamma=0.99
    ),
}
OPTIMIZERS: dict[str, tuple[o.Optimizer, Callable[[Any], Optimizer]]] = {
    "sgd": (o.Sgd(lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "nesterov": (
        o.Sgd(lr=0.05, momentum=0.3, nesterov=True, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.3, nesterov=True, weight_decay=0.01),
    ),
    "adam": (o.Adam(lr=0.003), lambda p: torch.optim.Adam(p, lr=0.003)),
    "adamw": (o.AdamW(lr=0.003), lambda p: torch.optim.AdamW(p, lr=0.003)),
    "nadam": (o.NAdam(lr=0.003), lambda p: torch.optim.NAdam(p, lr=0.003)),
    "radam": (o.RAdam(lr=0.003), lambda p: torch.optim.RAdam(p, lr=0.003)),
    "adamax": (o.Adamax(lr=0.003), lambda p: torch.optim.Adamax(p, lr=0.003)),
    "rmsprop": (o.RmsProp(lr=0.001), lambda p: torch.optim.RMSprop(p, lr=0.001)),
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """torch.optim.NAdam keeps its product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


def _by_hand(
    run: RunConfig, optimizer_of: Callable[[Any], Optimizer], data: DataSet
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """PyTorch alone: module, optimizer, scheduler, a batch after another; and its momenta."""
    module = models.build(run.model, data.input_shape, data.outputs, run.seed).double()
    optimizer = optimizer_of(module.parameters())
    scheduler = SCHEDULERS[run.schedule](optimizer, run.optimizer.lr)
    x, y = torch.tensor(data.train_x).double(), torch.tensor(data.train_y)
    per_epoch, used = len(x) // BATCH, []
    for step in range(STEPS):
        epoch, position = divmod(step, per_epoch)
        batch = permutation(run.seed, epoch, len(x))[BATCH * position : BATCH * (position + 1)]
        group = optimizer.param_groups[0]
        used.append(group["betas"][0] if "betas" in group else group["momentum"])
        optimizer.zero_grad()
        F.cross_entropy(module(x[batch]), y[batch]).backward()
        optimizer.step()
        if step < STEPS - 1:
            scheduler.step()
    return {name: p.detach() for name, p in module.named_parameters()}, used


def _run(make_run: Maker, **parts: Any) -> RunConfig:
    return make_run(train={"steps": STEPS, "precision": "float64"}, **parts)


@pytest.mark.parametrize("schedule", SCHEDULERS, ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectories_equal_torch(
    make_run: Maker, small_data: DataSet, name: str, schedule: s.Schedule
) -> None:
    config, optimizer_of = OPTIMIZERS[name]
    run = _run(make_run, optimizer=config, schedule=schedule, seed=3)
    stack = _stack([run], small_data)
    stack.advance(STEPS)
    expected, used = _by_hand(run, optimizer_of, small_data)
    (table,) = courses([run], stack.steps_per_epoch).values()
    assert table[:, 0].tolist() == used
    assert max(used) - min(used) > 0.09, "it moves"
    for key, tensor in expected.items():
        torch.testing.assert_close(stack.params[key][0], tensor, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [o.Sgd, o.Adam, o.Muon, o.Lion, o.Lars, o.Lamb])
def test_packed_with_lanes_that_do_not_cycle_equals_solo(
    make_run: Maker, small_data: DataSet, kind: Any
) -> None:
    runs = [
        make_run(
            train={"steps": steps, "precision": "float64"},
            optimizer=kind(lr=0.01),
            schedule=schedule,
            seed=seed,
        )
        for seed, (schedule, steps) in enumerate(
            [(ONE_CYCLE, 41), (s.Cosine(), 47), (CYCLIC, 53), (s.Constant(), 59)]
        )
    ]
    packed = _stack(runs, small_data)
    packed.advance(41)
    for lane, run in enumerate(runs):
        solo = _stack([run], small_data)
        solo.advance(41)
        for key, tensor in solo.params.items():
            torch.testing.assert_close(packed.params[key][lane], tensor[0], rtol=1e-10, atol=1e-13)


def test_resumed_and_compacted(make_run: Maker, small_data: DataSet) -> None:
    """Bitwise; the lanes left behind by those that cycled go on with the same operations."""
    schedules = [ONE_CYCLE, s.Constant(), CYCLIC, s.Cosine()]
    runs = [
        _run(make_run, optimizer=o.Sgd(lr=0.05), schedule=schedule, seed=seed)
        for seed, schedule in enumerate(schedules)
    ]
    whole = _stack(runs, small_data)
    whole.advance(61)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed, left = _stack(runs, small_data), whole.keep([3, 1])
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert "momentum" in left._hyper, "stays in use"
    again = _stack([runs[3], runs[1]], small_data)
    again.load_state_dict(left.state_dict())
    for stack in (whole, resumed, left, again):
        stack.advance(103)
    for key, tensor in whole.params.items():
        assert resumed.params[key].equal(tensor)
        assert again.params[key].equal(left.params[key])
        torch.testing.assert_close(left.params[key], tensor[[3, 1]], rtol=1e-10, atol=1e-13)


def test_nothing_is_added_where_no_lane_cycles(make_run: Maker, small_data: DataSet) -> None:
    runs = [_run(make_run, optimizer=o.Sgd(lr=0.1), schedule=s.OneCycle())]
    stack = _stack(runs, small_data)
    assert stack._courses == {}
    assert "momentum" not in stack._hyper


def test_an_optimizer_without_momentum_is_refused(make_run: Maker, small_data: DataSet) -> None:
    run = _run(make_run, optimizer=o.AdaGrad(), schedule=ONE_CYCLE)
    with pytest.raises(ValueError, match="adagrad has neither momentum nor beta1 to cycle"):
        _stack([run], small_data)


def test_which_number_is_cycled() -> None:
    found = {name: o.momentum_field(kind(lr=1.0)) for name, kind in o.OPTIMIZERS.items()}
    assert {name for name, field in found.items() if field is None} == {
        *("adagrad", "adadelta", "sps", "sls", "barzilai_borwein"),
        *("gauss_newton", "hessian_free", "lbfgs"),
    }
    assert found["muon"] == found["sgd"] == "momentum"
    assert found["adamw"] == found["lion"] == "beta1"


def test_a_warmup_and_the_parts_of_a_sequence_hold_the_momentum() -> None:
    """Before a cycle its first value, after it its last one, between two the first one's last."""
    fall = s.OneCycle(cycle_momentum=True, base_momentum=0.5, max_momentum=0.8)
    sequence = s.Sequence(
        warmup=Steps(steps=3),
        schedules=(s.Constant(), fall, s.Linear(), CYCLIC, s.Rex()),
        durations=tuple(Steps(steps=steps) for steps in (5, 11, 7, 50)),
    )
    rates, found = course(sequence, 0.3, 97, 7)
    assert found is not None
    assert len(found) == len(rates) == 97
    inner, cycle = course(fall, 0.3, 11, 7).momenta, course(CYCLIC, 0.3, 50, 7).momenta
    assert inner is not None
    assert cycle is not None
    expected = [inner[0].expand(8), inner, inner[-1].expand(7), cycle, cycle[-1].expand(21)]
    assert found.equal(torch.cat(expected))
    chain = s.Chain(schedules=(s.Rex(), fall))
    chained = course(chain, 0.3, 11, 7).momenta
    assert chained is not None
    assert chained.equal(inner)
    assert course(s.Chain(schedules=(s.Rex(), s.Step())), 0.3, 11, 7).momenta is None


def test_the_momentum_is_recorded_where_it_varies(
    make_run: Maker, small_data: DataSet, data_of: Callable[[RunConfig], dict[str, DataSet]]
) -> None:
    """At each evaluation that of the step before, whatever the optimizer calls it; a neighbour
    whose own stays as it is has no such column, packed or alone."""
    for optimizer in (o.Sgd(lr=0.05, momentum=0.7), o.Adam(lr=0.003)):
        cycles, stays = (
            make_run(optimizer=optimizer, schedule=schedule, train={"steps": 97})
            for schedule in (ONE_CYCLE, s.Cosine())
        )
        pack = [(run_id(run), run) for run in (stays, cycles)]
        session = PackSession(pack, data_of(cycles), Settings(strategy="fused"))
        rows: list[dict[str, Any]] = []
        while not session.finished:
            rows += session.advance().rows
        per_epoch = len(small_data.train_x) // cycles.train.batch_size
        momenta = course(ONE_CYCLE, optimizer.lr, 97, per_epoch).momenta
        assert momenta is not None
        for row in rows:
            assert ("momentum" in row) == (row["run_id"] == run_id(cycles))
            if "momentum" in row:
                assert row["momentum"] == pytest.approx(momenta[row["step"] - 1].item(), rel=1e-12)
        assert len({row.get("momentum") for row in rows}) > 5
        final = session.progress[run_id(cycles)].final
        assert final["momentum"] == pytest.approx(momenta[-1].item(), rel=1e-12)

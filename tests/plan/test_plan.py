"""Packs: every run once, slots busy, nothing straggling; estimates say what they rest on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.plan import estimate, make_packs, unique_runs
from orchestrator.plan.packs import steps_per_epoch
from trainables.configs import Digits, Mlp, RunConfig, UserData, UserModel
from trainables.configs.base import Steps
from trainables.configs.data import Cifar10, Mnist
from trainables.configs.models import MODELS, Lenet5
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.run import fusion_key, run_id
from trainables.configs.schedules import Cosine, Step
from trainables.data import load

Maker = Callable[..., RunConfig]


def test_equal_configurations_are_one_run(make_run: Maker) -> None:
    runs = [make_run(), make_run(seed=1), make_run()]
    assert list(unique_runs(runs)) == [run_id(runs[0]), run_id(runs[1])]


def test_what_may_share_a_pack(make_run: Maker) -> None:
    run = make_run()
    together = [
        make_run(seed=9),
        make_run(optimizer=Sgd(lr=3.0, momentum=0.1, weight_decay=0.2)),
        make_run(schedule=Cosine(warmup=0.1)),
        make_run(train={"epochs": 9.0}),
    ]
    apart = [
        make_run(model=Mlp(hidden=(11, 4))),
        make_run(train={"batch_size": 17}),
        make_run(train={"precision": "float64"}),
        make_run(optimizer=Sgd(lr=0.1, momentum=0.9, nesterov=True)),
        make_run(optimizer=Adam()),
        make_run(data=Digits(split_seed=1)),
    ]
    assert {fusion_key(other) for other in together} == {fusion_key(run)}
    assert len({fusion_key(other) for other in [run, *apart]}) == 1 + len(apart)
    shares = [make_run(train={"epochs": e, "evaluate_every": 0.1}) for e in (2.0, 4.0)]
    assert fusion_key(shares[0]) != fusion_key(shares[1]), "their evaluations do not coincide"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), slots=st.integers(1, 9), most=st.none() | st.integers(1, 40))
def test_every_run_is_in_one_pack(
    make_run: Maker, data: st.DataObject, slots: int, most: int | None
) -> None:
    count = data.draw(st.integers(1, 120))
    widths = data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    runs = unique_runs(
        make_run(seed=seed, model=Mlp(hidden=(width,))) for seed, width in enumerate(widths)
    )
    packs = make_packs(runs, slots=slots, most_lanes=most)
    placed = [name for pack in packs for name in pack.run_ids]
    assert sorted(placed) == sorted(runs)
    assert max(len(pack.run_ids) for pack in packs) <= (most or 256)
    for pack in packs:
        assert len({fusion_key(runs[name]) for name in pack.run_ids}) == 1
    assert [p.cost for p in packs] == sorted((p.cost for p in packs), reverse=True)
    assert len({p.pack_id for p in packs}) == len(packs)


@pytest.mark.parametrize(
    ("runs", "slots", "most", "sizes"),
    [
        (144, 2, None, [72, 72]),
        (145, 2, None, [73, 72]),
        (1000, 2, None, [250] * 4),
        (10, 4, 2, [2, 2] + [1] * 6),
        (3, 8, None, [1, 1, 1]),
        (600, 2, 100, [100] * 6),
    ],
)
def test_one_group_fills_whole_rounds_of_slots(
    make_run: Maker, runs: int, slots: int, most: int | None, sizes: list[int]
) -> None:
    packs = make_packs(
        unique_runs(make_run(seed=s) for s in range(runs)), slots=slots, most_lanes=most
    )
    assert [len(pack.run_ids) for pack in packs] == sizes


def test_packs_of_one_group_end_together(make_run: Maker) -> None:
    runs = unique_runs(make_run(seed=s, train={"steps": 10 + s}) for s in range(100))
    costs = [pack.cost for pack in make_packs(runs, slots=2)]
    assert max(costs) / min(costs) < 1.02


def test_known_sizes_are_those_of_the_data(make_run: Maker) -> None:
    config = make_run(data=Digits(valid=0.1, test=0.25), train={"batch_size": 50})
    data = load(config.data)
    assert len(data.train_x) // 50 == steps_per_epoch(config)
    assert data.outputs == Digits.classes
    assert data.input_shape == (Digits.inputs,)
    assert sum(len(x) for x in (data.train_x, data.valid_x, data.test_x)) == Digits.examples


def test_an_estimate_says_what_it_rests_on(make_run: Maker) -> None:
    runs = unique_runs(make_run(seed=s, train={"steps": 1000}) for s in range(4))
    key = fusion_key(make_run())
    assert estimate(runs, slots=2, measured={}).basis == "modelled"
    measured = estimate(runs, slots=2, measured={key: 0.01})
    assert measured.basis == "measured"
    training = 4 * 1000 * 0.01
    assert measured.slot_seconds == pytest.approx(training, rel=0.05)
    assert measured.slot_seconds is not None
    assert measured.slot_seconds > training, "evaluations count, too"
    assert measured.seconds == pytest.approx(8 + measured.slot_seconds / 2)
    unknown = unique_runs([*runs.values(), make_run(model=UserModel(name="a:b"))])
    assert estimate(unknown, slots=2, measured={key: 0.01}).seconds is None
    theirs = make_run(data=UserData(name="a:b"), model=UserModel(name="a:b"))
    assert steps_per_epoch(theirs) is None


def _seconds(run: RunConfig, measured: dict[str, float] | None = None) -> float:
    found = estimate({run_id(run): run}, slots=1, measured=measured or {}).slot_seconds
    assert found is not None
    return found


def test_estimates_written_out(make_run: Maker) -> None:
    """Of a chain and of a network of images: 5 steps, evaluated after 2, 4 and 5."""
    train = {"steps": 5, "batch_size": 13, "evaluate_every": Steps(steps=2)}
    run = make_run(data=Digits(valid=0.1, test=0.2), train=train)
    weights = [64 * 11, 11 * 3, 3 * 10]
    step = 1.5e-5 + 13 * (6 * sum(weights) - 2 * weights[0]) / 6e10
    evaluation = 1.5e-5 / 3 + (180 + 359) * 2 * sum(weights) / 6e10
    assert _seconds(run) == pytest.approx(5 * step + 3 * evaluation)
    uphill = make_run(data=run.data, train=train | {"sam_rho": 0.1})
    assert _seconds(uphill) == pytest.approx(10 * step + 3 * evaluation)

    images = make_run(data=Mnist(root="x"), model=Lenet5(), train=train | {"batch_size": 26})
    operations = [6 * 25 * 784, 16 * 150 * 100, 400 * 120, 120 * 84, 840]
    values = 6 * 784 + 16 * 100 + 120 + 84 + 10
    step = 5 * 4e-4 + 26 * ((6 * sum(operations) - 2 * operations[0]) / 6e10 + values * 1e-8)
    evaluation = 5 * 4e-4 / 3 * 15 + 15000 * (2 * sum(operations) / 6e10 + values * 1e-8 / 3)
    assert _seconds(images) == pytest.approx(5 * step + 3 * evaluation)
    parts = make_run(
        data=images.data, model=images.model, train=train | {"batch_size": 26, "accumulate": 2}
    )
    assert _seconds(parts) == pytest.approx(5 * (step + 5 * 4e-4) + 3 * evaluation)
    found = _seconds(images, {fusion_key(images): 3 * step})
    assert found == pytest.approx(3 * (5 * step + 3 * evaluation))


def test_a_users_model_evaluates_a_batch_in_a_third_of_a_step(make_run: Maker) -> None:
    run = make_run(
        data=Digits(valid=0.1, test=0.2), model=UserModel(name="a:b"), train={"steps": 5}
    )
    batches = (180 + 359) / 13
    assert _seconds(run, {fusion_key(run): 0.3}) == pytest.approx(5 * 0.3 + 0.1 * batches)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"gpt"}))
def test_every_model_of_known_data_has_an_estimate(make_run: Maker, name: str) -> None:
    small = make_run(data=Cifar10(root="x"), model=MODELS[name]())
    assert 0.01 < _seconds(small) < 1e6


def test_ids_ignore_fields_at_their_default(make_run: Maker) -> None:
    run = make_run(schedule=Step(every=0.3))
    assert run_id(run) == run_id(make_run(schedule=Step()))
    assert run_id(run) != run_id(dataclasses.replace(run, seed=1))

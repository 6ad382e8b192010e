"""The noise scale beside training: no bit of it changes, and no neighbour matters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.probes.test_noise_scale import GENERAL, NAMES, Maker, _measured, _probes, _stack
from trainables import noise_scale
from trainables.configs import Mlp, RunConfig, fusion_key
from trainables.configs.optimizers import Sgd
from trainables.configs.probes import Probes
from trainables.data import DataSet
from trainables.engine import Stack


def _pair(make_run: Maker, kind: str, probes: Probes | None) -> list[RunConfig]:
    parts = GENERAL[kind] | {
        "train": {"steps": 11, "batch_size": 14} | GENERAL[kind].get("train", {})
    }
    return [make_run(**parts, seed=seed, probes=probes) for seed in (1, 2)]


@pytest.mark.parametrize("parts", [2, 7])
@pytest.mark.parametrize("kind", GENERAL)
def test_training_is_bitwise_what_it_is_without(
    make_run: Maker, small_data: DataSet, kind: str, parts: int
) -> None:
    with_, without = (
        _stack(_pair(make_run, kind, probes), small_data, torch.float32)
        for probes in (_probes(every=1, parts=parts), None)
    )
    for stack in (with_, without):
        stack.advance(11)
    assert without._noise == {}
    found, expected = with_.state_dict(), without.state_dict()
    for key in ("params", "buffers", "average"):
        assert all(found[key][n].equal(t) for n, t in expected[key].items())
    for name, tree in expected["state"].items():
        assert all(found["state"][name][n].equal(t) for n, t in tree.items())
    metrics, losses = with_.evaluate()
    plain, own = without.evaluate()
    assert losses.tobytes() == own.tobytes()
    assert metrics.keys() - plain.keys() == set(NAMES)
    assert all(metrics[name].tobytes() == values.tobytes() for name, values in plain.items())


@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_packed_equals_solo_whatever_the_neighbours(
    make_run: Maker, small_data: DataSet, precision: str, rtol: float, accumulate: int
) -> None:
    train = {"steps": 11, "batch_size": 14, "precision": precision, "accumulate": accumulate}
    dtype = getattr(torch, precision)
    runs = [
        make_run(
            train=train,
            model=Mlp(hidden=(11,), norm="layer"),
            optimizer=Sgd(lr=lr),
            seed=seed,
            probes=_probes(every=3, decay=decay),
        )
        for seed, (lr, decay) in enumerate([(0.1, 0.5), (1e30, 0.9), (0.2, 0.0)])
    ]
    assert len({fusion_key(run) for run in runs}) == 1
    packed = _stack(runs, small_data, dtype)
    packed.advance(11)
    for lane in (0, 2):  # the one between them explodes
        solo = _stack([runs[lane]], small_data, dtype)
        solo.advance(11)
        assert _measured(packed, lane) == pytest.approx(_measured(solo), rel=rtol)
    assert not packed.params["0.weight"][1].isfinite().all()


def test_a_restored_stack_measures_on_bit_for_bit(make_run: Maker, small_data: DataSet) -> None:
    runs = [
        make_run(train={"steps": 13, "batch_size": 14}, seed=s, probes=_probes(every=2))
        for s in (0, 1)
    ]
    whole = _stack(runs, small_data, torch.float32)
    whole.advance(5)
    resumed = _stack(runs, small_data, torch.float32)
    resumed.load_state_dict(whole.state_dict())
    kept = whole.keep([1])
    for stack in (whole, resumed, kept):
        stack.advance(13)
    assert _measured(resumed, 1)[1:] == _measured(whole, 1)[1:]
    assert _measured(kept)[1:] == pytest.approx(_measured(whole, 1)[1:], rel=1e-4)


def test_a_state_from_before_there_was_a_noise_scale(make_run: Maker, small_data: DataSet) -> None:
    run = make_run(train={"steps": 13, "batch_size": 14})
    stack = _stack([run], small_data)
    stack.advance(5)
    state = stack.lane_states([0])
    del state["noise"]
    again = Stack.of_states([run, run], stack.arrays, [state, state])
    again.advance(13)
    stack.advance(13)
    assert again.keep([0]).evaluate()[0]["valid/loss"] == pytest.approx(
        stack.evaluate()[0]["valid/loss"], rel=1e-10
    )


def test_what_lanes_share(make_run: Maker) -> None:
    def key(accumulate: int = 1, **fields: Any) -> str:
        train = {"batch_size": 24, "accumulate": accumulate}
        return fusion_key(make_run(train=train, probes=_probes(**fields)))

    assert key(decay=0.5) == key() == key(parts=2)
    apart = {key(), key(every=7), key(parts=3), fusion_key(make_run(train={"batch_size": 24}))}
    assert len(apart) == 4
    assert key(4) == key(4, parts=4) != key(4, parts=2)
    assert fusion_key(make_run(probes=Probes())) == fusion_key(make_run())


def test_parts_must_divide_the_batch(make_run: Maker, small_data: DataSet) -> None:
    run = make_run(probes=_probes(parts=3))
    with pytest.raises(ValueError, match=r"noise_scale\.parts must divide batch_size 13, got 3"):
        _stack([run], small_data)


def test_before_the_first_measurement_there_is_none(make_run: Maker, small_data: DataSet) -> None:
    stack = _stack([make_run(train={"batch_size": 14}, probes=_probes())], small_data)
    assert all(math.isnan(value) for value in _measured(stack))
    hidden = {"trace": torch.tensor([3.0, 3.0]), "gradient": torch.tensor([-1.0, 2.0])}
    found = noise_scale.reported(hidden | {"weight": torch.tensor([0.5, 0.5])})
    assert found["probe/noise_scale"].tolist() == pytest.approx([math.nan, 1.5], nan_ok=True)
    assert found["probe/noise_scale/gradient"].tolist() == [-2.0, 4.0]


class _NoReads(TorchDispatchMode):
    """Refuses what waits for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        assert func is not torch.ops.aten.is_nonzero.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_nothing_is_read_from_the_device(
    make_run: Maker, small_data: DataSet, accumulate: int
) -> None:
    train = {"steps": 9, "batch_size": 14, "accumulate": accumulate, "precision": "float16"}
    runs = [make_run(train=train, probes=_probes(every=1), seed=s) for s in (0, 1)]
    stack = _stack(runs, small_data, torch.float32)
    stack.advance(1)
    with _NoReads():
        stack.advance(4)
    assert stack.updates == 4


@pytest.mark.parametrize("accumulate", [1, 2])
def test_parts_that_training_has_anyway_cost_no_pass(
    make_run: Maker, small_data: DataSet, accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    apart = noise_scale.squares_apart
    monkeypatch.setattr(
        noise_scale, "squares_apart", lambda *given: calls.append(given[2]) or apart(*given)
    )
    train = {"steps": 9, "batch_size": 14, "accumulate": accumulate}
    stack = _stack([make_run(train=train, probes=_probes(every=4))], small_data)
    stack.advance(9)
    assert calls == ([2, 2, 2] if accumulate == 1 else [])

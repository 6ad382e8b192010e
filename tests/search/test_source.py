"""The runs of a fixed design, given out as they are asked for."""

from __future__ import annotations

from orchestrator.search import DesignSource
from trainables.configs import Digits, Mlp, RunConfig, Train, fusion_key, run_id
from trainables.configs.optimizers import Sgd


def _runs(sizes: tuple[int, ...], seeds: int) -> dict[str, RunConfig]:
    made = [
        RunConfig(
            data=Digits(),
            model=Mlp(hidden=(size,)),
            optimizer=Sgd(lr=0.1),
            train=Train(epochs=3.0),
            seed=seed,
        )
        for size in sizes
        for seed in range(seeds)
    ]
    return {run_id(run): run for run in made}


def test_every_run_is_given_once_in_groups_of_one_key() -> None:
    runs = _runs((3, 5), 7)
    source = DesignSource(runs)
    given: dict[str, RunConfig] = {}
    while taken := source.take(3, None):
        assert 1 <= len(taken) <= 3
        assert len({fusion_key(run) for run in taken.values()}) == 1
        assert not given.keys() & taken.keys()
        given |= taken
    assert given == runs
    assert source.take(3, None) == {}


def test_a_key_is_kept_to_and_the_order_is_that_of_the_ids() -> None:
    runs = _runs((3, 5), 7)
    key = fusion_key(next(iter(runs.values())))
    mine = sorted(name for name, run in runs.items() if fusion_key(run) == key)
    source = DesignSource(dict(reversed(runs.items())))
    assert list(source.take(5, key)) == mine[:5]
    assert list(source.take(5, key)) == mine[5:]
    assert source.take(5, key) == {}
    assert len(source.take(100, None)) == 7


def test_the_group_with_most_work_left_comes_first() -> None:
    few, many = _runs((3,), 2), _runs((5,), 7)
    source = DesignSource(few | many)
    assert source.take(100, None).keys() == many.keys()
    assert source.take(100, None).keys() == few.keys()

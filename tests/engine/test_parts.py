"""A part of a pack's checkpoint is the checkpoint of that part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from trainables.configs import RunConfig
from trainables.configs.optimizers import Adam, Sgd
from trainables.data import DataSet
from trainables.parts import checkpoint_of
from trainables.session import PackSession, Settings


def _plain(value: object) -> object:
    """Tensors as lists, so that nested states can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@pytest.mark.parametrize("strategy", ["fused", "sequential"])
@pytest.mark.parametrize("kept", [[4, 1], [2], [0, 1, 2, 3, 4]])
def test_a_part_goes_on_as_in_the_whole(
    kept: Sequence[int],
    strategy: str,
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
) -> None:
    extra = {"ema": 0.9} if strategy == "fused" else {}
    optimizer = Adam(lr=0.01) if strategy == "fused" else Sgd(lr=0.1, momentum=0.9)
    runs = [
        (f"r{seed}", make_run(train=extra, seed=seed, optimizer=optimizer)) for seed in range(5)
    ]
    # Ends between two evaluations of the others: losses since the last one are in the state.
    runs.append(("short", make_run(train={**extra, "epochs": 0.6}, seed=7, optimizer=optimizer)))
    settings = Settings(strategy=strategy)
    data = data_of(runs[0][1])
    whole = PackSession(runs, data, settings)
    whole.advance()
    saved = whole.state_dict()
    part_runs = [runs[lane] for lane in kept]
    names = [name for name, _ in part_runs]
    cut = checkpoint_of(saved, names)
    part = PackSession.restore(cut, part_runs, data, settings)
    assert {p.run_id: p.lane for p in part.progress.values()} == {
        name: lane for lane, name in enumerate(names)
    }

    if strategy == "fused":  # the oracle: what the stack itself keeps
        lanes = sorted(kept)
        ((_, stack),) = whole._stacks
        ((_, found),) = cut["stacks"]
        assert _plain(found) == _plain(stack.keep(lanes).state_dict())
    while not part.finished:
        whole.advance()
        part.advance()
    for name in names:
        theirs, ours = whole.progress[name], part.progress[name]
        assert ours.status == "completed"
        for metric, value in theirs.final.items():
            assert ours.final[metric] == pytest.approx(value, rel=1e-5, abs=1e-7), metric

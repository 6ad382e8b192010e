"""What a group of lanes will take of the memory: forecast, kept to, and read from the system."""

from __future__ import annotations

import platform
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from trainables import memory
from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig, UserModel
from trainables.configs.models import Lenet5, Model, Resnet20
from trainables.configs.optimizers import Adam
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.data.dataset import split
from trainables.engine import Stack
from trainables.memory import Forecast, Use, forecast
from trainables.ram import free_ram, in_bytes
from trainables.session import PackSession, Settings
from trainables.stack_width import Way, choose_way, time_widths

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
CPU = torch.device("cpu")
MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "mlp": (Mlp(hidden=(67, 31)), (53,)),
    "lenet5": (Lenet5(), (1, 17, 17)),
    "resnet20": (Resnet20(width=0.5), (3, 11, 11)),
}


class Storages(TorchDispatchMode):
    """Counts the bytes of tensors' storages that are alive, as operations make them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._alive: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in self._tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in self._tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._alive:
                self._born(storage)
        return result

    @staticmethod
    def _tensors(tree: Any) -> list[torch.Tensor]:
        return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

    def _born(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            self._alive.pop(key, None)
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def _images(shape: tuple[int, ...]) -> Arrays:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((397, *shape), dtype=np.float32)
    data = split("made up", x, rng.integers(0, 5, 397), Digits(valid=0.2, test=0.4))
    return Arrays.of(data, CPU, torch.float32)


@pytest.mark.parametrize("name", MODELS)
def test_a_forecast_from_small_stacks_is_what_a_wide_one_takes(make_run: Maker, name: str) -> None:
    """Counted another way: every storage that an operation makes, until it is freed."""
    model, shape = MODELS[name]
    arrays = _images(shape)
    runs = [make_run(model=model, optimizer=Adam(), seed=seed) for seed in range(29)]
    found = Forecast(29, 10**12)
    for width in (1, 2, 5):
        found.observe(Stack(runs[:width], arrays))
    stack = Stack(runs, arrays)
    stack.advance(1)
    with Storages() as step:
        stack.advance(2)
    with Storages() as evaluation:
        stack.evaluate()
    assert found.more(29) == pytest.approx(max(step.most, evaluation.most), rel=0.2)
    weights = sum(t.nbytes for t in (*stack.params.values(), *stack.buffers.values()))
    assert found.kept(29) == pytest.approx(memory.kept(stack), rel=0.01)
    assert 3 * weights <= memory.kept(stack) + 10**4 < 4 * weights + 10**5


def test_a_peak_is_of_what_is_alive_at_once() -> None:
    def work() -> torch.Tensor:
        a = torch.zeros(1009, 1013)
        a = a + 1  # two of them
        return a.sum() + torch.zeros(7, 11).sum()

    assert memory.peak(CPU, work) == pytest.approx(2 * 4 * 1009 * 1013, rel=0.01)


_ROUNDS_OF_STEPS = """
import resource, sys, torch
from trainables.memory import keep_freed

if sys.argv[1] == "kept":
    keep_freed()
for step in range(13):
    if step == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(1009, 311) for _ in range(17)]
    del tensors
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
def test_a_step_finds_the_pages_of_the_one_before() -> None:
    """17 tensors of 306 pages, again and again: by default pages are given back each time."""
    pages = {}
    for how in ("kept", "default"):
        command = [sys.executable, "-c", _ROUNDS_OF_STEPS, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        pages[how] = int(done.stdout)
    assert pages["default"] > 11 * 306, "nothing to gain"
    assert pages["kept"] < 306


def _lines(lanes: int, limit: int) -> Forecast:
    """A stack keeps 11 bytes and 13 a lane, and takes 17 and 19 a lane more."""
    found = Forecast(lanes, limit)
    for width in (4, 16):
        found.add(width, Use(11 + 13 * width, 17 + 19 * width))
    found.add(1, Use(24, 5))
    return found


def test_the_widest_stack_is_where_all_are_kept_and_one_trains() -> None:
    lanes = 101
    everything = 11 + 13 * lanes + 17 + 19 * lanes
    assert _lines(lanes, everything).widest() == lanes
    assert _lines(lanes, everything).reason(lanes) == ""
    assert _lines(lanes, everything - 1).widest() < lanes
    limit = 2800
    found = _lines(lanes, limit)
    width = found.widest()
    needed = [-(-lanes // w) * (11 + 13 * w) + 17 + 19 * w for w in (width, width + 1)]
    assert needed[0] <= limit < needed[1]
    assert found.at_once(width) is None
    held = (-(-lanes // width) - 1) * (11 + 13 * width)
    lane = (28 + 32 * width) / width
    assert (
        found.reason(width) == f"memory: {width} lanes of {lane:.0f} B in {in_bytes(limit - held)}"
    )


def test_stacks_wait_where_not_all_can_be_kept() -> None:
    found = _lines(101, 1000)
    width = found.widest()
    assert 28 + 32 * width <= 1000 < 28 + 32 * (width + 1)
    assert found.at_once(width) == 1
    assert found.reason(width).endswith(", 1 stack at a time")
    assert found.at_once(4) == (1000 - 93) // 63
    assert _lines(101, 10).widest() == 1
    assert _lines(101, 10).at_once(1) == 1


def test_one_lane_says_little_of_a_stack() -> None:
    found = Forecast(97, 1000)
    found.add(1, Use(10, 5))
    assert found.more(1) == 5
    assert found.more(7) == 70
    found.add(4, Use(40, 36))
    assert found.more(7) == 63


@pytest.fixture
def six(make_run: Maker) -> list[RunConfig]:
    return [make_run(train={"steps": 400}, seed=seed) for seed in range(6)]


def _limits(runs: list[RunConfig], arrays: Arrays) -> tuple[int, int]:
    """What narrows the stacks of six lanes, and what makes them wait."""
    known = Forecast(6, 10**12)
    for width in (1, 3, 6):
        known.observe(Stack(runs[:width], arrays))
    narrow = int(2 * known.kept(3) + known.more(4))
    return narrow, int(known.kept(2) + known.more(2)) + 500


@pytest.mark.parametrize("strategy", ["auto", "fused", "sequential"])
def test_a_small_memory_makes_stacks_narrower_or_wait(
    six: list[RunConfig], small_data: DataSet, strategy: Any
) -> None:
    arrays = Arrays.of(small_data, CPU, torch.float32)
    narrow, waiting = _limits(six, arrays)
    assert choose_way(six, arrays, "fused", None, 10**9).width == 6
    found = choose_way(six, arrays, strategy, None, narrow)
    assert found.width <= 3
    assert strategy != "fused" or found.width == 3
    assert strategy == "sequential" or "; memory: " in found.reason
    tiny = choose_way(six, arrays, strategy, None, waiting)
    assert tiny.width <= 2
    assert tiny.at_once is not None
    assert tiny.reason.endswith(" at a time")
    kept = choose_way(six, arrays, strategy, Way(3), waiting)
    assert (kept.width, kept.at_once) == (3, 1)
    assert kept.reason.startswith("as recorded; memory: 3 lanes of ")


def test_runs_that_wait_end_as_they_would_without(
    six: list[RunConfig], small_data: DataSet, data_of: Data
) -> None:
    """Stacks of the same width, one at a time or in turn: the same bits, also after a restore."""
    arrays = Arrays.of(small_data, CPU, torch.float32)
    limit = _limits(six, arrays)[1] + memory.size(arrays)
    pack, data = [(run_id(run), run) for run in six], data_of(six[0])
    settings = Settings(strategy="fused", memory=limit)
    session = PackSession(pack, data, settings)
    (choice,) = session.choices
    assert choice.at_once is not None
    at_once = choice.at_once * choice.width
    assert 0 < at_once < 6
    begun: list[int] = []
    for _ in range(1000):
        if session.finished:
            break
        going = [r for r, p in session.progress.items() if p.status == "running" and p.steps]
        assert len(going) <= at_once
        saved = session.state_dict()
        assert len(saved["stacks"]) <= choice.at_once
        session = PackSession.restore(saved, pack, data, settings)
        session.advance()
        begun.append(sum(p.steps > 0 for p in session.progress.values()))
    assert begun[0] == at_once
    assert begun[-1] == 6
    other = PackSession(pack, data, Settings(strategy="fused", ways=(Way(choice.width),)))
    assert other.choices[0].at_once is None
    while not other.finished:
        other.advance()
    for name, progress in other.progress.items():
        assert session.progress[name].status == "completed"
        assert session.progress[name].final == progress.final


def test_a_module_that_raises_is_no_reason_to_narrow(make_run: Maker, small_data: DataSet) -> None:
    arrays = Arrays.of(small_data, CPU, torch.float32)
    runs = [make_run(model=UserModel(name="tests.engine.models:fragile"), seed=s) for s in (0, 1)]
    assert choose_way(runs, arrays, "fused", None, 5000).width in (1, 2)
    raising = [
        make_run(model=UserModel(name="tests.engine.models:raising"), seed=s) for s in (0, 1)
    ]
    assert forecast(raising, arrays, 10**9) is None
    assert choose_way(raising, arrays, "fused", None, 10**9).width == 2


def test_widths_beyond_the_forecast_are_not_tried() -> None:
    asked: list[int] = []

    def seconds(width: int) -> float:
        asked.append(width)
        return 1 / width

    time_widths(97, seconds, lane_steps=10**6, most=lambda: 23)
    assert asked == [1, 1, 4, 16, 23]


def test_bytes_as_text() -> None:
    texts = [in_bytes(amount) for amount in (7, 61 * 2**20, 2.1 * 2**30, 999 * 2**10, 140 * 2**30)]
    assert texts == ["7.0 B", "61 MiB", "2.1 GiB", "999 KiB", "140 GiB"]


def _system(root: Path, groups: str, files: dict[str, str]) -> int:
    files = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    7000 kB\n"} | files
    for name, text in (files | {"proc/self/cgroup": groups}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return free_ram(root)


def test_the_memory_of_control_groups(tmp_path: Path) -> None:
    """The tightest counts, of either version; a file cache can be dropped."""
    assert _system(tmp_path / "none", "0::/\n", {}) == 7000 * 1024
    own, above = "sys/fs/cgroup/a/b/memory", "sys/fs/cgroup/a/memory"
    second = {f"{own}.max": "max\n", f"{own}.current": "5\n", f"{own}.stat": "inactive_file 1\n"}
    second |= {f"{above}.max": "5000\n", f"{above}.current": "3000\n"}
    second |= {f"{above}.stat": "anon 2\ninactive_file 700\n"}
    assert _system(tmp_path / "second", "0::/a/b\n", second) == 2700
    group = "sys/fs/cgroup/memory/c/memory"
    first = {f"{group}.limit_in_bytes": "6000", f"{group}.usage_in_bytes": "8000"}
    first |= {f"{group}.stat": "inactive_file 9\ntotal_inactive_file 11\n"}
    assert _system(tmp_path / "first", "5:cpu:/c\n4:memory:/c\n0::/\n", first) == 0
    (tmp_path / "first" / f"{group}.usage_in_bytes").write_text("1000")
    assert free_ram(tmp_path / "first") == 5011


def test_another_system_says_what_it_has(tmp_path: Path) -> None:
    assert free_ram(tmp_path) > 2**27
    assert 2**20 < memory.free(CPU) <= free_ram(tmp_path)

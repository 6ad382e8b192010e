"""How much memory a group of lanes will take, forecast from small stacks of it.

A stack of w lanes keeps a₁ + b₁ w bytes between steps, and takes a₂ + b₂ w more at the fullest
moment of a step or an evaluation. All stacks of a pack keep theirs, and one at a time trains.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables import precision
from trainables.arrays import Arrays
from trainables.batches import Batches
from trainables.configs.run import RunConfig
from trainables.engine import Stack
from trainables.evaluation import batch_size, mean_metrics
from trainables.forward import Network
from trainables.losses import LOSSES
from trainables.ram import free_ram, in_bytes

_ROTATING = 0.5
"""Stacks take turns where what all of them keep takes no more than this share of the limit."""
_STACKED = 2.0
"""A lane of a stack takes at most so many times what one alone does, until it is measured."""
_WIDTHS = (4, 16)
"""Looked at after one lane, where one lane says that all may not fit."""
_LARGEST_KEPT = 2**25 - 2**14
"""Bytes, with a page to spare for what malloc adds."""
_FEW = 32
"""Examples of a first look at an evaluation."""


class Use(NamedTuple):
    """Bytes of one stack."""

    kept: int
    """Between steps: weights, state of the optimizer, tables."""
    more: int
    """On top of it, at the fullest moment of a step or an evaluation."""


class Forecast:
    """What a group of lanes takes by the width of its stacks, and what may be taken."""

    def __init__(self, lanes: int, limit: int) -> None:
        """
        Args:
            limit: bytes that all of the group may take.
        """
        self.lanes = lanes
        self.limit = limit
        self._seen: dict[int, Use] = {}

    def observe(self, stack: Stack) -> None:
        """Measures one step of ``stack``, which thereby trains it, and an evaluation."""
        more = max(_step(stack), _evaluation(stack))
        self.add(stack.lanes, Use(kept(stack), more))  # a step makes some of what is kept

    def add(self, width: int, use: Use) -> None:
        self._seen[width] = use

    def kept(self, width: int) -> float:
        """Bytes that a stack of ``width`` lanes keeps."""
        return _line({w: use.kept for w, use in self._seen.items()}, width)

    def more(self, width: int) -> float:
        """Bytes that it takes more while it trains.

        One lane alone goes another way through PyTorch than a stack, and says little of it.
        """
        stacked = {w: use.more for w, use in self._seen.items() if w > 1}
        if width == 1 and 1 in self._seen:
            return self._seen[1].more
        return _line(stacked, width) if stacked else _STACKED * self._seen[1].more * width

    def fits(self, width: int) -> bool:
        """Whether stacks of ``width`` lanes can be trained, all in rotation or one by one."""
        stacks = -(-self.lanes // width) if self._rotates else 1
        return stacks * self.kept(width) + self.more(width) <= self.limit

    @property
    def _rotates(self) -> bool:
        widest = max(self._seen)
        return self.lanes / widest * self.kept(widest) <= _ROTATING * self.limit

    def widest(self) -> int:
        """The most lanes of a stack; 1 even where that does not fit."""
        return next((w for w in range(self.lanes, 1, -1) if self.fits(w)), 1)

    def at_once(self, width: int) -> int | None:
        """Stacks of ``width`` lanes that can keep what they keep at once; None: all."""
        stacks = -(-self.lanes // width)
        room = int((self.limit - self.more(width)) // self.kept(width))
        return None if room >= stacks else max(1, room)

    def reason(self, width: int) -> str:
        """Why stacks are ``width`` lanes wide, or wait for others; empty where all fit."""
        if self.lanes == 1 or (self.widest() >= self.lanes and self.at_once(width) is None):
            return ""
        lane = (self.kept(width) + self.more(width)) / width
        one, others = self.at_once(width), ""
        if one is None:
            held = (-(-self.lanes // width) - 1) * self.kept(width)
        else:
            held = (one - 1) * self.kept(width)
            others = f", {one} stack{'s' if one > 1 else ''} at a time"
        lanes = "1 lane" if width == 1 else f"{width} lanes"
        return f"memory: {lanes} of {in_bytes(lane)} in {in_bytes(self.limit - held)}{others}"


def forecast(
    runs: Sequence[RunConfig], arrays: Arrays, limit: int, *, unfold: bool = False
) -> Forecast | None:
    """Looks at a lane, and at small stacks where that leaves open whether all lanes fit.

    Returns:
        None where one lane raises, which is for its training to deal with.
    """
    found = Forecast(len(runs), limit)
    width = 1
    try:
        found.observe(Stack(runs[:1], arrays, unfold=unfold))
        for wider in _WIDTHS:
            widest = found.widest()
            if widest in (width, len(runs)):
                break
            width = min(wider, widest)
            found.observe(Stack(runs[:width], arrays, unfold=unfold))
    except Exception:  # a user's module may raise anything, and memory may end
        return found if width > 1 else None
    return found


def free(device: torch.device) -> int:
    """Bytes that this process could still take; what PyTorch keeps of freed tensors is free."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reusable
    return free_ram()


def keep_freed() -> None:
    """Lets this process keep the memory of freed tensors on a CPU, where malloc is glibc's.

    glibc gives large blocks back to the system as they are freed, and every step then asks for
    its pages again: 0.4 of the 7 ms of LeNet-5. What is large follows the largest block that was
    freed, up to 32 MiB, and twice as much may lie unused (mallopt(3), M_MMAP_THRESHOLD). So one
    such block is freed here, which is never touched and takes no memory.
    """
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8)


def _line(seen: Mapping[int, int], width: int) -> float:
    """a + b·width through the two widest; in proportion where there is one.

    It never falls, and never lies below what was seen of a narrower stack.
    """
    (far, at_far), *rest = sorted(seen.items(), reverse=True)
    if not rest:
        return at_far / far * width
    near, at_near = rest[0]
    slope = max(0.0, (at_far - at_near) / (far - near))
    return max(0.0, at_far + slope * (width - far))


def kept(stack: Stack) -> int:
    """Bytes of all tensors of a stack, the data set not included."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in _tensors(stack)
    }
    return sum(storages.values())


def size(arrays: Arrays) -> int:
    """Bytes of a data set."""
    return sum(t.nbytes for pair in (arrays.train, arrays.valid, arrays.test) for t in pair)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from itertools.chain(value.parameters(), value.buffers())
    elif isinstance(value, Network):
        yield from _tensors(value.module)
    elif isinstance(value, Stack | Batches):
        yield from _tensors(vars(value))
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)


def _step(stack: Stack) -> int:
    """Where batches grow, in proportion to the largest."""
    ends = stack.ends
    largest = 1
    if not isinstance(ends, range):
        largest = max(end - start for start, end in itertools.pairwise(ends))
    device = stack.arrays.train[0].device
    return largest * peak(device, lambda: stack.advance(ends[stack.updates + 1]))


def _evaluation(stack: Stack) -> int:
    """Of the largest batch, from two small ones; and the weights once more, as some optimizers
    measure others than those that train."""
    split = max((stack.arrays.valid, stack.arrays.test), key=lambda pair: len(pair[0]))
    full = min(batch_size(split[1]), len(split[0]))
    weights = sum(tensor.nbytes for tensor in stack.params.values())
    if full <= 2 * _FEW:
        return weights + _evaluating(stack, split, full)
    few, more = (_evaluating(stack, split, count) for count in (_FEW, 2 * _FEW))
    return weights + more + max(0, more - few) * (full - 2 * _FEW) // _FEW


def _evaluating(stack: Stack, split: tuple[Tensor, Tensor], count: int) -> int:
    train = stack.runs[0].train
    part = (split[0][:count], split[1][:count])
    with torch.no_grad(), precision.products(train.precision):
        return peak(
            split[0].device,
            lambda: mean_metrics(
                stack.network, stack.params, stack.buffers, part, LOSSES[train.loss]
            ),
        )


def peak(device: torch.device, work: Callable[[], object]) -> int:
    """The most bytes of tensors and workspaces at a time during ``work``, above those before.

    On a CPU from PyTorch's profiler: it sees every allocation, and costs a few per cent of a
    step. Results are freed within ``work`` or counted.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    # ``profile.events()`` leaves out what is allocated within an operation.
    events: Any = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    most: int = max(itertools.accumulate((change for _, change in changes), initial=0))
    return most

"""When a loop of which no lane wants more is over, heard of without stalling the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

_LAG = {"cpu": 0}
_LAG_ELSEWHERE = 2
"""How many rounds later it is asked whether the loop is over, by type of device."""


class Over:
    """Asked once a round. On a GPU it answers two rounds late, which may change nothing."""

    def __init__(self, device: torch.device) -> None:
        self._lag = _LAG.get(device.type, _LAG_ELSEWHERE)
        self._asked: deque[Callable[[], bool]] = deque()

    def says(self, flag: Tensor) -> bool:
        """Whether the loop is over; ``flag`` () is whether all lanes are done."""
        self._asked.append(_reader(flag))
        return len(self._asked) > self._lag and self._asked.popleft()()


def _reader(flag: Tensor) -> Callable[[], bool]:
    """Reads a flag later on without stalling the device.

    The flag's copy is queued behind the work that makes it. Who reads it when more trials are
    queued behind it waits no longer than the device takes to get there, and leaves it work.
    While a CUDA graph is captured nothing can be read: the flag counts as not set.
    """
    if not flag.is_cuda:
        return lambda: bool(flag)
    if torch.cuda.is_current_stream_capturing():
        return lambda: False
    copy = flag.to("cpu", non_blocking=True)  # into pinned memory
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def read() -> bool:
        arrived.synchronize()
        return bool(copy)

    return read

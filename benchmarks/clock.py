"""How long work takes on a device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], None], device: str) -> float:
    """On a CPU, of one thread: whatever else the machine does is no part of it."""
    cuda = device != "cpu"
    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize()
    started = clock()
    work()
    if cuda:
        torch.cuda.synchronize()
    return clock() - started

"""A user's model that kills its worker, for one of the runs (the one of seed CULPRIT)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from torch import nn

from trainables.lanes import derive

CULPRIT = 5
MARK = Path(__file__).with_name("mark")
HARMLESS = Path(__file__).with_name("harmless")
"""While it is there nothing kills: the study that all others are compared with."""


def _deadly():
    """Whether the model being built is the culprit's, in a worker: the driver tries it, too."""
    from ray._private.worker import WORKER_MODE, global_worker

    mine = torch.initial_seed() == derive(CULPRIT, "init")
    return mine and global_worker.mode == WORKER_MODE and not HARMLESS.exists()


def harmless(input_shape, outputs):
    return nn.Sequential(nn.Linear(input_shape[0], 11), nn.Tanh(), nn.Linear(11, outputs))


def at_once(input_shape, outputs):
    if _deadly():
        os._exit(1)
    return harmless(input_shape, outputs)


class _Later(nn.Sequential):
    """Trains for a while and leaves a mark; from then on the first step kills."""

    deadly = False
    calls = 0

    def forward(self, x):
        if self.deadly and self.training:
            self.calls += 1
            if self.calls > 100 or MARK.exists():
                MARK.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def later(input_shape, outputs):
    module = _Later(*harmless(input_shape, outputs))
    module.deadly = _deadly()
    return module

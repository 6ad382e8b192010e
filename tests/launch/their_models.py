"""What users' modules can do wrong; each study of test_wrong_input.py finds this beside it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(67, 3)), np.arange(67) % 5


def reals():
    return data()[0], data()[0]


def broken_data():
    raise ValueError("two\nlines")


def one_array():
    return np.zeros((3, 2))


def good(input_shape, outputs):
    return nn.Linear(input_shape[0], outputs)


def raises(input_shape, outputs):
    raise KeyError("no such width")


def no_module():
    return 3


def no_parameters():
    return nn.Flatten()


def misfit(input_shape, outputs):
    return nn.Linear(input_shape[0] + 1, outputs)


def too_many(input_shape, outputs):
    return nn.Linear(input_shape[0], outputs + 2)


def too_few(input_shape, outputs):
    return nn.Linear(input_shape[0], 1)


def single(input_shape, outputs):
    return nn.Sequential(nn.Linear(input_shape[0], outputs), nn.BatchNorm1d(outputs))


class Vector(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(outputs))

    def forward(self, x):
        return x.sum(1, keepdim=True) * self.scale


def vector(input_shape, outputs):
    return Vector(outputs)


class Shy(nn.Linear):
    def forward(self, x):
        if self.training:
            raise RuntimeError("not while\ntraining")
        return super().forward(x)


def shy(input_shape, outputs):
    return Shy(input_shape[0], outputs)


class Twice(nn.Linear):
    def forward(self, x):
        return super().forward(x).double() @ self.weight


def twice(input_shape, outputs):
    return Twice(input_shape[0], outputs)


def embeds(input_shape, outputs):
    return nn.Sequential(nn.Embedding(outputs, 3), nn.Linear(3, outputs))


def last_only(input_shape, outputs):
    return nn.Sequential(nn.Embedding(outputs, 3), nn.Flatten(), nn.Linear(15, outputs))

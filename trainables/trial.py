"""One step of a user's model on a few examples, before anything is started for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from trainables.arrays import Arrays
from trainables.configs.run import RunConfig, Train
from trainables.configs.schedules import Constant
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.forward import outputs
from trainables.precision import STORED
from trainables.probes.spectrum import spectra
from trainables.user_code import UserCodeError, in_a_line

_LITTLE: dict[str, Any] = {"top": 1, "lanczos": 2, "vectors": 2, "examples": 16, "density": False}
"""A spectrum that only shows whether one can be measured."""
_EXAMPLES = 16
"""At most: a model may look across examples, so it sees more than one where training does."""


def problem(config: RunConfig, data: DataSet) -> str | None:
    """What goes wrong when the model is built, evaluates a few examples and trains on them
    (under the run's precision, loss and optimizer), or when its spectrum is measured, where that
    is asked for; in one line, None where nothing does.

    On the CPU, and where it fails there, on a GPU if there is one.
    """
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    found = None
    for device in devices:
        found = _problem_on(torch.device(device), config, data)
        if found is None:
            return None
    return found


def _problem_on(device: torch.device, config: RunConfig, data: DataSet) -> str | None:
    examples = min(config.train.batch_size // config.train.accumulate, _EXAMPLES)
    asked = config.train
    train = Train(steps=1, batch_size=examples, loss=asked.loss, precision=asked.precision)
    run = dataclasses.replace(config, train=train, schedule=Constant())
    arrays = Arrays.of(_few(data, examples), device, STORED[train.precision])
    name = config.model.name
    try:
        stack = Stack([run], arrays)
        x = arrays.valid[0]
        with torch.no_grad():
            found = tuple(outputs(stack.network, stack.params, stack.buffers, x).shape[1:])
        places = x.shape[1:] if data.tokens else ()
        expected = (len(x), *places, 1 if train.loss == "logistic" else data.outputs)
        if found != expected:
            return f"{name}: gives outputs {found} for {len(x)} examples, expected {expected}"
        stack.advance(1)
        if run.probes is not None and run.probes.spectrum is not None:
            spectra(stack, dataclasses.replace(run.probes.spectrum, **_LITTLE))
    except UserCodeError as error:
        return str(error)
    except Exception as error:  # a user's model may raise anything
        return f"{name}: {in_a_line(error)}"
    return None


def _few(data: DataSet, examples: int) -> DataSet:
    """The first examples of each split."""
    parts = {
        f"{part}_{letter}": getattr(data, f"{part}_{letter}")[:examples]
        for part in ("train", "valid", "test")
        for letter in "xy"
    }
    return dataclasses.replace(data, **parts)

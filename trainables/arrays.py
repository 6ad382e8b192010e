"""A data set as tensors on the device that trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.data.dataset import DataSet


@dataclass(frozen=True, slots=True)
class Arrays:
    """A data set as tensors on the device that trains."""

    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    dtype: torch.dtype
    """Of weights, and of inputs and targets that are real; tokens and classes are int64."""
    input_shape: tuple[int, ...]
    outputs: int
    variances: Mapping[str, float] | None
    """Mean ‖y − ȳ‖² of each split, where targets are real."""

    @classmethod
    def of(cls, data: DataSet, device: torch.device, dtype: torch.dtype) -> Self:
        def pair(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
            return (
                torch.tensor(x, device=device, dtype=torch.int64 if data.tokens else dtype),
                torch.tensor(y, device=device, dtype=dtype if data.regression else None),
            )

        return cls(
            train=pair(data.train_x, data.train_y),
            valid=pair(data.valid_x, data.valid_y),
            test=pair(data.test_x, data.test_y),
            dtype=dtype,
            input_shape=data.input_shape,
            outputs=data.outputs,
            variances=_variances(data) if data.regression else None,
        )

    @property
    def examples(self) -> int:
        return len(self.train[0])


def _variances(data: DataSet) -> dict[str, float]:
    targets = {"train": data.train_y, "valid": data.valid_y, "test": data.test_y}
    return {part: float(y.var(0, dtype=np.float64).sum()) for part, y in targets.items()}

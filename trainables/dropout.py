"""Dropout that belongs to a lane: its masks derive from the run's seed and the step alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from trainables.lanes import uniform


def has_dropout(module: nn.Module) -> bool:
    return any(isinstance(layer, _DropoutNd) for layer in module.modules())


class LaneDropout(TorchFunctionMode):
    """While active, ``F.dropout`` and its channel-wise kin draw their masks from ``key``.

    The i-th dropout of a forward pass uses the i-th stream of the key: inverted dropout,
    x·1[u ≥ p]/(1−p) with u uniform, one u an element (or a channel for ``dropout1d … 3d``).
    """

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self._key = key
        self._calls = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is F.dropout:
            return self._drop(*args, **options, channels=False)
        if func in (F.dropout1d, F.dropout2d, F.dropout3d):
            return self._drop(*args, **options, channels=True)
        return func(*args, **options)

    def _drop(
        self,
        x: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        *,
        channels: bool,
    ) -> Tensor:
        if not training or p == 0:
            return x
        shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if channels else x.shape
        keep = uniform(self._key, self._calls, shape) >= p
        self._calls += 1
        return x * keep.to(x.dtype) / (1 - p) if p < 1 else x * 0

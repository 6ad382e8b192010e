"""A data set in memory: NumPy arrays, checked, split and standardized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.configs.data import Split

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class DataError(Exception):
    """Data that cannot be trained on; one line says what and where."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Examples x (n, *shape) and labels y (n,) of the three splits.

    NumPy, so that Ray's object store shares one copy among all workers of a node.
    """

    train_x: FloatArray
    train_y: IntArray
    valid_x: FloatArray
    valid_y: IntArray
    test_x: FloatArray
    test_y: IntArray
    outputs: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.train_x.shape[1:]


def split(name: str, x: npt.ArrayLike, y: npt.ArrayLike, config: Split) -> DataSet:
    """Divides examples at random (by ``config.split_seed``) and standardizes them.

    Inputs are shifted and scaled by the mean and standard deviation of the training
    split's pixels, all together, as is usual for images.

    Raises:
        DataError: wrong shapes, NaN or infinite inputs, labels that are not 0 … C−1, or a
            split left without examples.
    """
    features, labels = _checked(name, x, y)
    order = np.random.default_rng(config.split_seed).permutation(len(features))
    n_valid, n_test = (round(share * len(features)) for share in (config.valid, config.test))
    test, valid, train = np.split(order, [n_test, n_test + n_valid])
    if not (len(train) and len(valid) and len(test)):
        raise DataError(
            f"{name}: {len(features)} examples with valid {config.valid} and test {config.test}"
            " leave a split empty; every split needs at least one example"
        )
    scale = features[train].std() or np.float32(1)
    features = (features - features[train].mean()) / scale
    return DataSet(
        train_x=features[train],
        train_y=labels[train],
        valid_x=features[valid],
        valid_y=labels[valid],
        test_x=features[test],
        test_y=labels[test],
        outputs=int(labels.max()) + 1,
    )


def _checked(name: str, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    try:
        features = np.asarray(x, dtype=np.float32)
        labels: npt.NDArray[Any] = np.asarray(y)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: x must be an array of numbers ({error})") from error
    if features.ndim < 2 or labels.ndim != 1 or len(features) != len(labels):
        raise DataError(
            f"{name}: expected x (n, …) and y (n,), got {features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        raise DataError(f"{name}: x has NaN or infinite values")
    if labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
        raise DataError(f"{name}: y must be integers from 0 to classes − 1, got {labels.dtype}")
    return features, labels.astype(np.int64)

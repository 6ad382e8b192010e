"""A data set in memory: NumPy arrays, checked, split and standardized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.configs.data import Digits, ImageFiles, Split, held_out

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
InputArray = FloatArray | IntArray
TargetArray = IntArray | FloatArray
_MOST_CLASSES = 1_000_000
"""A larger label is no class but some other number, and no output layer would fit it."""
Pair = tuple[Any, Any]
"""Inputs and targets as they were found, unchecked."""


class DataError(Exception):
    """Data that cannot be trained on; one line says what and where."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Examples x (n, *shape) of the three splits, and y: classes (n,) or real targets (n, C).

    Or sequences of tokens x (n, T), whole numbers below ``outputs``, with a class y (n, T) at
    each of their places. NumPy, so that Ray's object store shares one copy among all workers
    of a node.
    """

    train_x: InputArray
    train_y: TargetArray
    valid_x: InputArray
    valid_y: TargetArray
    test_x: InputArray
    test_y: TargetArray
    outputs: int
    """Classes, targets an example, or tokens of the vocabulary."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.train_x.shape[1:]

    @property
    def tokens(self) -> bool:
        """Whether inputs are tokens, and not numbers that are to be scaled."""
        return self.train_x.dtype.kind == "i"

    @property
    def regression(self) -> bool:
        """Whether targets are real numbers."""
        return self.train_y.dtype.kind == "f"


def split(
    name: str, x: npt.ArrayLike, y: npt.ArrayLike, config: Split, classes: int | None = None
) -> DataSet:
    """``divide`` for examples that come as one pair."""
    return divide(name, {"train": (x, y)}, config, classes)


def divide(
    name: str, pairs: Mapping[str, Pair], config: Split | ImageFiles, classes: int | None = None
) -> DataSet:
    """Holds out of ``train`` at random (by ``config.split_seed``) what has no pair of its own.

    Inputs are shifted and scaled by the mean and standard deviation of the training
    split's pixels, all together, as is usual for images. Where targets are the inputs, both are
    the pixels in [0, 1], the targets flattened.

    Args:
        pairs: (x, y) under ``train`` and perhaps ``valid`` and ``test``.
        classes: how many there are, where labels cannot tell.

    Raises:
        DataError: wrong shapes, NaN or infinite numbers, labels that are not 0 … C−1, or a
            split left without examples.
    """
    found = {part: _checked(_title(name, part, pairs), *pair) for part, pair in pairs.items()}
    x, y = found.pop("train")
    parts = {p: getattr(config, p) for p in ("test", "valid") if p not in found}
    counts = [held_out(part, len(x)) for part in parts.values()]
    order = np.random.default_rng(config.split_seed).permutation(len(x))
    *held, train = np.split(order, np.cumsum(counts))
    splits = found | {part: (x[i], y[i]) for part, i in zip(parts, held, strict=True)}
    splits["train"] = x[train], y[train]
    if not all(len(labels) for _, labels in splits.values()):
        written = " and ".join(
            f"{part} {getattr(config, part)}" for part in ("valid", "test") if part in parts
        )
        raise DataError(
            f"{name}: {len(x)} examples with {written} leave a split empty;"
            " every split needs at least one example"
        )
    _check_agreement(name, splits, classes)
    if isinstance(config, Digits | ImageFiles) and config.targets == "inputs":
        return _reconstructed(splits, config.brightest)
    return _standardized(splits, _outputs(splits, classes))


def unchanged(splits: Mapping[str, tuple[InputArray, TargetArray]], outputs: int) -> DataSet:
    """A data set of these very numbers."""
    train, valid, test = (splits[part] for part in ("train", "valid", "test"))
    return DataSet(
        train_x=train[0],
        train_y=train[1],
        valid_x=valid[0],
        valid_y=valid[1],
        test_x=test[0],
        test_y=test[1],
        outputs=outputs,
    )


def _reconstructed(splits: Mapping[str, tuple[Any, TargetArray]], brightest: int) -> DataSet:
    """Images x / brightest, and the same as targets (n, pixels)."""
    images = {part: x.astype(np.float32) / np.float32(brightest) for part, (x, _) in splits.items()}
    pairs = {part: (x, x.reshape(len(x), -1)) for part, x in images.items()}
    return unchanged(pairs, pairs["train"][1].shape[1])


def _standardized(splits: Mapping[str, tuple[Any, TargetArray]], outputs: int) -> DataSet:
    single = {part: x.astype(np.float32, copy=False) for part, (x, _) in splits.items()}
    mean, scale = single["train"].mean(), single["train"].std() or np.float32(1)
    scaled = {part: ((single[part] - mean) / scale, y) for part, (_, y) in splits.items()}
    return unchanged(scaled, outputs)


def _title(name: str, part: str, pairs: Mapping[str, Pair]) -> str:
    return name if len(pairs) == 1 else f"{name} ({part})"


def _outputs(splits: Mapping[str, tuple[Any, TargetArray]], classes: int | None) -> int:
    y = splits["train"][1]
    if y.ndim == 2:
        return int(y.shape[1])
    return classes or 1 + max(int(labels.max()) for _, labels in splits.values())


def _check_agreement(
    name: str, splits: Mapping[str, tuple[Any, TargetArray]], classes: int | None
) -> None:
    """The splits have the shapes of the training split, and no class beyond ``classes``."""
    x, y = splits["train"]
    for part, (features, labels) in splits.items():
        if features.shape[1:] != x.shape[1:] or (labels.dtype, labels.shape[1:]) != (
            y.dtype,
            y.shape[1:],
        ):
            raise DataError(
                f"{name}: {part} has examples {features.shape[1:]} and targets {labels.dtype}"
                f" {labels.shape[1:]}, train {x.shape[1:]} and {y.dtype} {y.shape[1:]}"
            )
        if classes is not None and labels.max() >= classes:
            raise DataError(
                f"{name}: {part} has the label {labels.max()}; labels go from 0 to {classes - 1}"
            )


def _checked(name: str, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Any, TargetArray]:
    """Inputs (bytes stay bytes until they are standardized) and targets."""
    try:
        features: npt.NDArray[Any] = np.asarray(x)
        if features.dtype != np.uint8:
            with np.errstate(over="ignore"):  # what is too large is found below
                features = features.astype(np.float32)
        labels: npt.NDArray[Any] = np.asarray(y)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: x must be an array of numbers ({error})") from error
    if features.ndim < 2 or labels.ndim not in (1, 2) or len(features) != len(labels):
        raise DataError(
            f"{name}: expected x (n, …) and y (n,), got {features.shape} and {labels.shape}"
        )
    if not len(labels):
        raise DataError(f"{name}: has no examples; every split needs at least one")
    if features.dtype != np.uint8 and not np.isfinite(features).all():
        raise DataError(f"{name}: x has NaN or infinite values (in float32)")
    if not features.size:
        raise DataError(f"{name}: x has the shape {features.shape}: there is nothing in an example")
    if labels.dtype.kind == "f":
        return features, _checked_targets(name, labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0:
        found = f"{labels.dtype} {labels.shape}"
        found += f" from {labels.min()}" if labels.dtype.kind == "i" and labels.size else ""
        raise DataError(
            f"{name}: y must be integers from 0 to classes − 1, or real targets, got {found}"
        )
    if labels.max() >= _MOST_CLASSES:
        raise DataError(
            f"{name}: y has the label {labels.max()}; labels are integers from 0 to classes − 1,"
            f" of at most {_MOST_CLASSES:,} classes"
        )
    return features, labels.astype(np.int64)


def _checked_targets(name: str, targets: npt.NDArray[Any]) -> FloatArray:
    with np.errstate(over="ignore"):
        single = targets.astype(np.float32)
    if not np.isfinite(single).all():
        raise DataError(f"{name}: y has NaN or infinite values (in float32)")
    if targets.ndim == 2 and not targets.shape[1]:
        raise DataError(f"{name}: y has the shape {targets.shape}: an example has no target")
    return single.reshape(len(targets), -1)

"""Problems drawn from a seed, so that everything about them is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from trainables.configs.data import (
    GaussianMixture,
    LeastSquares,
    MatrixFactorization,
    TeacherStudent,
)
from trainables.data.dataset import DataSet, FloatArray, split, unchanged


def gaussian_mixture(config: GaussianMixture) -> DataSet:
    """x ~ N(separation · u_y, I), y uniform over the classes."""
    rng = np.random.default_rng(config.seed)
    directions = rng.normal(size=(config.classes, config.features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    y = rng.integers(0, config.classes, config.examples)
    x = config.separation * directions[y] + rng.normal(size=(config.examples, config.features))
    return split(config.name, x, y, config, config.classes)


def teacher_student(config: TeacherStudent) -> DataSet:
    """x ~ N(0, I), y = argmax of a relu network with weights N(0, 2/fan_in) and no biases."""
    rng = np.random.default_rng(config.seed)
    x = rng.normal(size=(config.examples, config.features))
    hidden = x
    for inputs, outputs in pairwise((config.features, *config.hidden)):
        hidden = np.maximum(hidden @ rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs)), 0)
    logits = hidden @ rng.normal(size=(hidden.shape[1], config.classes))
    return split(config.name, x, logits.argmax(1), config, config.classes)


def least_squares(config: LeastSquares) -> DataSet:
    """y = X w + noise with w ~ N(0, I), and XᵀX/n = V diag(λ) Vᵀ exactly on the training set.

    X = √n U diag(√λ) Vᵀ with orthonormal columns U, V; λ from 1 to 1/condition. Validation and
    test inputs are N(0, V diag(λ) Vᵀ).
    """
    rng = np.random.default_rng(config.seed)
    n, d = config.examples, config.features
    roots = config.condition ** (-0.5 * np.linspace(0, 1, d))
    basis = np.linalg.qr(rng.normal(size=(d, d))).Q
    weights = rng.normal(size=(d, 1))
    inputs = {
        "train": n**0.5 * np.linalg.qr(rng.normal(size=(n, d))).Q,
        "valid": rng.normal(size=(n, d)),
        "test": rng.normal(size=(n, d)),
    }
    splits = {}
    for part, whitened in inputs.items():
        x = whitened * roots @ basis.T
        y = x @ weights + config.noise * rng.normal(size=(n, 1))
        splits[part] = _single(x), _single(y)
    return unchanged(splits, outputs=1)


def matrix_factorization(config: MatrixFactorization) -> DataSet:
    """Inputs e_i, targets the i-th row of A B / √rank, A (rows, rank) and B ~ N(0, 1)."""
    rng = np.random.default_rng(config.seed)
    left = rng.normal(size=(config.rows, config.rank))
    right = rng.normal(size=(config.rank, config.columns))
    pair = np.eye(config.rows, dtype=np.float32), _single(left @ right / config.rank**0.5)
    return unchanged(dict.fromkeys(("train", "valid", "test"), pair), outputs=config.columns)


def _single(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> FloatArray:
    return array.astype(np.float32)

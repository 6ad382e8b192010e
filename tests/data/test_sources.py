"""Every data set equals its source, read or drawn again here, in all splits and in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

from tests.data.files import write_cifar, write_idx
from trainables.configs.data import (
    ArrayFiles,
    Characters,
    Cifar10,
    Cifar100,
    Digits,
    FashionMnist,
    GaussianMixture,
    Kmnist,
    LeastSquares,
    MatrixFactorization,
    Mnist,
    TeacherStudent,
)
from trainables.data import load

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
SEED = 3


def _equals(config: Any, parts: dict[str, Pair], rtol: float = 1e-5) -> None:
    data = load(config)
    for part, (x, y) in parts.items():
        found_x, found_y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        assert found_x.shape == x.shape
        np.testing.assert_allclose(found_x, x, rtol=rtol, atol=10 * rtol, err_msg=part)
        if data.regression:
            np.testing.assert_allclose(found_y, y, rtol=rtol, atol=rtol, err_msg=part)
        else:
            assert found_y.tolist() == y.tolist(), part


def _splits(
    x: npt.NDArray[Any], y: npt.NDArray[Any], config: Any, test: Pair | None
) -> dict[str, Pair]:
    """Shuffled by the split's seed, the test split first."""
    x = x.astype(np.float64)
    order = list(np.random.default_rng(SEED).permutation(len(x)))
    held = {"valid": config.valid} if test else {"test": config.test, "valid": config.valid}
    parts = {}
    for part, share in held.items():
        count = share if isinstance(share, int) else round(share * len(x))
        parts[part], order = (x[order[:count]], y[order[:count]]), order[count:]
    parts["train"] = x[order], y[order]
    if test:
        parts["test"] = test[0].astype(np.float64), test[1]
    return parts


def _divided(x: npt.NDArray[Any], y: npt.NDArray[Any], config: Any, test: Pair | None) -> Any:
    """The same, scaled by what training sees."""
    parts = _splits(x, y, config, test)
    mean, scale = parts["train"][0].mean(), parts["train"][0].std()
    return {part: ((x - mean) / scale, y) for part, (x, y) in parts.items()}


def _digits(_: Path) -> None:
    x, y = load_digits(return_X_y=True)
    config = Digits(split_seed=SEED)
    _equals(config, _divided(x, y, config, None))


def _pixels(kind: type, brightest: int) -> Callable[[Path], None]:
    """An autoencoder's data: pixels in [0, 1], the inputs and, flattened, the targets."""

    def check(folder: Path) -> None:
        if kind is Digits:
            config, test = Digits(split_seed=SEED, targets="inputs"), None
            x, y = load_digits(return_X_y=True)
        else:
            files = write_idx(folder)
            config = Mnist(root=str(folder), valid=3, split_seed=SEED, targets="inputs")
            x, y = files["train-images-idx3-ubyte"][:, None], files["train-labels-idx1-ubyte"]
            test = files["t10k-images-idx3-ubyte"][:, None], files["t10k-labels-idx1-ubyte"]
        parts = {}
        for part, (images, _) in _splits(x, y, config, test).items():
            scaled = images / brightest
            parts[part] = scaled, np.array([image.ravel() for image in scaled])
        _equals(config, parts)
        data = load(config)
        assert data.outputs == math.prod(x.shape[1:])
        assert (data.train_x.min(), data.train_x.max()) == (0, 1) or kind is Mnist

    return check


def _idx(kind: type) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        files = write_idx(folder)
        pairs = [
            (files[f"{part}-images-idx3-ubyte"][:, None], files[f"{part}-labels-idx1-ubyte"])
            for part in ("train", "t10k")
        ]
        config = kind(root=str(folder), valid=3, split_seed=SEED)
        _equals(config, _divided(*pairs[0], config, pairs[1]))

    return check


def _cifar(kind: type, version: str) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        files = write_cifar(folder, version, packed=False)
        config = kind(root=str(folder), valid=1, split_seed=SEED)
        test = files["test_x"], files["test_y"]
        _equals(config, _divided(files["train_x"], files["train_y"], config, test))

    return check


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(5)
    x, y = 7 + 2 * rng.normal(size=(31, 2, 3)), np.arange(31) % 5
    np.savez(folder / "a.npz", x=x, y=y)
    config = ArrayFiles(path=str(folder / "a.npz"), split_seed=SEED)
    _equals(config, _divided(x, y, config, None))


def _characters(folder: Path) -> None:
    """Character by character: 211 of them, 23 held out at the end, 47 before these."""
    rng = np.random.default_rng(5)
    text = "".join(rng.choice(list("aé\n\r\t z漢😀"), 211))
    (folder / "t.txt").write_bytes(text.encode())
    config = Characters(path=str(folder / "t.txt"), context=7, valid=47 / 211, test=23 / 211)
    places = {character: i for i, character in enumerate(sorted(set(text)))}
    parts = {}
    for part, start, stop in (("train", 0, 141), ("valid", 141, 188), ("test", 188, 211)):
        starts = range(start, stop - 7, 8)
        x = np.array([[places[c] for c in text[i : i + 7]] for i in starts])
        y = np.array([[places[c] for c in text[i + 1 : i + 8]] for i in starts])
        parts[part] = x, y
    assert [len(x) for x, _ in parts.values()] == [17, 5, 2]
    _equals(config, parts, rtol=0)
    data = load(config)
    assert (data.outputs, data.input_shape, data.tokens) == (9, (7,), True)


def _gaussian_mixture(_: Path) -> None:
    config = GaussianMixture(
        classes=5, features=7, examples=131, separation=2.0, seed=11, split_seed=SEED
    )
    rng = np.random.default_rng(11)
    centers = [direction / np.linalg.norm(direction) for direction in rng.normal(size=(5, 7))]
    y = rng.integers(0, 5, 131)
    x = np.array([2.0 * centers[k] for k in y]) + rng.normal(size=(131, 7))
    _equals(config, _divided(x, y, config, None))


def _teacher_student(_: Path) -> None:
    config = TeacherStudent(
        classes=5, features=7, hidden=(11, 3), examples=131, seed=11, split_seed=SEED
    )
    rng = np.random.default_rng(11)
    x = rng.normal(size=(131, 7))
    first = np.sqrt(2 / 7) * rng.normal(size=(7, 11))
    second = np.sqrt(2 / 11) * rng.normal(size=(11, 3))
    last = rng.normal(size=(3, 5))
    y = np.array(
        [np.argmax(np.clip(np.clip(r @ first, 0, None) @ second, 0, None) @ last) for r in x]
    )
    assert len(set(y)) > 2
    _equals(config, _divided(x, y, config, None))


def _least_squares(_: Path) -> None:
    """Its Hessian has the eigenvalues asked for, and one w explains every split."""
    data = load(LeastSquares(features=7, examples=31, condition=1e3, seed=2))
    x = data.train_x.astype(np.float64)
    found = np.linalg.eigvalsh(x.T @ x / 31)[::-1]
    np.testing.assert_allclose(found, 1e3 ** -np.linspace(0, 1, 7), rtol=1e-3)
    weights = np.linalg.solve(x.T @ x, x.T @ data.train_y)
    assert 0.1 < np.linalg.norm(weights) / np.sqrt(7) < 3
    for part in ("train", "valid", "test"):
        inputs, targets = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        np.testing.assert_allclose(inputs @ weights, targets, atol=1e-4)
        assert inputs.shape == (31, 7)
    assert not np.array_equal(data.valid_x, data.test_x)
    noisy = load(LeastSquares(features=7, examples=3001, noise=0.5, seed=2))
    residual = np.linalg.lstsq(noisy.train_x, noisy.train_y)[1]
    assert np.sqrt(residual[0] / 2994) == pytest.approx(0.5, rel=0.05)


def _matrix_factorization(_: Path) -> None:
    """Unit vectors to the rows of a product of two normal matrices."""
    rng = np.random.default_rng(11)
    left, right = rng.normal(size=(11, 3)), rng.normal(size=(3, 7))
    pair = np.eye(11), sum(np.outer(left[:, k], right[k]) for k in range(3)) / np.sqrt(3)
    config = MatrixFactorization(rows=11, columns=7, rank=3, seed=11)
    _equals(config, dict.fromkeys(("train", "valid", "test"), pair))


ORACLES: dict[str, Callable[[Path], None]] = {
    "digits": _digits,
    "digits as their own targets": _pixels(Digits, 16),
    "mnist as its own targets": _pixels(Mnist, 255),
    "mnist": _idx(Mnist),
    "fashion_mnist": _idx(FashionMnist),
    "kmnist": _idx(Kmnist),
    "cifar10": _cifar(Cifar10, "10-python"),
    "cifar100": _cifar(Cifar100, "100-binary"),
    "arrays": _arrays,
    "characters": _characters,
    "gaussian_mixture": _gaussian_mixture,
    "teacher_student": _teacher_student,
    "least_squares": _least_squares,
    "matrix_factorization": _matrix_factorization,
}


@pytest.mark.parametrize("name", ORACLES)
def test_equals_its_source(name: str, tmp_path: Path) -> None:
    ORACLES[name](tmp_path)

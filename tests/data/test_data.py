"""Every data set: what it reads, how it is split, and one line for all that can be wrong."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.files import PARTS, idx, write_cifar, write_idx
from trainables.configs.data import (
    DATA,
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
    UserData,
)
from trainables.data import DataError, DataSet, load


def _idx(folder: Path) -> str:
    write_idx(folder)
    return str(folder)


def _cifar(folder: Path, version: str) -> str:
    write_cifar(folder, version, packed=False)
    return str(folder)


def _npz(folder: Path) -> str:
    rng = np.random.default_rng(2)
    np.savez(folder / "a.npz", x=rng.normal(size=(31, 2, 3)), y=np.arange(31) % 5)
    return str(folder / "a.npz")


def _text(folder: Path, characters: int) -> str:
    letters = np.random.default_rng(2).choice(list("abcde fghij\n"), characters)
    (folder / "a.txt").write_text("".join(letters), encoding="utf-8")
    return str(folder / "a.txt")


EXAMPLES: dict[str, Callable[[Path], Any]] = {
    "digits": lambda folder: Digits(),
    "mnist": lambda folder: Mnist(root=_idx(folder), valid=3),
    "fashion_mnist": lambda folder: FashionMnist(root=_idx(folder), valid=3),
    "kmnist": lambda folder: Kmnist(root=_idx(folder), valid=0.3),
    "cifar10": lambda folder: Cifar10(root=_cifar(folder, "10-python"), valid=4),
    "cifar100": lambda folder: Cifar100(root=_cifar(folder, "100-python"), valid=1),
    "arrays": lambda folder: ArrayFiles(path=_npz(folder)),
    "characters": lambda folder: Characters(path=_text(folder, 1009), context=7),
    "gaussian_mixture": lambda folder: GaussianMixture(),
    "teacher_student": lambda folder: TeacherStudent(),
    "least_squares": lambda folder: LeastSquares(),
    "matrix_factorization": lambda folder: MatrixFactorization(),
}
WHOLE = {"least_squares", "matrix_factorization", "characters"}
"""Data sets without a split at random and standardization."""


def _parts(data: DataSet) -> list[tuple[Any, Any]]:
    return [
        (data.train_x, data.train_y),
        (data.valid_x, data.valid_y),
        (data.test_x, data.test_y),
    ]


@pytest.mark.parametrize("name", DATA)
def test_every_data_set_loads(name: str, tmp_path: Path) -> None:
    config = EXAMPLES[name](tmp_path)
    assert config.name == name
    data, again = load(config), load(config)
    for (x, y), (x2, y2) in zip(_parts(data), _parts(again), strict=True):
        assert len(x) == len(y) > 0
        assert x.dtype == (np.int64 if data.tokens else np.float32)
        assert x.shape[1:] == data.input_shape
        assert np.isfinite(x).all()
        assert np.array_equal(x, x2)
        assert np.array_equal(y, y2)
        if data.regression:
            assert y.shape == (len(x), data.outputs)
        else:
            assert y.dtype == np.int64
            assert y.max() < data.outputs
    if name not in WHOLE:
        assert data.train_x.mean() == pytest.approx(0, abs=1e-5)
        assert data.train_x.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", sorted(DATA.keys() - WHOLE))
def test_splits_are_disjoint_and_seeded(name: str, tmp_path: Path) -> None:
    config = EXAMPLES[name](tmp_path)
    data, other = load(config), load(dataclasses.replace(config, split_seed=7))
    rows = [{x.tobytes() for x in part} for part, _ in _parts(data)]
    assert not rows[0] & rows[1]
    if name != "digits":  # digits has a few equal images
        assert not rows[0] & rows[2]
    assert data.train_y.tolist() != other.train_y.tolist() or name == "cifar100"
    assert [len(x) for x, _ in _parts(data)] == [len(x) for x, _ in _parts(other)]


@pytest.mark.parametrize(
    "name", sorted({"digits", "gaussian_mixture", "teacher_student", *WHOLE} - {"characters"})
)
def test_sizes_are_known_beforehand(name: str, tmp_path: Path) -> None:
    config = EXAMPLES[name](tmp_path)
    data = load(config)
    evaluated = len(data.valid_x) + len(data.test_x)
    assert config.sizes() == (len(data.train_x), data.input_shape, data.outputs, evaluated)


def test_sizes_of_the_standard_files() -> None:
    assert Mnist(root="x").sizes() == (55000, (1, 28, 28), 10, 15000)
    assert Mnist(root="x", targets="inputs").sizes() == (55000, (1, 28, 28), 784, 15000)
    assert Cifar10(root="x", targets="inputs").sizes() == (45000, (3, 32, 32), 3072, 15000)
    assert Cifar100(root="x", valid=0.1).sizes() == (45000, (3, 32, 32), 100, 15000)
    assert ArrayFiles(path="x").sizes() is None
    assert Characters(path="x").sizes() is None


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_images_are_the_files_images(tmp_path: Path, zipped: bool) -> None:
    written = write_idx(tmp_path / "m", zipped=zipped)
    config = Mnist(root=os.path.relpath(tmp_path / "m"), valid=3)
    data = load(config)
    order = np.random.default_rng(0).permutation(PARTS["train"])
    images = written["train-images-idx3-ubyte"].astype(np.float64)[:, None]
    train = images[order[3:]]
    expected = (images[order[:3]] - train.mean()) / train.std()
    np.testing.assert_allclose(data.valid_x, expected, rtol=1e-4, atol=1e-5)
    tests = (written["t10k-images-idx3-ubyte"] - train.mean()) / train.std()
    np.testing.assert_allclose(data.test_x[:, 0], tests, rtol=1e-4, atol=1e-5)
    assert data.test_y.tolist() == written["t10k-labels-idx1-ubyte"].tolist()
    assert data.outputs == 10


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("version", ["10-python", "10-binary", "100-python", "100-binary"])
def test_cifar_images_are_the_files_images(tmp_path: Path, version: str, packed: bool) -> None:
    written = write_cifar(tmp_path, version, packed=packed)
    make: Any = Cifar10 if version.startswith("10-") else Cifar100
    data = load(make(root=str(tmp_path), valid=1))
    assert data.test_y.tolist() == written["test_y"].tolist()
    labels = [*data.train_y.tolist(), *data.valid_y.tolist()]
    assert sorted(labels) == sorted(written["train_y"].tolist())
    images = written["test_x"].astype(np.float64)
    scaled = (images - images.mean()) / images.std()
    got = data.test_x.astype(np.float64)
    np.testing.assert_allclose((got - got.mean()) / got.std(), scaled, atol=1e-4)


def test_arrays_with_pairs_of_their_own_and_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        "x": rng.normal(size=(13, 2)),
        "y": rng.normal(size=(13, 3)),
        "x_test": rng.normal(size=(5, 2)),
        "y_test": rng.normal(size=(5, 3)),
    }
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    data = load(ArrayFiles(path=str(tmp_path), valid=0.2))
    assert (len(data.train_x), len(data.valid_x), len(data.test_x)) == (10, 3, 5)
    assert data.regression
    assert data.outputs == 3
    np.testing.assert_allclose(data.test_y, arrays["y_test"], rtol=1e-6)


def test_a_mixture_far_apart_is_told_apart_by_its_nearest_center() -> None:
    data = load(GaussianMixture(classes=5, features=13, separation=12.0))
    centers = np.stack([data.train_x[data.train_y == c].mean(0) for c in range(5)])
    nearest = np.linalg.norm(data.test_x[:, None] - centers, axis=2).argmin(1)
    assert (nearest == data.test_y).mean() > 0.99


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def _replaced(name: str, content: bytes | None) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        write_idx(folder)
        path = folder / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return Mnist(root=str(folder), valid=3)

    return make


def _truncated_gzip(folder: Path) -> Any:
    write_idx(folder, zipped=True)
    path = folder / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    return Mnist(root=str(folder), valid=3)


def _pickled(value: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        write_cifar(folder, "10-python", packed=False)
        content = value if isinstance(value, bytes) else pickle.dumps(value, protocol=2)
        (folder / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
        return Cifar10(root=str(folder))

    return make


def _arrays(**arrays: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        np.savez(folder / "a.npz", **arrays)
        return ArrayFiles(path=str(folder / "a.npz"))

    return make


def _written(content: bytes) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        (folder / "a.npz").write_bytes(content)
        return ArrayFiles(path=str(folder / "a.npz"))

    return make


def _characters(content: bytes, **options: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        (folder / "t.txt").write_bytes(content)
        return Characters(path=str(folder / "t.txt"), **({"context": 7} | options))

    return make


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _damaged_npz(folder: Path) -> Any:
    np.savez_compressed(folder / "a.npz", x=X, y=Y)
    content = bytearray((folder / "a.npz").read_bytes())
    content[100:140] = bytes(40)
    (folder / "a.npz").write_bytes(content)
    return ArrayFiles(path=str(folder / "a.npz"))


def _huge_npy(folder: Path) -> Any:
    """A header that promises an exabyte."""
    header = _npy(np.zeros((10**6, 2)))[:128]
    (folder / "x.npy").write_bytes(
        header.replace(b"(1000000, 2), }        ", b"(1000000, 99999999999)}")
    )
    np.save(folder / "y.npy", Y)
    return ArrayFiles(path=str(folder))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
PIXELS = np.zeros((11, 28, 28))
X, Y = np.random.default_rng(4).normal(size=(31, 2)), np.arange(31) % 3
NAN = np.where(np.arange(62).reshape(31, 2) == 5, np.nan, X)
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda folder: Mnist(root=str(folder / "no")), "is missing; put train-images"),
    "no file": (_replaced(IMAGES, None), f"{IMAGES} is missing; put"),
    "empty": (_replaced(IMAGES, b""), f"{IMAGES}: 0 bytes are too few for an IDX header"),
    "truncated": (_replaced(IMAGES, idx(PIXELS)[:-5]), "8619 bytes of data, its header says 11 ×"),
    "labels for images": (_replaced(IMAGES, idx(np.zeros((11, 28)))), "number 0x00000802, expe"),
    "other sizes": (_replaced(IMAGES, idx(np.zeros((11, 27, 28)))), "of 27×28 pixels, expected 28"),
    "too few labels": (_replaced(LABELS, idx(np.zeros(10))), "10 labels for the 11 images"),
    "label out of range": (
        _replaced(LABELS, idx(np.arange(11))),
        "label 10; labels go from 0 to 9",
    ),
    "huge header": (_replaced(IMAGES, struct.pack(">4I", 0x803, *[2**32 - 1] * 3)), "0 bytes of"),
    "damaged gzip": (_truncated_gzip, "-ubyte.gz: Compressed file ended before"),
    "all held out": (lambda folder: Mnist(root=_idx(folder), valid=11), "valid 11 leave a split"),
    "more held out": (lambda folder: Mnist(root=_idx(folder)), "11 examples with valid 5000"),
    "no text": (
        lambda folder: Characters(path=str(folder / "t.txt")),
        "t.txt is missing; put a UTF-8 text file there",
    ),
    "text in a folder": (
        lambda folder: Characters(path=str(folder)),
        " is a folder; expected a UTF-8 text file",
    ),
    "not UTF-8": (_characters(b"abc \xe9t\xe9"), "t.txt: not UTF-8 (byte 4: invalid continuation"),
    "UTF-16": (_characters("text".encode("utf-16")), "not UTF-8 (byte 0: invalid start byte)"),
    "an empty text": (_characters(b""), "0 characters, 0 of them distinct; a text needs 2"),
    "one character": (_characters(b"a" * 997), "997 characters, 1 of them distinct; a text"),
    "a short text": (
        _characters(b"abcde" * 14),
        "70 characters with valid 0.1 and test 0.1 leave valid fewer than the 8 of one window",
    ),
    "a long context": (_characters(b"abcde" * 14, context=63), "leave train fewer than the 64 of"),
    "nothing to validate on": (_characters(b"abcde" * 99, valid=0.0), "valid 0 and test 0.1 leave"),
    "nothing to train on": (_characters(b"ab" * 99, valid=0.9, test=0.9), "leave train fewer"),
    "no archive": (
        lambda folder: Cifar10(root=str(folder)),
        "put cifar-10-batches-py/ or cifar-10",
    ),
    "pickled code": (_pickled({b"data": Evil()}), "posix.system is not allowed in data"),
    "no pickle": (_pickled(b"abc"), "data_batch_3: UnpicklingError"),
    "no labels": (_pickled({b"data": np.zeros((3, 3072), np.uint8)}), "data_batch_3: KeyError"),
    "too few pixels": (
        _pickled({b"data": np.zeros((3, 3071), np.uint8), b"labels": [1, 2, 3]}),
        "uint8 (3, 3071), expected uint8 (3, 3072)",
    ),
    "no arrays": (lambda folder: ArrayFiles(path=str(folder / "a.npz")), "put an .npz file"),
    "empty folder": (lambda folder: ArrayFiles(path=str(folder)), "or a folder with x.npy"),
    "no npz": (_written(b"abc"), "a.npz is no .npz file"),
    "only x": (_arrays(x=X), "has x without its pair"),
    "a .npy file": (_written(_npy(X)), "is no .npz file, or its end is missing"),
    "damaged npz": (_damaged_npz, "a.npz: "),
    "huge npy": (_huge_npy, "Unable to allocate"),
    "no such home": (lambda folder: Mnist(root="~no-such-user/x"), "mnist: RuntimeError: "),
    "too large": (_arrays(x=1e300 * X, y=Y), "x has NaN or infinite values (in float32)"),
    "too large targets": (_arrays(x=X, y=1e300 * X), "y has NaN or infinite values (in float32)"),
    "no features": (_arrays(x=X[:, :0], y=Y), "(31, 0): there is nothing in an example"),
    "no targets": (_arrays(x=X, y=X[:, :0]), "an example has no target"),
    "no examples": (_arrays(x=X[:0], y=X[:0]), "has no examples; every split needs"),
    "no labels at all": (_arrays(x=X, y=Y, x_test=X[:0], y_test=Y[:0]), "(test): has no examples"),
    "a number for a label": (_arrays(x=X, y=Y + 10**9), "label 1000000002; labels are integers"),
    "labels in words": (
        _pickled({b"data": np.zeros((3, 3072), np.uint8), b"labels": ["a", "b", "c"]}),
        "data_batch_3: labels are <U1 (3,), expected whole numbers",
    ),
    "one label for all": (
        _pickled({b"data": np.zeros((3, 3072), np.uint8), b"labels": 3}),
        "data_batch_3: pixels are uint8 (3, 3072)",
    ),
    "objects": (_arrays(x=np.array([{}] * 31), y=Y), "allow_pickle"),
    "NaN": (_arrays(x=NAN, y=Y), "x has NaN"),
    "NaN targets": (_arrays(x=X, y=NAN), "y has NaN"),
    "text": (_arrays(x=np.array([["a"]] * 31), y=Y), "x must be an array of numbers"),
    "negative label": (_arrays(x=X, y=Y - 1), "integers from 0 to classes − 1, or real targets"),
    "lengths": (_arrays(x=X, y=Y[:-1]), "expected x (n, …) and y (n,), got (31, 2) and (30,)"),
    "shapes": (_arrays(x=X, y=Y, x_test=X[:, :1], y_test=Y), "test has examples (1,) and targets"),
    "classes and targets": (_arrays(x=X, y=Y, x_test=X, y_test=X), "float32 (2,), train (2,) and"),
    "user function": (lambda folder: UserData(name="math:sqrt"), "math:sqrt: TypeError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_data_is_one_clear_line(name: str, tmp_path: Path) -> None:
    make, message = FAULTS[name]
    config = make(tmp_path)
    with pytest.raises(DataError) as caught:
        load(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_archive_is_one_clear_line(tmp_path: Path) -> None:
    write_cifar(tmp_path, "10-python", packed=True)
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match="cifar10: ") as caught:
        load(Cifar10(root=str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeastSquares(features=9, examples=8), "examples must be at least features"),
        (lambda: MatrixFactorization(rows=3, columns=2, rank=3), "rank must be at most"),
    ],
)
def test_impossible_problems_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

"""From a data configuration to a data set."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trainables.configs import data as configs
from trainables.configs.data import Data, Digits, UserData
from trainables.data import synthetic
from trainables.data.array_files import load_arrays
from trainables.data.characters import load_characters
from trainables.data.cifar import load_cifar
from trainables.data.dataset import DataError, DataSet, split
from trainables.data.idx import load_idx
from trainables.user_code import UserCodeError, call_user_code, in_a_line, resolve


def load(config: Data) -> DataSet:
    """Loads, checks, splits and standardizes.

    Raises:
        DataError: one line that names the data set and what is wrong with it.
    """
    try:
        return _LOADERS[type(config)](config)
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        # Of the system, such as a folder that may not be read or data larger than memory.
        raise DataError(f"{config.name}: {in_a_line(error)}") from error


def _digits(config: Digits) -> DataSet:
    """The file behind ``sklearn.datasets.load_digits``, without the second its import takes."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits: comes with scikit-learn, which is not installed")
    path = Path(package.origin).parent / "datasets/data/digits.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    return split(config.name, table[:, :-1], table[:, -1], config)


def _user(config: UserData) -> DataSet:
    try:
        result = call_user_code(config.name, resolve(config.name), config.args)
    except UserCodeError as error:
        raise DataError(str(error)) from error
    if not isinstance(result, tuple) or len(result) != 2:
        raise DataError(f"{config.name}: must return arrays (x, y), got {type(result).__name__}")
    return split(config.name, *result, config)


_LOADERS: dict[type, Callable[[Any], DataSet]] = {
    configs.Digits: _digits,
    configs.Mnist: load_idx,
    configs.FashionMnist: load_idx,
    configs.Kmnist: load_idx,
    configs.Cifar10: load_cifar,
    configs.Cifar100: load_cifar,
    configs.ArrayFiles: load_arrays,
    configs.Characters: load_characters,
    configs.GaussianMixture: synthetic.gaussian_mixture,
    configs.TeacherStudent: synthetic.teacher_student,
    configs.LeastSquares: synthetic.least_squares,
    configs.MatrixFactorization: synthetic.matrix_factorization,
    configs.UserData: _user,
}

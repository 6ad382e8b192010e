"""From a data configuration to a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainables.configs import data as configs
from trainables.configs.data import Data, Digits, UserData
from trainables.data import synthetic
from trainables.data.array_files import load_arrays
from trainables.data.cifar import load_cifar
from trainables.data.dataset import DataError, DataSet, split
from trainables.data.idx import load_idx
from trainables.user_code import UserCodeError, call_user_code, resolve


def load(config: Data) -> DataSet:
    """Loads, checks, splits and standardizes.

    Raises:
        DataError: one line that names the data set and what is wrong with it.
    """
    return _LOADERS[type(config)](config)


def _digits(config: Digits) -> DataSet:
    from sklearn.datasets import load_digits  # takes a second to import

    x, y = load_digits(return_X_y=True)
    return split(config.name, x, y, config)


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
    configs.GaussianMixture: synthetic.gaussian_mixture,
    configs.TeacherStudent: synthetic.teacher_student,
    configs.LeastSquares: synthetic.least_squares,
    configs.MatrixFactorization: synthetic.matrix_factorization,
    configs.UserData: _user,
}

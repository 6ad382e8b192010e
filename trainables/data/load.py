"""From a data configuration to a data set."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from trainables.configs.data import Data, UserData
from trainables.data.dataset import DataError, DataSet, split
from trainables.user_code import UserCodeError, call_user_code, resolve


def load(config: Data) -> DataSet:
    """Loads, checks, splits and standardizes.

    Raises:
        DataError: one line that names the data set and what is wrong with it.
    """
    x, y = _user_arrays(config) if isinstance(config, UserData) else _digits()
    return split(config.name, x, y, config)


def _digits() -> tuple[Any, Any]:
    """The file behind ``sklearn.datasets.load_digits``, without the second its import takes."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits: comes with scikit-learn, which is not installed")
    path = Path(package.origin).parent / "datasets/data/digits.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    return table[:, :-1], table[:, -1]


def _user_arrays(config: UserData) -> tuple[Any, Any]:
    try:
        result = call_user_code(config.name, resolve(config.name), config.args)
    except UserCodeError as error:
        raise DataError(str(error)) from error
    if not isinstance(result, tuple) or len(result) != 2:
        raise DataError(f"{config.name}: must return arrays (x, y), got {type(result).__name__}")
    return result

"""From a data configuration to a data set."""

from __future__ import annotations

from typing import Any

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
    from sklearn.datasets import load_digits  # takes a second to import

    x, y = load_digits(return_X_y=True)
    return x, y


def _user_arrays(config: UserData) -> tuple[Any, Any]:
    try:
        result = call_user_code(config.name, resolve(config.name), config.args)
    except UserCodeError as error:
        raise DataError(str(error)) from error
    if not isinstance(result, tuple) or len(result) != 2:
        raise DataError(f"{config.name}: must return arrays (x, y), got {type(result).__name__}")
    return result

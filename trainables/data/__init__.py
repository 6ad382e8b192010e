"""Data sets by name. A new one is one function here and one class in ``configs.data``."""

from trainables.data.dataset import DataError as DataError
from trainables.data.dataset import DataSet as DataSet
from trainables.data.load import load as load

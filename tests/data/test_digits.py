"""The embedded digits are scikit-learn's."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from trainables.configs import Digits
from trainables.data import load


def test_digits_are_those_of_scikit_learn() -> None:
    x, y = load_digits(return_X_y=True)
    data = load(Digits(split_seed=3))
    order = np.random.default_rng(3).permutation(len(x))
    n_test, n_valid = round(0.2 * len(x)), round(0.15 * len(x))
    train = order[n_test + n_valid :]
    assert np.array_equal(data.test_y, y[order[:n_test]])
    assert np.array_equal(data.train_y, y[train])
    pixels = x.astype(np.float32)
    expected = (pixels - pixels[train].mean()) / pixels[train].std()
    np.testing.assert_allclose(data.train_x, expected[train], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.valid_x, expected[order[n_test : n_test + n_valid]], rtol=1e-5)

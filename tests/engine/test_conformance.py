"""Whatever a study can name is proven: each entry of a table is a case of the test that proves it.

What counts is a test's own parameters, so an entry without an oracle cannot be listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from torch.optim import lr_scheduler

from tests.data import test_sources
from tests.engine import (
    test_diagonal_curvature,
    test_forward,
    test_models,
    test_optimizers,
    test_plateau,
    test_preconditioned,
    test_schedules,
)
from tests.kronecker import test_oracles as test_kronecker
from tests.newton import test_dense_steps, test_hessian_free, test_lbfgs
from tests.pruning import test_criteria, test_masked_training
from trainables import configs, losses, optimizers
from trainables.configs.run import SCORES, LossName
from trainables.curvature import fisher, objective, products, sampling
from trainables.pruning import criteria

TABLES: dict[str, tuple[Iterable[str], list[Callable[..., None]]]] = {
    "optimizers": (
        configs.OPTIMIZERS,
        [
            test_optimizers.test_equals_its_oracle,
            test_preconditioned.test_equals_its_paper_written_out,
            test_preconditioned.test_equals_the_reference_implementation,
            test_diagonal_curvature.test_equals_its_oracle_in_training,
            test_kronecker.test_equals_the_method_written_out,
            test_dense_steps.test_steps_equal_the_formulas,
            test_hessian_free.test_steps_equal_martens_written_out,
            test_lbfgs.test_steps_equal_the_algorithms_written_out,
        ],
    ),
    "schedules": (
        configs.SCHEDULES,
        [
            test_schedules.test_equals_the_real_scheduler_exactly,
            test_schedules.test_equals_the_real_scheduler_to_rounding,
            test_schedules.test_equals_its_formula,
        ],
    ),
    "models": (configs.MODELS, [test_models.test_outputs_equal_the_network_written_out]),
    "data": (configs.DATA, [test_sources.test_equals_its_source]),
    "losses": (get_args(LossName), [test_forward.test_loss_and_gradient_equal_torch]),
    "losses differentiated twice": (
        get_args(LossName),
        [test_criteria.test_losses_are_those_that_train],
    ),
    "criteria": (criteria.CRITERIA, [test_criteria.test_scores_equal_their_definition]),
    "optimizers with masks": (
        configs.OPTIMIZERS,
        [test_masked_training.test_masked_weights_stay_zero],
    ),
}


OF_TORCH = {
    "LambdaLR": "module:callable",
    "MultiplicativeLR": "module:callable",
    "StepLR": "step",
    "MultiStepLR": "multistep",
    "ConstantLR": "constant",
    "LinearLR": "linear",
    "ExponentialLR": "exponential",
    "SequentialLR": "sequence",
    "CosineAnnealingLR": "cosine",
    "ChainedScheduler": "chain",
    "ReduceLROnPlateau": "plateau",
    "CyclicLR": "cyclic",
    "CosineAnnealingWarmRestarts": "sgdr",
    "OneCycleLR": "one_cycle",
    "PolynomialLR": "polynomial",
}
"""What a study calls PyTorch's schedulers; the first two are a user's function."""


def _cases(test: Callable[..., None]) -> set[str]:
    """Names that a test is parametrized by: text, or a configuration's name."""
    found = set()
    for mark in test.pytestmark:  # type: ignore[attr-defined]
        for case in mark.args[1]:
            first = case[0] if isinstance(case, tuple) else case
            found.add(getattr(first, "name", first))
    return {name for name in found if isinstance(name, str)}


@pytest.mark.parametrize("table", TABLES)
def test_every_entry_has_an_oracle(table: str) -> None:
    entries, tests = TABLES[table]
    proven = set().union(*map(_cases, tests))
    assert not set(entries) - proven, "without an oracle"
    assert all(_cases(test) for test in tests)


def test_every_scheduler_of_pytorch_has_a_name_in_studies() -> None:
    assert OF_TORCH.keys() == set(lr_scheduler.__all__) - {"LRScheduler"}
    assert set(OF_TORCH.values()) - {"module:callable"} < configs.SCHEDULES.keys()
    written = Path(test_schedules.__file__).read_text() + Path(test_plateau.__file__).read_text()
    for name in OF_TORCH:
        assert f"lr_scheduler.{name}(" in written, "is compared with PyTorch's own"


def test_every_entry_is_implemented_under_its_own_name() -> None:
    tables: list[dict[str, Any]] = [configs.OPTIMIZERS, configs.SCHEDULES, configs.MODELS]
    for table in [*tables, configs.DATA]:
        for name, kind in table.items():
            assert kind.__dataclass_fields__["name"].default == name
    assert optimizers.OPTIMIZERS.keys() == configs.OPTIMIZERS.keys()
    for table_of_losses in (
        objective.MEAN_LOSSES,
        products.OUTPUT_HESSIANS,
        sampling.DRAWN,
        fisher.RESIDUALS,
        fisher.ROOTS,
    ):
        assert table_of_losses.keys() == losses.LOSSES.keys()
    assert losses.LOSSES.keys() == SCORES.keys() == set(get_args(LossName))


def test_the_written_out_networks_are_those_of_the_table() -> None:
    """A model's case runs the model of that name."""
    for name, (config, _) in test_models.SMALL.items():
        assert config.name == name

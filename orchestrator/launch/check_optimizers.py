"""Models that an optimizer refuses, as far as a configuration tells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.plan.flops import layers
from trainables.configs.newton import Dense, HessianFree, NaturalGradient
from trainables.configs.optimizers import Ekfac, Kfac, Muon, Optimizer
from trainables.configs.run import RunConfig
from trainables.data import DataSet


def optimizer_problems(config: RunConfig, data: DataSet) -> Iterable[str]:
    """What the optimizer's ``init`` would say of a model of the table."""
    optimizer, model = config.optimizer, config.model
    if isinstance(optimizer, Dense) and not data.tokens:
        outputs = 1 if config.train.loss == "logistic" else data.outputs
        found = layers(model, data.input_shape, outputs)
        count = sum(layer.parameters for layer in found or [])
        if count > optimizer.max_parameters:
            yield (
                f"optimizer.name: {optimizer.name} solves with a matrix of all parameters:"
                f" {model.name} has {count}, optimizer.max_parameters allows"
                f" {optimizer.max_parameters}"
            )
    field = _of_examples(optimizer)
    if field is not None and getattr(model, "norm", "none") == "batch":
        yield (
            f"optimizer.{field[0]}: {field[1]} takes gradients of single examples, which"
            f" model.norm: batch has none of; use {field[2]}"
        )


def demands(optimizer: Optimizer) -> list[Any]:
    """What of an optimizer decides which models it refuses."""
    if isinstance(optimizer, Dense):
        return [optimizer.name, optimizer.max_parameters, _of_examples(optimizer)]
    if isinstance(optimizer, HessianFree):
        return [optimizer.name, _of_examples(optimizer)]
    return [optimizer.name if isinstance(optimizer, Muon | Kfac | Ekfac) else None]


def _of_examples(optimizer: Optimizer) -> tuple[str, str, str] | None:
    """Field, value and alternative, where it needs gradients of single examples."""
    if isinstance(optimizer, HessianFree) and optimizer.preconditioner != "none":
        return "preconditioner", optimizer.preconditioner, "none"
    if isinstance(optimizer, NaturalGradient) and optimizer.fisher == "empirical":
        return "fisher", "empirical", "exact"
    return None

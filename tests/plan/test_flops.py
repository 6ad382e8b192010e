"""Operations and parameters, counted from configurations, are those that PyTorch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.plan.flops import backward, layers
from tests.engine.test_models import SMALL, VARIANTS
from trainables import models
from trainables.configs.models import MODELS, Gpt, Model, Resnet20, UserModel, Vit

EXAMPLES, OUTPUTS = 3, 5
CASES: dict[str, tuple[Model, tuple[int, ...]]] = SMALL | VARIANTS
CASES["resnet of one width"] = (Resnet20(width=0.01), (3, 9, 5))
CASES["vit of cifar"] = (Vit(), (3, 32, 32))


def test_every_model_is_a_case() -> None:
    assert {config.name for config, _ in CASES.values()} == set(MODELS)


@pytest.mark.parametrize("name", CASES)
def test_operations_are_those_that_pytorch_counts(name: str) -> None:
    config, shape = CASES[name]
    found = layers(config, shape, OUTPUTS)
    assert found is not None
    module = models.build(config, shape, OUTPUTS, 0)
    tokens = isinstance(config, Gpt)
    x = torch.randint(0, OUTPUTS, (EXAMPLES, *shape)) if tokens else torch.randn(EXAMPLES, *shape)
    with FlopCounterMode(display=False) as forward:
        outputs = module(x)
    with FlopCounterMode(display=False) as back:
        outputs.sum().backward()
    assert EXAMPLES * sum(layer.operations for layer in found) == forward.get_total_flops()
    assert EXAMPLES * sum(backward(found)) == back.get_total_flops()


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_the_module(name: str) -> None:
    config, shape = CASES[name]
    found = layers(config, shape, OUTPUTS)
    assert found is not None
    module = models.build(config, shape, OUTPUTS, 0)
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in module.parameters())


def test_nothing_is_known_of_a_users_model() -> None:
    assert layers(UserModel(name="a:b"), (7,), 3) is None

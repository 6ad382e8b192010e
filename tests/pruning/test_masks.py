"""What is pruned, how much is left, and what of it is on a path."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from tests.engine import models as user_models
from trainables import models
from trainables.configs.models import Gpt, Lenet5, Lenet300100, Mlp, Model, Resnet20, Vgg11, Vit
from trainables.lanes import Tree
from trainables.models.parts import Skip
from trainables.pruning import connectivity, masks
from trainables.pruning.selection import layerwise, overall, staying


def _built(model: Model, shape: tuple[int, ...], outputs: int = 5) -> nn.Module:
    return models.build(model, shape, outputs, 3)


def test_prunable_weights_of_the_models() -> None:
    assert masks.prunable(_built(Mlp(hidden=(11, 3), norm="batch"), (7,))) == (
        "0.weight",
        "3.weight",
        "6.weight",
    )
    transformer = masks.prunable(_built(Vit(depth=1, width=8, heads=2, patch=2), (1, 4, 4)))
    assert transformer == (
        "0.embed.weight",
        "1.inner.1.qkv.weight",
        "1.inner.1.out.weight",
        "2.inner.1.weight",
        "2.inner.3.weight",
        "5.weight",
    )
    texts = masks.prunable(_built(Gpt(depth=1, width=8, heads=2), (5,)))
    assert not any("embed" in name or "position" in name for name in texts)
    assert len(texts) == 5
    residual = _built(Resnet20(), (3, 8, 8))
    sizes = dict(residual.named_parameters())
    found = masks.prunable(residual)
    assert all(sizes[name].dim() in (2, 4) for name in found)
    assert len(found) == 22  # 19 convolutions, 2 on shortcuts, the linear layer


def test_what_shares_a_weight() -> None:
    assert masks.prunable(user_models.Shared(7, 5)) == ("first.weight", "head.weight")

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(7, 7)
            self.head = nn.Linear(7, 11)
            self.embed = nn.Embedding(11, 7)
            self.head.weight = self.embed.weight

    assert masks.prunable(Tied()) == ("mix.weight",)


def test_attention_of_pytorch_and_weight_normalization() -> None:
    attention = nn.Sequential(nn.MultiheadAttention(6, 2))
    assert masks.prunable(attention) == ("0.in_proj_weight", "0.out_proj.weight")
    normed = _built(Mlp(hidden=(11, 3), norm="weight"), (7,))
    assert masks.prunable(normed) == ("4.weight",)


def test_excluded_layers() -> None:
    module = _built(Mlp(hidden=(11, 3)), (7,))
    assert masks.prunable(module, ["0.*", "4.weight"]) == ("2.weight",)
    with pytest.raises(ValueError, match=r"'9\.\*' matches none of 0.weight, 2.weight, 4.weight"):
        masks.prunable(module, ["9.*"])
    with pytest.raises(ValueError, match="nothing to prune"):
        masks.prunable(module, ["*"])


LADDER = {3: 51.28, 7: 21.07, 9: 13.52, 15: 3.58, 18: 1.85, 20: 1.19}
"""Frankle & Carbin 2019: prunings → percent of LeNet-300-100's weights remaining."""


def _params(module: nn.Module, lanes: int) -> Tree:
    generator = torch.Generator().manual_seed(2)
    return {
        name: torch.randn(lanes, *p.shape, generator=generator, dtype=torch.float64)
        for name, p in module.named_parameters()
    }


def _double(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_ladder_of_lenet_300_100() -> None:
    """20 % of each layer a round, 10 % of the last: published figures, and exact whole numbers."""
    module = _built(Lenet300100(), (28, 28), 10)
    params = _params(module, 2)
    left = masks.ones(params, masks.prunable(module))
    assert sum(mask[0].numel() for mask in left.values()) == 266_200
    scores = {name: params[name].abs() for name in left}
    names = [*left]
    expected = {name: left[name][0].numel() for name in names}
    for level in range(1, 21):
        rates = {name: Fraction(1, 10 if name == names[-1] else 5) for name in names}
        expected = {name: n - round(rates[name] * n) for name, n in expected.items()}
        counts = masks.remaining(left)
        keep = {name: staying(counts[name], _double([float(rates[name])] * 2)) for name in names}
        before, left = left, layerwise(scores, left, keep)
        for name in names:
            assert masks.remaining(left)[name].tolist() == [expected[name]] * 2
            assert not (left[name] & ~before[name]).any(), "once gone, gone"
        share = masks.density_in_all(left)
        assert share.tolist() == [sum(expected.values()) / 266_200] * 2
        if level in LADDER:
            assert round(100 * share[0].item(), 2) == LADDER[level]


def test_rounding_is_that_of_python() -> None:
    left = torch.arange(0, 401)
    for rate in (0.2, 0.1, 0.5, 0.25, 1 / 3, 0.0, 1.0):
        found = staying(left, torch.full((401,), rate, dtype=torch.float64))
        assert found.tolist() == [n - round(rate * n) for n in range(401)]


def _lanes_of_torch(params: Tree, names: list[str], rates: list[float], scope: str) -> list[Tree]:
    """Each lane pruned twice by ``torch.nn.utils.prune``."""
    found = []
    for lane, rate in enumerate(rates):
        holders = {}
        for name in names:
            holder = holders[name] = nn.Module()
            holder.weight = nn.Parameter(params[name][lane].clone())
        pairs = [(holder, "weight") for holder in holders.values()]
        for _ in range(2):
            if scope == "global":
                torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=rate)
            else:
                for holder, weight in pairs:
                    torch_prune.l1_unstructured(holder, weight, amount=rate)
        found.append({n: h.get_buffer("weight_mask").bool() for n, h in holders.items()})
    return found


@pytest.mark.parametrize("scope", ["layerwise", "global"])
def test_magnitude_masks_are_those_of_torch(scope: str) -> None:
    module = _built(Mlp(hidden=(11, 3)), (7,))
    params, rates = _params(module, 3), [0.2, 0.37, 0.9]
    names = list(masks.prunable(module))
    left = masks.ones(params, names)
    scores = {name: params[name].abs() for name in names}
    for _ in range(2):
        counts = masks.remaining(left)
        if scope == "global":
            total = torch.stack([*counts.values()]).sum(0)
            left = overall(scores, left, staying(total, _double(rates)))
        else:
            keep = {name: staying(counts[name], _double(rates)) for name in names}
            left = layerwise(scores, left, keep)
    for lane, expected in enumerate(_lanes_of_torch(params, names, rates, scope)):
        for name in names:
            assert left[name][lane].equal(expected[name]), (lane, name)


def test_of_equal_scores_the_first_stay() -> None:
    scores = {"a": torch.tensor([[1.0, 2, 1, 1, 0]]), "b": torch.tensor([[1.0, 1, 2]])}
    left = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    found = overall(scores, left, torch.tensor([4]))
    assert found["a"].tolist() == [[True, True, True, False, False]]
    assert found["b"].tolist() == [[False, False, True]]
    left["a"][0, 0] = False
    found = overall(scores, left, torch.tensor([4]))
    assert found["a"].tolist() == [[False, True, True, True, False]]
    found = layerwise(scores, left, {"a": torch.tensor([2]), "b": torch.tensor([1])})
    assert found["a"].tolist() == [[False, True, True, False, False]]
    assert found["b"].tolist() == [[False, False, True]]


def test_what_is_gone_never_comes_back_whatever_the_scores() -> None:
    scores = {"a": torch.tensor([[9.0, -torch.inf, -torch.inf, -2, 3]])}
    left = {"a": torch.tensor([[False, True, True, False, True]])}
    found = overall(scores, left, torch.tensor([2]))
    assert found["a"].tolist() == [[False, True, False, False, True]]


def _masks(*rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_sparsity_collapse_and_overlap() -> None:
    left = {
        "a": _masks([[1, 0, 0], [1, 1, 0]], [[1, 1, 1], [1, 1, 1]]),
        "b": _masks([[0, 0]], [[0, 1]]),
    }
    assert {n: c.tolist() for n, c in masks.remaining(left).items()} == {"a": [3, 6], "b": [0, 1]}
    assert masks.density(left)["a"].tolist() == [0.5, 1.0]
    assert masks.density_in_all(left).tolist() == [3 / 8, 7 / 8]
    assert masks.collapsed(left).tolist() == [True, False]
    other = {"a": left["a"].flip(0), "b": left["b"]}
    assert masks.overlap(left, other).tolist() == [3 / 6, 4 / 7]
    nothing = {"b": _masks([[0, 0]], [[0, 0]])}
    assert masks.overlap(nothing, nothing).tolist() == [1, 1]


def _paths(layers: list[Tensor]) -> list[Tensor]:
    """Weights on a path from input to output, every path walked: layers (out, in) of one lane."""
    found = [torch.zeros_like(layer) for layer in layers]
    sizes = [layers[0].shape[1], *(layer.shape[0] for layer in layers)]
    for path in itertools.product(*(range(size) for size in sizes)):
        steps = list(itertools.pairwise(path))
        if all(layer[b, a] for layer, (a, b) in zip(layers, steps, strict=True)):
            for own, (a, b) in zip(found, steps, strict=True):
                own[b, a] = True
    return found


def test_effective_weights_are_those_on_paths() -> None:
    module = _built(Mlp(hidden=(5, 3), norm="batch"), (7,), 2)
    generator = torch.Generator().manual_seed(0)
    shapes = {n: p.shape for n, p in module.named_parameters() if n in masks.prunable(module)}
    left = {n: torch.rand(11, *s, generator=generator) < 0.2 for n, s in shapes.items()}
    found = connectivity.effective(module, left)
    assert found is not None
    dead = 0
    for lane in range(11):
        for name, expected in zip(left, _paths([m[lane] for m in left.values()]), strict=True):
            assert found[name][lane].equal(expected)
            dead += int((left[name][lane] & ~expected).sum())
    assert dead > 20


def test_effective_weights_of_convolutions() -> None:
    """A dead weight changes no output (biases are 0); one on a path does: seen by trying."""
    module = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Conv2d(3, 5, 1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(20, 2, bias=False),
    ).double()
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(1, 2, 4, 4, generator=generator, dtype=torch.float64) + 0.5
    params = dict(module.named_parameters())
    left = {n: torch.rand(1, *p.shape, generator=generator) < 0.35 for n, p in params.items()}
    found = connectivity.effective(module, left)
    assert found is not None
    positive = {n: p.detach().abs() * left[n][0] for n, p in params.items()}
    base = torch.func.functional_call(module, positive, (x,))
    seen = {True: 0, False: 0}
    for name, mask in left.items():
        for place in mask[0].nonzero().tolist():
            changed = {n: p.clone() for n, p in positive.items()}
            changed[name][tuple(place)] += 100
            moved = not torch.equal(torch.func.functional_call(module, changed, (x,)), base)
            assert moved == bool(found[name][0][tuple(place)]), (name, place)
            seen[moved] += 1
    assert min(seen.values()) >= 5


def test_layers_that_are_not_masked_connect_everything() -> None:
    module = _built(Mlp(hidden=(5, 3)), (7,))
    left = {"2.weight": _masks([[1, 0, 0, 0, 0], [0] * 5, [0, 0, 1, 0, 0]])}
    found = connectivity.effective(module, left)
    assert found is not None
    assert found["2.weight"].equal(left["2.weight"])


@pytest.mark.parametrize(
    ("model", "shape", "applies"),
    [
        (Lenet5(), (1, 28, 28), True),
        (Vgg11(norm="batch"), (3, 32, 32), True),
        (Resnet20(skip=False), (3, 8, 8), True),  # blocks are sequences
        (Resnet20(), (3, 8, 8), False),
        (Mlp(hidden=(11, 3), norm="layer"), (7,), False),
        (Mlp(hidden=(11, 3), norm="weight"), (7,), False),
        (Vit(depth=1, width=8, heads=2, patch=2), (1, 4, 4), False),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_where_it_applies(model: Model, shape: tuple[int, ...], applies: bool) -> None:
    module = _built(model, shape)
    left = masks.ones({n: p[None] for n, p in module.named_parameters()}, masks.prunable(module))
    found = connectivity.effective(module, left)
    assert (found is not None) == applies
    if found is not None:
        assert all(mask.all() for mask in found.values())


def test_groups_and_skips_do_not() -> None:
    grouped = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 3))
    skipped = nn.Sequential(nn.Linear(5, 5), Skip(nn.Sequential(nn.Linear(5, 5))), nn.Linear(5, 3))
    for module in (grouped, skipped):
        left = {"2.weight": torch.ones(1, 3, module[2].weight.shape[1], dtype=torch.bool)}
        assert connectivity.effective(module, left) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_leave_what_bools_leave_and_make_plus_zero_of_the_rest(dtype: torch.dtype) -> None:
    values = [1.5, -1.5, 0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40]
    tree = {"a": torch.tensor([values, values], dtype=dtype)}
    left = {"a": torch.tensor([[True] * 8, [False] * 8])}
    whole, gone = masks.masked(tree, masks.bits(left, tree))["a"]
    integers = torch.int32 if dtype == torch.float32 else torch.int64
    assert whole.view(integers).equal(tree["a"][0].view(integers))
    assert not gone.view(integers).any()

"""Scores against their definitions, one lane of plain PyTorch at a time, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.curvature.objective import MEAN_LOSSES, Objective
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import Tree, derive, select
from trainables.losses import LOSSES
from trainables.pruning import connectivity, masks
from trainables.pruning.criteria import CRITERIA, ITERATIONS, Evidence, prune, synflow

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
SMOOTH = Mlp(hidden=(11, 3), activation="tanh")
NORMED = Mlp(hidden=(11, 3), norm="batch", activation="tanh")
CNN = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3})


def _evidence(
    make_run: Maker, data: DataSet, model: Any = SMOOTH, seeds: tuple[int, ...] = (3, 5, 3)
) -> Evidence:
    """Lanes trained a little, with masks that differ; the last is dense."""
    runs = [
        make_run(seed=s, model=model, train={"steps": 9, "precision": "float64"}) for s in seeds
    ]
    stack = Stack(runs, Arrays.of(data, CPU, torch.float64))
    initial = dict(stack.params)
    names = masks.prunable(stack.network.module)
    generator = torch.Generator().manual_seed(7)
    left = {
        name: torch.rand(initial[name].shape, generator=generator)
        < torch.tensor([0.6, 0.8, 1.0]).view(-1, *[1] * (initial[name].dim() - 1))
        for name in names
    }
    stack.load_state_dict(masks.with_masks(stack.state_dict(), left))
    stack.advance(4)
    objective = Objective(stack.network, stack.buffers, stack.batch(4), "cross_entropy")
    return Evidence(
        params=stack.params, initial=initial, masks=left, seeds=seeds, level=2, objective=objective
    )


def _lane(evidence: Evidence, lane: int) -> Evidence:
    index, objective = torch.tensor([lane]), evidence.objective
    batch = objective.batch
    own = batch._replace(x=batch.x[[lane]], targets=batch.targets[[lane]], keys=batch.keys[[lane]])
    return dataclasses.replace(
        evidence,
        **{n: select(getattr(evidence, n), index) for n in ("params", "initial", "masks")},
        seeds=[evidence.seeds[lane]],
        objective=objective._replace(buffers=select(objective.buffers, index), batch=own),
    )


class Lane:
    """What a definition is written with: a module, one batch, tensors without lanes."""

    def __init__(self, evidence: Evidence, lane: int) -> None:
        def of(tree: Mapping[str, Tensor]) -> Tree:
            return {name: tensor[lane].clone() for name, tensor in tree.items()}

        self.module = evidence.objective.network.module
        self.w, self.w0 = of(evidence.params), of(evidence.initial)
        self.masks, self.buffers = of(evidence.masks), of(evidence.objective.buffers)
        self.x = evidence.objective.batch.x[lane]
        self.y = evidence.objective.batch.targets[lane]
        self.seed, self.level = evidence.seeds[lane], evidence.level

    def loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        self.module.train()
        buffers = {name: b.clone() for name, b in self.buffers.items()}
        found = functional_call(self.module, (self.w | dict(weights), buffers), (self.x,))
        return F.cross_entropy(found, self.y)

    def flat_loss(self, flat: Tensor) -> Tensor:
        return self.loss(self.unflat(flat))

    def flat(self) -> Tensor:
        return torch.cat([self.w[name].flatten() for name in self.masks])

    def unflat(self, flat: Tensor) -> Tree:
        parts = torch.split(flat, [mask.numel() for mask in self.masks.values()])
        return {n: p.view(m.shape) for p, (n, m) in zip(parts, self.masks.items(), strict=True)}


def _snip(lane: Lane) -> Tree:
    """|∂f(c ⊙ w)/∂c| at c = 1, by autograd through c."""
    c = {name: torch.ones_like(lane.w[name], requires_grad=True) for name in lane.masks}
    lane.loss({name: c[name] * lane.w[name] for name in c}).backward()
    return {name: factor.grad.abs() for name, factor in c.items() if factor.grad is not None}


def _grasp(lane: Lane) -> Tree:
    """−S, S = −w ⊙ Hg, with all of H, of the weights that are left."""
    flat, left = lane.flat(), torch.cat([mask.flatten() for mask in lane.masks.values()])
    hessian = torch.autograd.functional.hessian(lane.flat_loss, flat)
    start = flat.clone().requires_grad_()
    (g,) = torch.autograd.grad(lane.flat_loss(start), start)
    s = torch.zeros_like(flat)
    s[left] = -flat[left] * (hessian[left][:, left] @ g[left])
    return lane.unflat(-s)


def _synflow(lane: Lane) -> Tree:
    """∂R/∂|w| ⊙ |w|, R = Σ outputs for ones of the module with |w| in place of w."""

    def total(weights: Mapping[str, Tensor]) -> Tensor:
        lane.module.eval()
        buffers = {
            name: torch.zeros_like(b) if "mean" in name else torch.ones_like(b)
            for name, b in lane.buffers.items()
        }
        ones = torch.ones_like(lane.x[:1])
        return functional_call(lane.module, (dict(weights), buffers), (ones,)).sum()

    leaves = {name: w.abs().requires_grad_() for name, w in lane.w.items()}
    total(leaves).backward()
    return {n: leaves[n].grad * lane.w[n].abs() for n in lane.masks if leaves[n].grad is not None}


def _random(lane: Lane) -> Tree:
    found = {}
    for name, mask in lane.masks.items():
        generator = torch.Generator().manual_seed(derive(lane.seed, "prune", lane.level, name))
        found[name] = torch.rand(mask.shape, generator=generator, dtype=torch.float64)
    return found


DEFINITIONS: dict[str, Callable[[Lane], Tree]] = {
    "magnitude": lambda lane: {n: lane.w[n].abs() for n in lane.masks},
    "magnitude_increase": lambda lane: {n: lane.w[n].abs() - lane.w0[n].abs() for n in lane.masks},
    "movement": lambda lane: {n: (lane.w[n] - lane.w0[n]).abs() for n in lane.masks},
    "random": _random,
    "snip": _snip,
    "grasp": _grasp,
    "synflow": _synflow,
}


@pytest.mark.parametrize("model", [SMOOTH, NORMED], ids=["chain", "norm"])
@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_scores_equal_their_definition(
    make_run: Maker, small_data: DataSet, name: str, model: Any
) -> None:
    evidence = _evidence(make_run, small_data, model)
    scores = CRITERIA[name](evidence)
    assert scores.keys() == evidence.masks.keys()
    for lane in range(3):
        for key, expected in DEFINITIONS[name](Lane(evidence, lane)).items():
            left = evidence.masks[key][lane]
            torch.testing.assert_close(
                scores[key][lane][left], expected[left], rtol=1e-9, atol=1e-13
            )


@pytest.mark.parametrize("model", [SMOOTH, NORMED, CNN], ids=["chain", "norm", "cnn"])
@pytest.mark.parametrize("scope", ["layerwise", "global"])
@pytest.mark.parametrize("name", CRITERIA)
def test_a_lane_is_pruned_as_alone(
    make_run: Maker, small_data: DataSet, name: str, scope: Any, model: Any
) -> None:
    evidence = _evidence(make_run, small_data, model)
    rates = torch.tensor([0.2, 0.5, 0.35], dtype=torch.float64)
    found = prune(name, scope, evidence, rates, iterations=3)
    scores = CRITERIA[name](evidence)
    for lane in range(3):
        alone = _lane(evidence, lane)
        own = prune(name, scope, alone, rates[[lane]], iterations=3)
        for key, expected in CRITERIA[name](alone).items():
            torch.testing.assert_close(scores[key][lane], expected[0], rtol=1e-10, atol=1e-13)
            assert own[key][0].equal(found[key][lane])
            assert not (found[key][lane] & ~evidence.masks[key][lane]).any()
    left = [masks.remaining(m) for m in (evidence.masks, found)]
    for lane, rate in enumerate(rates.tolist()):
        before, after = ({n: int(c[lane]) for n, c in counts.items()} for counts in left)
        if scope == "global":
            total = sum(before.values())
            assert sum(after.values()) == total - round(rate * total)
        else:
            assert after == {n: c - round(rate * c) for n, c in before.items()}


def test_the_output_layer_has_a_rate_of_its_own(make_run: Maker, small_data: DataSet) -> None:
    evidence = _evidence(make_run, small_data)
    rate = torch.full((3,), 0.4, dtype=torch.float64)
    found = masks.remaining(prune("magnitude", "layerwise", evidence, rate, rate / 2))
    before = masks.remaining(evidence.masks)
    for name, own in {"0.weight": 0.4, "2.weight": 0.4, "4.weight": 0.2}.items():
        assert found[name].tolist() == [n - round(own * n) for n in before[name].tolist()]
    with pytest.raises(ValueError, match="output_rate goes with layerwise pruning"):
        prune("magnitude", "global", evidence, rate, rate / 2)


def test_grasps_score_says_what_removing_a_weight_does(
    make_run: Maker, small_data: DataSet
) -> None:
    """To first order, ‖g‖² changes by 2 S = −2 score when w goes: by differences, sign and all."""
    evidence = _evidence(make_run, small_data)
    scores = CRITERIA["grasp"](evidence)
    lane = Lane(evidence, 2)  # dense

    def square(weights: Tree) -> float:
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        found = torch.autograd.grad(lane.loss(leaves), list(leaves.values()))
        return float(sum(g.square().sum() for g in found))

    own = {name: lane.w[name] for name in lane.masks}
    for place in [(0, 0), (2, 4), (1, 7)]:
        ends = []
        for step in (1e-5, -1e-5):
            moved = own | {"2.weight": own["2.weight"].clone()}
            moved["2.weight"][place] *= 1 - step
            ends.append(square(moved))
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx(-2 * scores["2.weight"][2][place].item(), rel=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_synflow_conserves_what_flows(make_run: Maker, small_data: DataSet, bias: bool) -> None:
    """Tanaka et al. 2020, theorems 1 and 2: into each unit as out of it; R through each layer."""
    model = Mlp(hidden=(11, 3, 5), bias=bias, init="torch")
    evidence = _evidence(make_run, small_data, model)
    scores = [*synflow(evidence).values()]
    for lane in range(3):
        w = [evidence.params[name][lane].abs() for name in evidence.masks]
        b = [evidence.params.get(name.replace("weight", "bias")) for name in evidence.masks]
        x, inputs = torch.ones(7, dtype=torch.float64), []
        for weight, shift in zip(w, b, strict=True):
            inputs.append(x)
            x = weight @ x + (0 if shift is None else shift[lane].abs())
        back, after = torch.ones(5, dtype=torch.float64), []
        for weight in reversed(w):
            after.insert(0, back)
            back = weight.T @ back
        of_biases = torch.zeros((), dtype=torch.float64)
        for layer in reversed(range(4)):
            own = after[layer].outer(inputs[layer]) * w[layer]  # in closed form
            torch.testing.assert_close(scores[layer][lane], own, rtol=1e-12, atol=0)
            shift = b[layer]
            unit = scores[layer][lane].sum(1)
            if shift is not None:
                unit = unit + shift[lane].abs() * after[layer]
                of_biases += (shift[lane].abs() * after[layer]).sum()
            if layer < 3:
                out = scores[layer + 1][lane].sum(0)
                torch.testing.assert_close(unit, out, rtol=1e-12, atol=0)
            cut = scores[layer][lane].sum() + of_biases
            torch.testing.assert_close(cut, x.sum(), rtol=1e-12, atol=0)


def test_no_layer_collapses_before_99_percent(make_run: Maker, small_data: DataSet) -> None:
    """Where magnitude and one shot of SNIP lose a layer, iterated SynFlow keeps paths in all."""
    model = Mlp(hidden=(31, 37, 29, 3, 23), bias=False)
    runs = [make_run(seed=s, model=model, train={"steps": 9}) for s in (3, 5)]
    stack = Stack(runs, Arrays.of(small_data, CPU, torch.float32))
    names = masks.prunable(stack.network.module)
    params = dict(stack.params) | {"4.weight": stack.params["4.weight"] / 100}
    objective = Objective(stack.network, {}, stack.batch(0), "cross_entropy")
    evidence = Evidence(
        params=params,
        initial=params,
        masks=masks.ones(params, names),
        seeds=(3, 5),
        level=0,
        objective=objective,
    )
    total = sum(mask[0].numel() for mask in evidence.masks.values())
    assert ITERATIONS["synflow"] == 100
    for sparsity in (0.9, 0.95, 0.98, 0.99):
        rate = torch.full((2,), sparsity, dtype=torch.float64)
        found = prune("synflow", "global", evidence, rate)
        assert not masks.collapsed(found).any()
        kept = sum(masks.remaining(found).values())
        assert kept.tolist() == [total - round(sparsity * total)] * 2
        paths = connectivity.effective(stack.network.module, found)
        assert paths is not None
        assert not masks.collapsed(paths).any()
        alive = masks.density_in_all(paths) / masks.density_in_all(found)
        assert (alive > 0.9).all(), "what is kept is on paths"
    assert masks.collapsed(prune("magnitude", "global", evidence, rate)).all()
    assert masks.collapsed(prune("snip", "global", evidence, rate)).any()


def test_shares_of_the_iterations_are_exponential(
    make_run: Maker, small_data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alg. 1: after the k-th of n, the share ρ^(k/n) is left, scored with the weights left."""
    evidence = _evidence(make_run, small_data)
    seen: list[int] = []

    def left(of: Tree) -> int:
        return sum(int(count[2]) for count in masks.remaining(of).values())

    def noting(given: Evidence) -> Tree:
        seen.append(left(given.masks))
        for name, mask in given.masks.items():
            assert not given.params[name][~mask].any(), "scored without what has gone"
        return synflow(given)

    monkeypatch.setitem(CRITERIA, "synflow", noting)
    rate = torch.full((3,), 0.9, dtype=torch.float64)
    found = prune("synflow", "global", evidence, rate, iterations=5)
    total = seen[0]
    assert [*seen, left(found)] == [total - round((1 - 0.1 ** (k / 5)) * total) for k in range(6)]


def test_random_masks_are_the_seeds_and_the_levels(make_run: Maker, small_data: DataSet) -> None:
    evidence = _evidence(make_run, small_data)
    full = dataclasses.replace(evidence, masks=masks.ones(evidence.params, [*evidence.masks]))
    rate = torch.full((3,), 0.5, dtype=torch.float64)
    found = prune("random", "global", full, rate)
    later = prune("random", "global", dataclasses.replace(full, level=3), rate)
    first = found["0.weight"]
    assert first[0].equal(first[2])  # one seed
    assert not first[0].equal(first[1])
    assert not later["0.weight"].equal(first)
    share = masks.density(found)["0.weight"]
    assert not share.equal(torch.full((3,), 0.5, dtype=torch.float64))
    assert 0.2 < masks.overlap({"": first[:1]}, {"": first[1:2]}).item() < 0.45  # ⅓ by chance


@pytest.mark.parametrize("name", MEAN_LOSSES)
def test_losses_are_those_that_train(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    places = [(3, 7), (3, 7, 2)] if name == "cross_entropy" else [(3, 7)]
    for shape in places:
        outputs = 1 if name == "logistic" else 5
        z = torch.randn(*shape, outputs, generator=generator, dtype=torch.float64)
        y = torch.randint(0, max(2, outputs), shape, generator=generator)
        real = name in ("quadratic", "bernoulli")
        targets = torch.rand(z.shape, generator=generator).double() if real else y
        value = LOSSES[name](z, targets)
        leaf = z.clone().requires_grad_()
        found = MEAN_LOSSES[name](leaf, targets)
        torch.testing.assert_close(found, value.losses.mean(1), rtol=1e-12, atol=1e-14)
        (gradient,) = torch.autograd.grad(found.sum(), leaf)
        torch.testing.assert_close(gradient, value.gradient, rtol=1e-12, atol=1e-14)
    assert MEAN_LOSSES.keys() == LOSSES.keys()


def test_tokens_have_no_one(make_run: Maker, small_data: DataSet) -> None:
    evidence = _evidence(make_run, small_data)
    batch = evidence.objective.batch
    tokens = evidence.objective._replace(batch=batch._replace(x=batch.x.long()))
    with pytest.raises(ValueError, match="synflow needs inputs that are real numbers"):
        synflow(dataclasses.replace(evidence, objective=tokens))


def test_nothing_given_is_changed(make_run: Maker, small_data: DataSet) -> None:
    for model in (SMOOTH, NORMED):
        evidence = _evidence(make_run, small_data, model)
        trees = [evidence.params, evidence.initial, evidence.masks, evidence.objective.buffers]
        before = [{name: t.clone() for name, t in tree.items()} for tree in trees]
        for name in CRITERIA:
            prune(name, "global", evidence, torch.full((3,), 0.5, dtype=torch.float64))
        for tree, copy in zip(trees, before, strict=True):
            assert all(t.equal(copy[n]) and not t.requires_grad for n, t in tree.items())

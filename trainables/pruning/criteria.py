"""What weights are pruned by: a score for each weight of each lane; the highest stay.

Each criterion is a pure function of the evidence, lane by lane. Scores of weights that are masked
already mean nothing: they stay masked (``selection``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from trainables.curvature.objective import Objective, gradient, gradient_of, hessian_of_gradient
from trainables.forward import outputs
from trainables.lanes import Tree, derive
from trainables.pruning.masks import masked, remaining
from trainables.pruning.selection import layerwise, overall, staying

Scope = Literal["layerwise", "global"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a criterion may look at, (L, …) each."""

    params: Tree
    """The weights now: after training, or the first ones where pruning is at initialization."""
    initial: Tree
    """The weights that training began with."""
    masks: Tree
    seeds: Sequence[int]
    """Each lane's run seed."""
    level: int
    """How many prunings went before: random criteria draw anew at each."""
    objective: Objective
    """Each lane's loss of a batch."""


Criterion = Callable[[Evidence], Tree]
"""Evidence → scores by the names of the masks."""


def magnitude(evidence: Evidence) -> Tree:
    """|w|: what is small after training goes (Han et al. 2015; Frankle & Carbin 2019)."""
    return {name: evidence.params[name].abs() for name in evidence.masks}


def magnitude_increase(evidence: Evidence) -> Tree:
    """|w| − |w₀|: what has not grown goes (Zhou et al. 2019, table 1)."""
    params, initial = evidence.params, evidence.initial
    return {name: params[name].abs() - initial[name].abs() for name in evidence.masks}


def movement(evidence: Evidence) -> Tree:
    """|w − w₀|: what has not moved goes (Zhou et al. 2019, table 1)."""
    params, initial = evidence.params, evidence.initial
    return {name: (params[name] - initial[name]).abs() for name in evidence.masks}


def random(evidence: Evidence) -> Tree:
    """Uniform numbers of the run's seed, the level and the layer. Layerwise, this is balanced:
    each layer loses its share; globally, a layer may lose more or less by chance.
    """

    def drawn(name: str, like: Tensor) -> Tensor:
        lanes = []
        for seed in evidence.seeds:
            generator = torch.Generator()
            generator.manual_seed(derive(seed, "prune", evidence.level, name))
            lanes.append(torch.rand(like.shape[1:], generator=generator, dtype=torch.float64))
        return torch.stack(lanes).to(like.device)

    return {name: drawn(name, mask) for name, mask in evidence.masks.items()}


def snip(evidence: Evidence) -> Tree:
    """|∂f/∂c| at c = 1, the weights being c ⊙ w: |g ⊙ w|, g = ∂f/∂w of a batch.

    Lee, Ajanthan & Torr 2019, equations 5 and 6, without the division by the sum over all
    weights, which changes no order.
    """
    found = gradient(evidence.objective, evidence.params, [*evidence.masks])
    return {name: (g * evidence.params[name]).abs() for name, g in found.items()}


def grasp(evidence: Evidence) -> Tree:
    """w ⊙ Hg, H and g of a batch by the weights that are left.

    Wang, Zhang & Grosse 2020, equation 8: S(−w) = −w ⊙ Hg is by how much, up to a factor of 2,
    ‖g‖² changes when w is removed. What raises it most goes first, so what stays is highest by −S.
    Deviation: logits are not divided by the temperature of the authors' code (200).
    """
    found = hessian_of_gradient(evidence.objective, evidence.params, evidence.masks)
    return {name: evidence.params[name] * h for name, h in found.items()}


def synflow(evidence: Evidence) -> Tree:
    """∂R/∂w ⊙ w of R = the sum of outputs for an input of ones, all weights replaced by |w|.

    Tanaka, Kunin, Yamins & Ganguli 2020, algorithm 1; no data. As in the authors' code all
    parameters are replaced, biases too, and the network keeps its activations and
    normalizations, in evaluation mode. Where these are of degree one (relu, none; batch
    normalization with its first statistics, 0 and 1, which are put in) scores are conserved:
    what goes into a unit goes out, and each layer's scores sum to R where there are no biases.
    In float64: the outputs of deep networks overflow.

    Raises:
        ValueError: inputs are tokens, for which there is no 1.
    """
    network, batch = evidence.objective.network, evidence.objective.batch
    if not batch.x.is_floating_point():
        raise ValueError("synflow needs inputs that are real numbers; these are tokens")
    double = {name: p.to(torch.float64).abs() for name, p in evidence.params.items()}
    leaves = {name: double[name].requires_grad_() for name in evidence.masks}
    buffers = {name: _first_statistic(name, b) for name, b in evidence.objective.buffers.items()}
    x = torch.ones_like(batch.x[0, :1], dtype=torch.float64)
    exact = dataclasses.replace(network, low=None)
    with torch.enable_grad():
        total = outputs(exact, double | leaves, buffers, x).sum()
        found = gradient_of(total, leaves)
    return {name: g * leaves[name].detach() for name, g in found.items()}


def _first_statistic(name: str, buffer: Tensor) -> Tensor:
    if name.endswith("running_mean"):
        return torch.zeros_like(buffer, dtype=torch.float64)
    if name.endswith("running_var"):
        return torch.ones_like(buffer, dtype=torch.float64)
    return buffer.to(torch.float64) if buffer.is_floating_point() else buffer


CRITERIA: dict[str, Criterion] = {
    "magnitude": magnitude,
    "magnitude_increase": magnitude_increase,
    "movement": movement,
    "random": random,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}
ITERATIONS = {"synflow": 100}
"""In how many steps a criterion prunes, where it is more than one (Tanaka et al. 2020)."""


def prune(
    name: str,
    scope: Scope,
    evidence: Evidence,
    rate: Tensor,
    output_rate: Tensor | None = None,
    iterations: int | None = None,
    layer_rates: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tree:
    """Masks after one pruning by the criterion of this name.

    In n iterations, the share left after the k-th is (1 − rate)^(k/n) (Tanaka et al. 2020,
    algorithm 1), and each scores anew what the one before has left.

    Args:
        rate: the share of the weights left that goes, (L,).
        output_rate: that of the last layer, (L,), where it is another; Frankle & Carbin 2019
            take half of ``rate``.
        iterations: ``ITERATIONS`` unless given.
        layer_rates: those of other layers with rates of their own, (L,) each.

    Raises:
        ValueError: layers compete, and yet one is to have a rate of its own.
    """
    if scope == "global" and (output_rate is not None or layer_rates):
        raise ValueError("output_rate goes with layerwise pruning: globally, layers compete")
    masks, steps = evidence.masks, iterations or ITERATIONS.get(name, 1)
    rates = dict.fromkeys(masks, rate)
    if output_rate is not None:
        rates[[*masks][-1]] = output_rate
    rates |= layer_rates
    start = remaining(masks)
    for step in range(1, steps + 1):
        left = dataclasses.replace(evidence, masks=masks, params=masked(evidence.params, masks))
        scores = CRITERIA[name](left)
        shares = {
            n: r if step == steps else 1 - (1 - r) ** (step / steps) for n, r in rates.items()
        }
        if scope == "global":
            count = torch.stack([*start.values()]).sum(0)
            masks = overall(scores, masks, staying(count, shares[next(iter(shares))]))
        else:
            keep = {n: staying(start[n], share) for n, share in shares.items()}
            masks = layerwise(scores, masks, keep)
    return masks

"""Random numbers of a step for estimates of curvature, and targets drawn from a model.

They are pure functions of a lane's key of the step (``Batch.keys``) and a number of the call, as
dropout's are: the same packed, solo, resumed, and on any device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.lanes import Tree, uniform

_FIRST_CALL = 1 << 20
"""Calls below are dropout's."""
_BITS = 24
"""Of a uniform number: so many signs, for a tenth of the time that a number each would take."""


def numbers(keys: Tensor, call: int, shape: tuple[int, ...]) -> Tensor:
    """Uniform in (0, 1), (L, *shape) float32, of each lane's own."""
    wide = keys.view(-1, *[1] * len(shape))
    return uniform(wide, _FIRST_CALL + call, shape) + 2.0**-25


def signs(params: Tree, keys: Tensor, call: int) -> Tree:
    """±1 with equal chances (Rademacher), like the parameters.

    Args:
        call: two calls of a step with different numbers are independent; a call takes as many
            numbers from here on as there are parameters.
    """
    found = {}
    places = torch.arange(_BITS, dtype=torch.int32, device=keys.device)
    for index, (name, param) in enumerate(params.items()):
        count = param[0].numel()
        words = uniform(keys.view(-1, 1), _FIRST_CALL + call + index, (-(-count // _BITS),))
        whole = (words * 2.0**_BITS).to(torch.int32)
        bits = (whole.unsqueeze(-1) >> places & 1).flatten(1)[:, :count]
        found[name] = (2 * bits - 1).to(param.dtype).view(param.shape)
    return found


def probabilities(z: Tensor) -> Tensor:
    """softmax(z) over the last dimension; of few classes in a third of ``torch.softmax``'s time."""
    exponentials = (z - z.amax(-1, keepdim=True)).exp_()
    return exponentials.div_(exponentials.sum(-1, keepdim=True))


def _classes(z: Tensor, draws: Tensor) -> Tensor:
    """y ~ softmax(z), by its distribution function: (L, B, …) int64."""
    below = probabilities(z).cumsum(-1) < draws
    return below.sum(-1).clamp(max=z.shape[-1] - 1)


def _two_classes(z: Tensor, draws: Tensor) -> Tensor:
    """y ~ Bernoulli(σ(z)), (L, B) int64."""
    return (draws.squeeze(-1) < z.squeeze(-1).sigmoid()).to(torch.int64)


def _pixels(z: Tensor, draws: Tensor) -> Tensor:
    """y ~ Bernoulli(σ(z)) for each output, like z."""
    return (draws < z.sigmoid()).to(z.dtype)


def _normal(z: Tensor, draws: Tensor) -> Tensor:
    """y ~ N(z, I), by the inverse distribution function: like z."""
    return z + 2**0.5 * torch.erfinv(2 * draws.to(z.dtype) - 1)


DRAWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _classes,
    "logistic": _two_classes,
    "quadratic": _normal,
    "bernoulli": _pixels,
}
"""Loss → (outputs z (L, B, …, C), uniform numbers like z, or for classes (L, B, …, 1)) → targets of
the distribution whose negative log-likelihood the loss is."""


def drawn(loss: str, outputs: Tensor, keys: Tensor, call: int) -> Tensor:
    """Targets as the model with these outputs would have them."""
    shape = tuple(outputs.shape[1:])
    if loss == "cross_entropy":
        shape = (*shape[:-1], 1)  # one number tells a class
    return DRAWN[loss](outputs, numbers(keys, call, shape))

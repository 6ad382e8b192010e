"""Controls in the place of a ticket: other first weights, or its mask at other places.

All are pure: nothing given is changed. Masks are applied afterwards (``masks.with_masks``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables import models
from trainables.configs.run import RunConfig
from trainables.lanes import Tree, derive


def reinitialized(
    runs: Sequence[RunConfig],
    input_shape: Sequence[int],
    outputs: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tree:
    """Other first weights of the runs' model, from the distribution that theirs came from.

    The control of Frankle & Carbin 2019: the mask is kept, the initialization is not. Drawn from
    ``derive(seed, "reinitialized")``: a run's data order, dropout and augmentation stay its own.
    """
    drawn = [dataclasses.replace(run, seed=derive(run.seed, "reinitialized")) for run in runs]
    _, params, _ = models.build_lanes(drawn, input_shape, outputs, device, dtype)
    return params


def with_signs(fresh: Tree, of: Mapping[str, Tensor], names: Sequence[str]) -> Tree:
    """|fresh| with the signs of other weights, for the parameters of these names.

    Zhou, Lan, Liu & Yosinski 2019, section 4: a ticket's signs may be all that it needs of its
    initialization. ``of`` are the first weights before they were masked; where one is 0 (or −0),
    its bit of the sign counts.
    """
    signed = {name: torch.copysign(fresh[name], of[name]) for name in names}
    return {name: signed.get(name, tensor) for name, tensor in fresh.items()}


def shuffled(masks: Mapping[str, Tensor], seeds: Sequence[int], level: int) -> Tree:
    """Masks with as many weights left in each layer, at other places of it.

    Frankle et al. 2021 (arXiv 2009.08576, "layerwise shuffle"). The order is drawn from
    (seed, level, layer) in each lane.
    """

    def moved(name: str, mask: Tensor) -> Tensor:
        flat = mask.flatten(1)
        orders = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive(seed, "shuffle", level, name))
            orders.append(torch.randperm(flat.shape[1], generator=generator))
        return flat.gather(1, torch.stack(orders).to(flat.device)).view(mask.shape)

    return {name: moved(name, mask) for name, mask in masks.items()}

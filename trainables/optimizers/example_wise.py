"""What networks have no gradients of single examples."""

from __future__ import annotations

from torch import nn

from trainables.forward import Network


def refuse_batch_norm(network: Network, what: str, instead: str) -> None:
    """
    Args:
        what: needs gradients of examples.
        instead: what to write in a study.

    Raises:
        ValueError: the network has batch normalization.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.module.modules()):
        raise ValueError(
            f"{what} is of gradients of single examples, which batch normalization has none of;"
            f" use {instead}"
        )

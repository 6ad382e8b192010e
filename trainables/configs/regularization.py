"""What a study may ask of training beside an optimizer: averaged weights, augmented images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from trainables.configs.base import Bound, Config, Duration, Epochs

Pixels = Annotated[int, Bound(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Swa(Config):
    """Stochastic weight averaging (Izmailov et al. 2018): what is evaluated is the equal average
    of the weights at ``start`` and every ``every`` from then on; before, the weights themselves."""

    start: Duration = 0.75
    every: Duration = Epochs(epochs=1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment(Config):
    """Random changes of training images, drawn from the run's seed and the step; 0: none.

    In this order: shifted, flipped, cut. Evaluation sees images as they are.
    """

    crop: Pixels = 0
    """Images are padded with so many zeros on each side and cropped to their size at a random
    place (He et al. 2016)."""
    flip: bool = False
    """Every second image, at random, is mirrored left to right. Digits do not bear it."""
    cutout: Pixels = 0
    """Side of a square of zeros around a random pixel, clipped at the border (DeVries & Taylor
    2017)."""

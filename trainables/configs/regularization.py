"""What a study may ask of training beside an optimizer: averages, augmentation, growth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from trainables.configs.base import Bound, Config, Count, Duration, Epochs

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


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchGrowth(Config):
    """Larger batches in place of a smaller learning rate (Smith, Kindermans, Ying & Le 2018):
    multiplied by ``factor`` at each of the milestones.

    A step takes whole batches of ``batch_size`` examples, as many as are left of its epoch where
    those are fewer. Durations in steps count batches of ``batch_size``, so that all durations
    are of examples seen, whatever the size.
    """

    milestones: tuple[Duration, ...] = (0.3, 0.6, 0.8)
    factor: Annotated[int, Bound(ge=2)] = 2
    largest: Count | None = None
    """The most examples in one step."""

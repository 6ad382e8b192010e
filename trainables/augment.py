"""Random changes of training images: functions of a key and a place in the batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainables.configs.regularization import Augment
from trainables.lanes import uniform


class Draws(NamedTuple):
    """What is drawn for every example: integers (S, B), and ``flip`` bool (S, B)."""

    down: Tensor
    """Rows by which an image moves up, −crop to crop: row 0 then shows what was row ``down``."""
    right: Tensor
    """The same for columns."""
    flip: Tensor
    row: Tensor
    """The center of what is cut."""
    column: Tensor


def draw(config: Augment, keys: Tensor, batch: int, height: int, width: int) -> Draws:
    """Draws for S batches of images.

    Each purpose has a stream of its own, so that switching one on changes no other.

    Args:
        keys: int64 (S,), of a seed and a step.
    """
    key = keys.unsqueeze(1)  # meets the examples (B,)

    def integers(call: int, count: int) -> Tensor:
        return (uniform(key, call, (batch,)).to(torch.float64) * count).to(torch.int64)

    places = 2 * config.crop + 1
    return Draws(
        integers(0, places) - config.crop,
        integers(1, places) - config.crop,
        integers(2, 2) == 1,
        integers(3, height),
        integers(4, width),
    )


def augment(images: Tensor, config: Augment, keys: Tensor) -> Tensor:
    """Images (S, B, C, H, W), each shifted, flipped and cut at random; ``images`` are unchanged.

    Shift: a crop at a uniform place out of the image with n zeros around it (He et al. 2016,
    section 4.2). Zero is the mean pixel of the training split, as inputs are standardized.
    Cutout: zeros in rows [r − ⌊n/2⌋, r − ⌊n/2⌋ + n) and columns likewise, with (r, c) uniform over
    pixels, so that a part of the square may lie outside (DeVries & Taylor 2017). Deviation: their
    code cuts 2⌊n/2⌋ pixels, which is one less where n is odd.
    """
    height, width = images.shape[-2:]
    drawn = draw(config, keys, images.shape[1], height, width)
    rows = torch.arange(height, device=images.device).view(height, 1)
    columns = torch.arange(width, device=images.device)
    if config.crop or config.flip:
        images = _moved(images, config, drawn, rows, columns)
    if config.cutout:
        cut = _within(rows, drawn.row, config.cutout) & _within(
            columns, drawn.column, config.cutout
        )
        images = images.masked_fill(cut.unsqueeze(2), 0.0)
    return images


def _moved(images: Tensor, config: Augment, drawn: Draws, rows: Tensor, columns: Tensor) -> Tensor:
    """Shifted, then flipped: one gather, with zeros for what lies outside."""
    height, width = images.shape[-2:]
    source = columns
    if config.flip:
        source = torch.where(_each(drawn.flip), width - 1 - columns, columns)
    source = source + _each(drawn.right)  # (S, B, 1, W)
    above = rows + _each(drawn.down)  # (S, B, H, 1)
    inside = (source >= 0) & (source < width) & (above >= 0) & (above < height)
    place = above.clamp(0, height - 1) * width + source.clamp(0, width - 1)  # (S, B, H, W)
    flat = images.flatten(3)
    found = flat.gather(3, place.flatten(2).unsqueeze(2).expand_as(flat)).view_as(images)
    return found.masked_fill(~inside.unsqueeze(2), 0.0) if config.crop else found


def _within(position: Tensor, center: Tensor, side: int) -> Tensor:
    first = _each(center) - side // 2
    return (position >= first) & (position < first + side)


def _each(values: Tensor) -> Tensor:
    """Numbers of examples (S, B), to meet their pixels (S, B, H, W)."""
    return values[..., None, None]

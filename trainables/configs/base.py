"""Building blocks of configurations: the base class, bounds, durations. Imports no torch.

Configurations are plain frozen dataclasses, so the engine runs where only PyTorch is
installed; the orchestrator validates them with pydantic through the two hooks below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Base of every configuration: frozen, keyword-only, unknown keys refused."""

    # Read by pydantic; a field that an algorithm does not use cannot be written.
    __pydantic_config__: ClassVar[Mapping[str, object]] = MappingProxyType(
        {"extra": "forbid", "use_attribute_docstrings": True}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A range of allowed numbers, for ``Annotated``; pydantic checks it, torch never sees it."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        bounds = {
            key: value for key, value in dataclasses.asdict(self).items() if value is not None
        }
        schema = handler(source)
        finite = {"allow_inf_nan": False} if schema["type"] == "float" else {}
        return schema | bounds | finite


Positive = Annotated[float, Bound(gt=0)]
NonNegative = Annotated[float, Bound(ge=0)]
Fraction = Annotated[float, Bound(ge=0, lt=1)]
"""A number in [0, 1): momentum, decay rates, shares of training."""
PositiveFraction = Annotated[float, Bound(gt=0, le=1)]
Count = Annotated[int, Bound(ge=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps(Config):
    """A duration in optimizer steps."""

    steps: Annotated[int, Bound(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Epochs(Config):
    """A duration in passes over the training set."""

    epochs: Annotated[float, Bound(ge=0)]


Duration = Annotated[float, Bound(ge=0, le=1)] | Steps | Epochs
"""A share of training in [0, 1], or ``{steps: n}``, or ``{epochs: n}``."""


ENDLESS = 2**62
"""Steps that no training has: what a longer duration counts as."""


def steps_in(duration: Duration, *, total_steps: int, steps_per_epoch: int) -> int:
    """``duration`` in whole optimizer steps (a share or epochs is rounded to the nearest)."""
    if isinstance(duration, Steps):
        return min(duration.steps, ENDLESS)
    if isinstance(duration, Epochs):
        return round(min(duration.epochs * steps_per_epoch, ENDLESS))
    return round(duration * total_steps)


Precision = Literal["float32", "float64", "tf32", "bfloat16", "float16"]
"""``tf32``: matrix products of float32 on a GPU's TF32 units. ``bfloat16`` and ``float16``:
products in that type, the rest and the weights in float32 (Micikevicius et al. 2018);
``float16`` with loss scaling."""


def to_plain(value: Any) -> Any:
    """A configuration as dicts, lists and scalars: what JSON and YAML can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value

"""Data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from trainables.configs.base import Bound, Config, Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Split(Config):
    """How examples are divided: the split has a seed of its own, shared by all runs."""

    valid: Fraction = 0.15
    """Share of all examples held out for validation."""
    test: Fraction = 0.2
    """Share of all examples held out for testing."""
    split_seed: Annotated[int, Bound(ge=0)] = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits(Split):
    """1,797 handwritten digits of 8×8 pixels that come with scikit-learn (10 classes)."""

    name: Literal["digits"] = "digits"

    examples: ClassVar[int] = 1797
    inputs: ClassVar[int] = 64
    classes: ClassVar[int] = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class UserData(Split):
    """``module:callable`` that returns arrays ``(x, y)``, split here by ``valid`` and ``test``."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


Data = Digits | UserData
DATA: dict[str, type[Digits]] = {"digits": Digits}

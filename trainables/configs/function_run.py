"""One run of a user's own training function: what decides its numbers, as far as we know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from trainables.configs.base import Bound, Config, to_plain
from trainables.configs.run import RunConfig

OWN_KEYS = ("trainable", "seed")
"""Keys of a run that its free-form configuration cannot have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionRun(Config):
    """A configuration for ``trainable`` with one seed; nothing is known of what it means."""

    trainable: str
    """``module:callable``: a Ray Tune function or a ``tune.Trainable`` class."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Plain data, as the study has it."""
    seed: Annotated[int, Bound(ge=0, lt=2**63)] = 0


Run = RunConfig | FunctionRun
"""What a study is made of: all of one kind."""


def as_columns(run: Run) -> dict[str, Any]:
    """The run as plain data for the store: a function's own keys stand beside ``trainable``."""
    if isinstance(run, FunctionRun):
        return {"trainable": run.trainable, **to_plain(run.config), "seed": run.seed}
    plain: dict[str, Any] = to_plain(run)
    return plain

"""The virtual machine that a study is simulated on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.plan.estimate import START_SECONDS
from orchestrator.simulate.curve import SimulateError
from orchestrator.spec.study import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Slots, and what a pack takes of the machine."""

    slots: int
    """Packs that train at the same time."""
    gpus_a_pack: float = 1.0
    cpus_a_pack: float = 1.0
    start_seconds: float = START_SECONDS
    """Before the first pack begins."""


def machine_for(study: Study, *, gpus: float | None = None, slots: int | None = None) -> Machine:
    """A machine with so many virtual GPUs, or slots; with one GPU where neither is given.

    Raises:
        SimulateError: a pack of the study does not fit on it.
    """
    each = 1.0 if study.resources.gpus is None else study.resources.gpus
    if gpus is not None and slots is not None:
        raise SimulateError("give --gpus or --slots, not both")
    if slots is None:
        present = 1.0 if gpus is None else gpus
        if not 0 < present < math.inf:
            raise SimulateError(f"--gpus: must be a number above 0, got {present:g}")
        if each == 0:
            raise SimulateError("the study's packs take no GPU (resources.gpus): give --slots")
        slots = int(present / each + 1e-9)
        if slots < 1:
            raise SimulateError(f"--gpus: a pack takes {each:g}, there are {present:g}")
    elif slots < 1:
        raise SimulateError(f"--slots: must be at least 1, got {slots}")
    slots = min(slots, study.resources.max_concurrent or slots)
    return Machine(slots=slots, gpus_a_pack=each, cpus_a_pack=study.resources.cpus or 1.0)

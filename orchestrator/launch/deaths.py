"""How a worker died, from what Ray says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import RayTaskError

from orchestrator.store.faults import NODE_LOST, WORKER_DIED

_NODE = ("node has died", "node is dead", "node was terminated", "the actor is preempted")
_MEMORY = "running low on memory"


@dataclass(frozen=True, slots=True)
class Death:
    """How it was, and whether it may have been what the worker trained."""

    kind: str
    """``WORKER_DIED`` or ``NODE_LOST``, as the store counts them."""
    detail: str
    """In a few words, for the reason of a run."""
    error: str
    """All that Ray says of it."""
    raised: bool = False
    """An exception came out of the worker's own code: it would come again in every part."""


def death_of_trial(trial: Any) -> Death:
    """How the worker of a Tune trial has died last."""
    # From the driver's own folder: Trial.get_pickled_error asks for the copy made later.
    path = trial.pickled_error_file
    error = cloudpickle.loads(Path(path).read_bytes()) if path and Path(path).exists() else None
    raised = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
    return death_of(str(error or "the worker died"), raised=raised)


def death_of(error: str, *, raised: bool) -> Death:
    """What Ray's message about an actor that is gone amounts to.

    Ray cannot tell a signal from an exit: of a process that is gone it sees a closed
    connection. Its own kills for memory, and nodes that are lost, it does name.

    Args:
        raised: whether the error is an exception of the worker's code.
    """
    lowered = error.lower()
    if raised:
        last = (error.strip().splitlines() or ["unknown"])[-1]
        return Death(WORKER_DIED, last, error, raised=True)
    if any(words in lowered for words in _NODE):
        return Death(NODE_LOST, "its node was lost", error)
    if _MEMORY in lowered:
        return Death(WORKER_DIED, "ended by Ray, since its node ran low on memory", error)
    return Death(WORKER_DIED, f"the process was gone{_ray_says(error)}", error)


def _ray_says(error: str) -> str:
    """Ray's own words about the exit, without its general advice."""
    for mark in ("Worker exit detail: ", "exit detail: "):
        if mark in error:
            words = error.split(mark, 1)[1].split(". Some common causes", 1)[0]
            return f" ({' '.join(words.split())[:200].rstrip('.')})"
    return " (killed by a signal, out of memory, or it has left by itself)"

"""A user's own training as a Ray Tune trial: one run, its failure and its end made results."""

from __future__ import annotations

import copy
import inspect
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
from ray import tune
from ray.air._internal.util import StartTraceback
from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune.result import DEFAULT_METRIC
from ray.tune.trainable.function_trainable import wrap_function

from trainables.reports import has_diverged, numbers
from trainables.user_code import resolve

FAILURE = "regatta_failure"
"""Key of a result: the traceback of what the user's code has raised."""
CHECKPOINT = "checkpoint.json"
"""Beside a run's checkpoint: which folder it is, and how the run stood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionTask:
    """One run to train: what a trial gets."""

    pack_id: str
    run_id: str
    config: Mapping[str, Any]
    """What the user's code gets, the seed included."""
    metric: str
    """The objective: a value that is no finite number ends the run."""
    folder: Path
    """Where the run's last checkpoint is kept."""


def saved_state(folder: Path) -> dict[str, Any] | None:
    """What stands in a run's ``CHECKPOINT``; None where it has saved nothing."""
    try:
        state: dict[str, Any] = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return state


def as_trainable(name: str) -> type[Any]:
    """The class that Tune runs for ``module:callable``: the user's own, or one around a function.

    Raises:
        UserCodeError: it cannot be imported, or is not what Tune can run.
    """
    found: Any = resolve(name)
    base = found if is_class(found) else wrap_function(_reporting(name))

    class OwnTraining(_Watched, base):  # type: ignore[misc,valid-type]
        """Made here, so that it goes to the workers whole; the user's code is imported there."""

    OwnTraining.__name__ = name.rpartition(":")[2].rpartition(".")[2]
    return OwnTraining


def is_class(found: Any) -> bool:
    """Whether it is a class for Tune; anything else is called as a function."""
    return inspect.isclass(found) and issubclass(found, tune.Trainable)


def _reporting(name: str) -> Callable[[dict[str, Any]], None]:
    """The function as Tune takes it: what it returns or yields is reported, too."""

    def train(config: dict[str, Any]) -> None:
        output = resolve(name)(config)
        for item in output if inspect.isgenerator(output) else [output]:
            if isinstance(item, Number):
                tune.report({DEFAULT_METRIC: item})
            elif isinstance(item, Mapping):
                tune.report(dict(item))
            elif item is not None:
                got = type(item).__name__
                raise TypeError(f"{name} must return or yield a dict or a number, not {got}")

    return train


class _Watched:
    """Goes before the user's class: the run's own configuration, and errors as results.

    Tune would try a run that raises as often again as one whose worker died.
    """

    _regatta_task: FunctionTask
    _regatta_failure: str

    def setup(self, config: dict[str, Any], tasks: Sequence[FunctionTask]) -> None:
        # A task that was made on the way comes with its trial.
        self._regatta_task = config["task"] if "task" in config else tasks[config["pack"]]
        self._regatta_failure = ""
        self.config = copy.deepcopy(dict(self._regatta_task.config))
        try:
            super().setup(copy.deepcopy(self.config))  # type: ignore[misc]
            self._go_on()
        except Exception as error:
            self._regatta_failure = _as_text(error)

    def _go_on(self) -> None:
        """From the checkpoint of an earlier launch, where there is one."""
        folder = self._regatta_task.folder
        if (state := saved_state(folder)) is not None:
            checkpoint = tune.Checkpoint.from_directory(str(folder / state["folder"]))
            self.restore(_TrainingResult(checkpoint, state["counters"]))  # type: ignore[attr-defined]

    def step(self) -> dict[str, Any]:
        if self._regatta_failure:
            return {FAILURE: self._regatta_failure, "done": True}
        try:
            result = super().step()  # type: ignore[misc]
            if not isinstance(result, dict):
                raise TypeError(f"step() must return a dict, not {type(result).__name__}")
        except (Exception, SystemExit) as error:
            return {FAILURE: _as_text(error), "done": True}
        if has_diverged(numbers(result), self._regatta_task.metric):
            result["done"] = True
        return result


def _as_text(error: BaseException) -> str:
    """The traceback, from where the user's code begins."""
    while isinstance(error, StartTraceback) and error.__cause__ is not None:
        error = error.__cause__
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_between(trace):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _is_between(trace: TracebackType) -> bool:
    """Whether this frame belongs to Ray or to this file, which the user did not write."""
    file = trace.tb_frame.f_code.co_filename
    return file == __file__ or Path(ray.__file__).parent in Path(file).parents

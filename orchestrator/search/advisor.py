"""A Ray Tune searcher as Regatta asks and tells it: in values of axes, one id a suggestion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from orchestrator.search.coding import decode, encode
from orchestrator.spec.space import Space

Later = Literal["later", "finished"]


class SearchError(Exception):
    """The search cannot be made, or go on. The message says what and where."""


@contextmanager
def _one_line(searcher: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a searcher of the user's may raise anything
        first = (str(error).splitlines() or [""])[0]
        kind = type(searcher).__name__
        raise SearchError(f"search: {kind} raised {type(error).__name__}: {first}") from error


class Advisor:
    """Asks one searcher for points, and tells it what came of them."""

    def __init__(self, searcher: Any, space: Space, metrics: Sequence[str]) -> None:
        """
        Args:
            searcher: a ``ray.tune.search.Searcher`` whose space has been set.
            metrics: what is looked for, as the searcher knows it.
        """
        self._searcher = searcher
        self._dimensions = {dimension.path: dimension for dimension in space.dimensions}
        self._metrics = metrics
        self._unknown: set[str] = set()

    def ask(self, name: str) -> dict[str, Any] | Later:
        """The next point under this id, or that there is none now, or none any more."""
        with _one_line(self._searcher):
            found = self._searcher.suggest(name)
        if found is None:
            return "later"
        if not isinstance(found, Mapping):
            return "finished"
        return {
            path: decode(self._dimensions[path], number)
            for path, number in found.items()
            if path in self._dimensions
        }

    def progress(self, name: str, evaluation: int, value: float) -> None:
        """What a suggestion's (only) objective is after so many evaluations."""
        if name not in self._unknown:
            result = {self._metrics[0]: value, "training_iteration": evaluation}
            with _one_line(self._searcher):
                self._searcher.on_trial_result(name, result)

    def tell(self, name: str, values: Sequence[float] | None, evaluations: int = 1) -> None:
        """How a suggestion ended: its objectives, or None where it has no values.

        Args:
            evaluations: how many there were.
        """
        if name in self._unknown:
            return
        result: dict[str, Any] | None = None
        if values is not None:
            result = {**dict(zip(self._metrics, values, strict=True)), "done": True}
            result["training_iteration"] = evaluations
        with _one_line(self._searcher):
            self._searcher.on_trial_complete(name, result, error=result is None)

    def warm(
        self,
        evaluated: Sequence[tuple[Mapping[str, Any], Sequence[float]]],
        pending: Mapping[str, Mapping[str, Any]],
        *,
        directly: bool,
    ) -> None:
        """Tells a fresh searcher what is known, and gives it the suggestions that are out.

        Args:
            directly: it takes evaluated points as they are; else its first suggestions are
                these points.
        """
        for number, (point, values) in enumerate(evaluated):
            if directly:
                found = {p: encode(self._dimensions[p], value) for p, value in point.items()}
                value = values[0] if len(values) == 1 else list(values)
                self._searcher.add_evaluated_point(found, value)
            elif self._replayed(f"known-{number:06d}", point):
                self.tell(f"known-{number:06d}", values)
        for name, point in pending.items():
            if not self._replayed(name, point):
                self._unknown.add(name)

    def _replayed(self, name: str, point: Mapping[str, Any]) -> bool:
        """Whether the searcher suggests the point, as it was told to; others are taken back."""
        found = self.ask(name)
        if not isinstance(found, dict):
            return False
        if all(found.get(path) == value for path, value in point.items()):
            return True
        self.tell(name, None)
        return False

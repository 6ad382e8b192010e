"""The sentence on what early stopping has saved."""

from __future__ import annotations

from orchestrator.store.saved import saved_sentence
from tests.store.test_store import _outcome


def test_nothing_stopped_nothing_said() -> None:
    assert saved_sentence([_outcome("a", status="completed")], {}) == ""


def test_steps_are_those_that_a_whole_training_would_have_had() -> None:
    outcomes = [
        _outcome("a", status="completed", steps=300, epochs=30.0),
        _outcome("b", status="stopped", steps=20, epochs=2.0),
        _outcome("c", status="stopped", steps=10, epochs=1.0, examples=70),
        _outcome("d", status="pending", steps=0, epochs=0.0),
    ]
    trains = {
        "b": {"epochs": 30.0, "steps": None, "batch_size": 7},
        "c": {"epochs": None, "steps": 40, "batch_size": 7},
    }
    assert saved_sentence(outcomes, trains) == (
        "2 of 3 runs were stopped early: 330 steps instead of 640, 48% saved."
    )


def test_of_own_training_only_the_runs_are_known() -> None:
    outcomes = [_outcome("a", status="stopped"), _outcome("b", status="completed")]
    assert saved_sentence(outcomes, {}) == "1 of 2 runs were stopped early."

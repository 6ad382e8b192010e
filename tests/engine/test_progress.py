"""What a report carries of a run."""

from __future__ import annotations

import dataclasses

from trainables.progress import Progress, plain


def test_plain_is_a_copy_of_every_field() -> None:
    progress = Progress("a" * 16, 3, "completed", "target reached", 7, 1.5, 91, 0.25)
    progress.final, progress.best = {"valid/loss": 0.5}, {"valid/loss": 0.25}
    copied = plain(progress)
    assert copied == dataclasses.asdict(progress)
    assert Progress(**copied) == progress
    progress.final["valid/loss"] = progress.best["valid/loss"] = 2.0
    assert copied["final"] == {"valid/loss": 0.5}
    assert copied["best"] == {"valid/loss": 0.25}

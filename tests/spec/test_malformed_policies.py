"""Malformed policies of checkpoints and of states that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, own, refused, study

MALFORMED: dict[str, Case] = {
    "checkpoints kept": (study("execution: {keep: 0}\n"), ("4:19", "got 0", "at least 1")),
    "states kept": (
        study("execution: {save: some}\n"),
        ("4:19", "execution.save: must be", "none, best or all, got some"),
    ),
    "states kept: not yes": (
        study("execution: {save: true}\n"),
        ("4:19", "got true", "none, best or all"),
    ),
    "checkpoints: never": (
        study("execution: {checkpoint_every: {minutes: 0}}\n"),
        ("4:31", "got {minutes: 0}", "{minutes: a number above 0}"),
    ),
    "checkpoints: other units": (
        study("execution: {checkpoint_every: {seconds: 30}}\n"),
        ("4:31", "got {seconds: 30}", "at least 1, {minutes: a number above 0} or null"),
    ),
    "checkpoints: half an evaluation": (
        study("execution: {checkpoint_every: 0.5}\n"),
        ("4:31", "got 0.5", "a whole number at least 1"),
    ),
    "checkpoints: a text": (
        study("execution: {checkpoint_every: 5 min}\n"),
        ("4:31", "got '5 min'", "{minutes: a number above 0}"),
    ),
    "checkpoints: a word more": (
        study("execution: {checkpoint_every: {minutes: 5, keep: 3}}\n"),
        ("4:31", "got {minutes: 5, keep: 3}", "{minutes: a number above 0}"),
    ),
    "keeep": (
        study("execution: {keeep: 3}\n"),
        (
            "4:13",
            "did you mean keep?",
            "takes strategy, compile, lanes, checkpoint_every, keep",
        ),
    ),
    "own: states kept": (
        own("execution: {save: all}\n"),
        ("4:13", "execution.save: unknown key", "takes checkpoint_every"),
    ),
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED)
def test_malformed(case: Case, tmp_path: Path) -> None:
    refused(tmp_path, case)

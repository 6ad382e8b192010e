"""`regatta simulate`: a table and a sentence, JSON, and wrong input as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from tests.report.stores import plant

ASHA = str(Path(__file__).parents[2] / "sweeps" / "asha.yaml")
run = CliRunner().invoke


def test_a_table_and_one_finding() -> None:
    result = run(app, ["simulate", ASHA, "--rule", "none", "--rule", "asha", "--price", "3"])
    assert result.exit_code == 0, result.output
    title, heading, none, asha, note, sentence = map(str.strip, result.output.splitlines())
    assert title.startswith("asha: valid/accuracy (max), 1 slot, median of 5 repeats")
    assert heading.split()[:4] == ["search", "rule", "started", "completed"]
    assert heading.split()[-1] == "cost"
    assert none.split()[:5] == ["grid", "none", "108", "72", "0"]
    assert asha.split()[:3] == ["grid", "asha", "108"]
    assert note == "Synthetic curves, noise 0.01: a family to compare with, no forecast."
    assert sentence.startswith("grid with asha comes within ")
    assert sentence.endswith("of the slots' time.")


def test_json_has_what_the_table_has() -> None:
    arguments = [
        "--slots",
        "2",
        "--repeats",
        "3",
        "--json",
        "--price",
        "2",
        "--set",
        "train.epochs=9",
    ]
    result = run(app, ["simulate", ASHA, *arguments])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert (found["study"], found["slots"], found["repeats"]) == ("asha", 2, 3)
    (case,) = found["cases"]
    assert (case["search"], case["rule"]) == ("grid", "asha")
    assert case["started"] == {"median": 108.0, "low": 108.0, "high": 108.0}
    assert case["cost"]["median"] == pytest.approx(2 * case["gpu_hours"]["median"])
    assert 0 < found["optimum"] < 1
    assert found["finding"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--curves", "nowhere"], "nowhere: no study here (store.sqlite is missing)"),
        (["--rule", "nix"], "--rule nix: early_stopping.name: must be one of asha, median,"),
        (["--gpus", "0.1"], f"{ASHA}: --gpus: a pack takes 1, there are 0.1"),
        (["--search", "hebo"], f"{ASHA}: search.name: hebo needs HEBO"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], message: str) -> None:
    result = run(app, ["simulate", ASHA, *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(message)


def test_a_metric_that_is_not_recorded_is_one_line(tmp_path: Path) -> None:
    plant(tmp_path, lambda chosen, seed: 0.5 + seed, metric="valid/loss")
    result = run(
        app, ["simulate", ASHA, "--curves", str(tmp_path), "--set", "objective.metric=valid/error"]
    )
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        f"{ASHA}: {tmp_path}: valid/error is not recorded; recorded are lr, test/"
    )


OWN = """\
study: own
trainable: theirs:train
sweep: {config.x: {uniform: [0.0, 1.0]}}
search: {name: "tests.search.loop:Climber", runs: 5}
objective: {metric: score, mode: max}
"""


def test_an_own_training_needs_curves(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    result = run(app, ["simulate", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{path}: how long your own training takes is not known: give --curves")

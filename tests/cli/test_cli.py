"""The command line: quick to start, one clear line for wrong input, exit codes as promised."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import orchestrator
from orchestrator.cli import _why_left, app
from orchestrator.spec import load_study
from orchestrator.store import Outcome, Store

SWEEPS = Path(__file__).parents[2] / "sweeps"
COMMANDS = [
    *(
        "validate",
        "plan",
        "simulate",
        "run",
        "status",
        "report",
        "compare",
        "export",
        "advise",
        "sync",
        "schema",
    ),
    "init",
]
run = CliRunner().invoke


def _malformed(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text("study: s\noptimizer: {name: adam, momentum: 0.9}\ntrain: {epochs: 3}\n")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    result = run(app, [command, "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert f"Example: regatta {command}" in result.output


@pytest.mark.timed
@pytest.mark.parametrize("command", ["validate", "plan", "simulate", "run"])
def test_a_malformed_study_is_one_line_and_exit_code_2(command: str, tmp_path: Path) -> None:
    path = _malformed(tmp_path)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", command, str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert time.monotonic() - started < 2
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{path}:2:25: optimizer.momentum: ")
    assert "beta1" in line, "says what is allowed"
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "nowhere"],
        ["report", "nowhere"],
        ["export", "nowhere", "-o", "out"],
        ["sync", "nowhere"],
        ["validate", "nowhere.yaml"],
        ["init", __file__],
        ["plan", str(SWEEPS / "lr_schedules.yaml"), "--set", "optimizer.speed=3"],
        ["run", str(SWEEPS / "lr_schedules.yaml"), "--set", "nonsense"],
        ["no-such-command"],
    ],
    ids=lambda a: " ".join(a[:1]),
)
def test_wrong_input_is_exit_code_2_without_a_traceback(arguments: list[str]) -> None:
    result = run(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.output.strip()


def test_validate_imports_neither_torch_nor_ray() -> None:
    script = (
        "import sys; from orchestrator.cli import app; from typer.testing import CliRunner;"
        f"r = CliRunner().invoke(app, ['validate', {str(SWEEPS / 'lr_schedules.yaml')!r}]);"
        "print(r.exit_code, [m for m in ('torch', 'ray', 'wandb', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=1) == ["0", "[]\n"]


def test_the_driver_checks_a_study_without_torch() -> None:
    """PyTorch would cost the driver a second before the first worker is asked for."""
    script = (
        "import sys; from orchestrator import load_study;"
        "from orchestrator.launch import run;"
        f"study = load_study({str(SWEEPS / 'lr_schedules.yaml')!r}); runs = study.runs();"
        "run.check(runs, run.load_data(runs)); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_plan_as_data(tmp_path: Path) -> None:
    spec = str(SWEEPS / "lr_schedules.yaml")
    result = run(app, ["plan", spec, "--json", "--results", str(tmp_path)])
    plan = json.loads(result.output)
    assert plan["runs"] == plan["configurations"] * plan["seeds"] == 180
    assert plan["finished"] == 0
    assert sum(pack["lanes"] for pack in plan["packs"]) == 180
    assert plan["estimate"]["basis"] == "modelled"
    memory = plan["memory"]
    assert memory["lanes"] == max(pack["lanes"] for pack in plan["packs"])
    assert memory["lane_bytes"] * memory["lanes"] < memory["pack_bytes"]
    words = run(app, ["plan", spec, "--results", str(tmp_path)]).output
    assert "180" in words
    assert " a lane, " in words


def test_plan_needs_no_torch_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    spec, model = str(SWEEPS / "lr_schedules.yaml"), "model={name: 'json:loads'}"
    script = (
        "import json, sys; from orchestrator.cli import app; from typer.testing import CliRunner;"
        f"words = ['plan', {spec!r}, '--results', {str(tmp_path)!r}];"
        f"a, b, c = (CliRunner().invoke(app, [*words, *more]) for more in"
        f" (['--json'], ['--json', '--set', {model!r}], ['--set', {model!r}]));"
        "print(json.loads(a.output)['memory'] is not None, json.loads(b.output)['memory'],"
        " 'memory' in c.output, [m for m in ('torch', 'ray.tune') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "True None True []\n"


def test_init_writes_a_study_that_validates(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    assert run(app, ["init", str(path)]).exit_code == 0
    assert run(app, ["validate", str(path)]).exit_code == 0
    assert run(app, ["init", str(path)]).exit_code == 2


def test_schema_is_json(tmp_path: Path) -> None:
    schema = json.loads(run(app, ["schema"]).output)
    assert "optimizer" in schema["properties"]


def test_status_of_a_study(tmp_path: Path) -> None:
    with Store.create(tmp_path / "study") as store:
        store.set_meta(study="study", objective={"metric": "valid/loss", "mode": "min"})
        store.plan_runs([("a", 0, {}), ("b", 0, {}), ("c", 0, {})])
        store.start_pack("p", ["a", "b"], {})
        counted = {"lane": 0, "steps": 1, "epochs": 1.0, "examples": 1, "wall_seconds": 1.0}
        done = Outcome(
            run_id="a", status="completed", reason="", final={"valid/loss": 0.5}, best={}, **counted
        )  # type: ignore[arg-type]
        store.record("p", [], [done])
        store.fail_runs(["b"], "ValueError: weights exploded")
    output = run(app, ["status", str(tmp_path / "study")]).output
    assert "1 completed, 1 failed, 1 pending" in output
    assert "valid/loss 0.5, run a" in output
    assert "failed: b: ValueError: weights exploded" in output


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("[{name: patience, evaluations: 2}, {name: budget, hours: 1}]", "budget is used up"),
        ("{name: patience, evaluations: 2}", "Some runs are not trained yet. Go on with: regatta"),
    ],
)
def test_why_runs_are_left(rule: str, words: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["init", str(tmp_path / "s.yaml")]).exit_code == 0
    assert words in _why_left(load_study(tmp_path / "s.yaml", [f"early_stopping={rule}"]))


def test_the_python_api_has_the_verbs() -> None:
    for name in orchestrator.__all__:
        assert callable(getattr(orchestrator, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = orchestrator.nonsense

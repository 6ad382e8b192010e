"""The engine's benchmark and the tests of a GPU run where only PyTorch and NumPy are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MISSING = """
import sys

# None makes an import fail as that of a package that is not installed.
for name in (
    "altair hypothesis jinja2 optuna pandas platformdirs pyarrow pydantic pytest_timeout ray rich"
    " scipy sklearn typer vl_convert wandb xdist yaml"
).split():
    sys.modules[name] = None
"""


def _environment(folder: Path) -> dict[str, str]:
    """Of a process that finds nothing but PyTorch, NumPy and what pytest itself needs."""
    (folder / "sitecustomize.py").write_text(_MISSING)
    path = os.pathsep.join([str(folder), str(ROOT)])
    alone = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = os.environ | alone
    absent = [sys.executable, "-c", "import pydantic"]
    assert subprocess.run(absent, env=environment, capture_output=True).returncode == 1
    return environment


def test_the_tests_of_a_gpu_are_found(tmp_path: Path) -> None:
    """As CONTRIBUTING.md has it, but for what only a GPU can tell."""
    command = f"-m pytest -c {os.devnull} --rootdir {ROOT} -p no:cacheprovider --collect-only -q"
    done = subprocess.run(
        [sys.executable, *command.split(), "tests/engine/test_gpu.py"],
        env=_environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("tests/engine/test_gpu.py::") >= 9


def test_a_quick_round_needs_pytorch_and_numpy_only(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--quick", "--json", str(output)],
        env=_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert {row["contender"] for row in rows} >= {"eager", "fused", "sequential", "auto"}
    assert all(row["rate"] > 0 for row in rows)

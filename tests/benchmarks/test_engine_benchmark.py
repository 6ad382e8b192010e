"""The engine's benchmark runs where only PyTorch and NumPy are installed."""

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
    "altair jinja2 pandas platformdirs pyarrow pydantic ray rich scipy sklearn typer"
    " vl_convert wandb yaml"
).split():
    sys.modules[name] = None
"""


def test_a_quick_round_needs_pytorch_and_numpy_only(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_MISSING)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    absent = [sys.executable, "-c", "import pydantic"]
    assert subprocess.run(absent, env=environment, capture_output=True).returncode == 1
    output = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--quick", "--json", str(output)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert {row["contender"] for row in rows} >= {"eager", "fused", "sequential", "auto"}
    assert all(row["rate"] > 0 for row in rows)

"""The snippet of docs/resume.md, run as it is printed there; and what its tables claim."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.conftest import Regatta, regatta

__all__ = ["regatta"]  # the fixture
PAGE = Path(__file__).parents[2] / "docs/resume.md"
STUDY = """\
study: digits-small
data: {name: digits}
model: {name: mlp, hidden: [11]}
optimizer: {name: sgd}
train: {epochs: 3, batch_size: 32}
seeds: 2
sweep: {optimizer.lr: [0.003, 0.03, 0.3]}
execution: {save: best}
report: {top: 2}
tracking: {wandb: "off"}
"""
CHECK = """
from trainables.data import load
import numpy as np

data = load(config.data)
with torch.no_grad():
    x = torch.from_numpy(np.asarray(data.valid_x))
    y = torch.from_numpy(np.asarray(data.valid_y))
    found = torch.nn.functional.cross_entropy(model(x.float()), y).item()
assert data.input_shape == (64,), data.input_shape
assert abs(found / best["final/valid/loss"] - 1) < 1e-5, (found, best["final/valid/loss"])
"""


@pytest.mark.ray
def test_the_snippet_loads_the_best_run(regatta: Regatta) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    regatta.spec = regatta.folder / "digits.yaml"
    regatta.spec.write_text(STUDY)
    assert "6 completed" in regatta.run("run")
    assert len(list((regatta.folder / "results/digits-small/runs").iterdir())) == 4
    subprocess.run([sys.executable, "-c", snippet + CHECK], check=True, cwd=regatta.folder)

"""Small studies to simulate."""

from __future__ import annotations

from pathlib import Path

from orchestrator.spec import Study, load_study

STUDY = """\
study: simulated
data: {name: digits}
model: {name: mlp, hidden: [7]}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 29, batch_size: 31}
search: {name: random, runs: 61, seed: 3}
sweep:
  optimizer.lr: {log_uniform: [1.0e-4, 1.0]}
  optimizer.momentum: {uniform: [0.0, 0.99]}
"""
RULES = {
    "asha": "{name: asha, grace: {epochs: 1}, reduction: 3}",
    "hyperband": "{name: asha, grace: {epochs: 1}, reduction: 2, brackets: 3}",
    "asha until a third": "{name: asha, grace: {epochs: 1}, max: 0.34}",
    "median": "{name: median, grace: {epochs: 2}}",
    "patience": "{name: patience, evaluations: 3}",
    "run seconds": "{name: budget, run_seconds: 0.5}",
    "hours": "{name: budget, hours: 0.004}",
    "gpu hours": "{name: budget, gpu_hours: 0.002}",
    "several": "[{name: asha}, {name: median}, {name: patience, evaluations: 5}]",
}
SEARCHES = {
    "random": "{name: random, runs: 61, seed: 3}",
    "sobol": "{name: sobol, runs: 61}",
    "adaptive": '{name: "tests.search.loop:Climber", runs: 37}',
    "optuna": "{name: optuna, runs: 23}",
}


def study(folder: Path, *changes: str, text: str = STUDY) -> Study:
    path = folder / "study.yaml"
    path.write_text(text)
    return load_study(path, changes)

"""The studies in docs/pbt.md are studies."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.spec import Pbt, load_study
from trainables.configs import RunConfig

ROOT = Path(__file__).parents[2]


def test_the_studies_on_the_page_load(tmp_path: Path) -> None:
    page = (ROOT / "docs/pbt.md").read_text()
    first, changes = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "s.yaml"
    path.write_text(first)
    shown, shipped = load_study(path), load_study(ROOT / "sweeps/pbt.yaml")
    assert isinstance(shown.search, Pbt)
    assert shown.runs() == shipped.runs()
    path.write_text(f"study: s\noptimizer: {{name: sgd, lr: 0.1}}\n{changes}")
    (run,) = load_study(path).runs()
    assert isinstance(run, RunConfig)
    assert [change.step for change in run.train.changes] == [72, 216]

"""The code of ``docs/export.md`` runs as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.api import export_tickets
from tests.engine.test_ticket_files import Study
from trainables.configs import RunConfig
from trainables.data import DataSet

PAGE = Path(__file__).parents[2] / "docs/export.md"


def test_the_code_runs(
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run()
    study = Study(tmp_path / "results/my-study", run, data_of(run))
    export_tickets(study.folder, tmp_path / "tables")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    code = code.replace("input_shape=(64,), outputs=10", "input_shape=(7,), outputs=5")
    code = code.replace("\noverlap(", "\nshared = overlap(")
    found: dict[str, Any] = {"run_id": study.of(2), "other_id": study.of(1), "config": run}
    exec(code, found)
    x = torch.ones(2, 7)
    assert torch.equal(found["model"](x), found["pruned"](x))
    assert not found["damaged"]
    # Of 77 + 33 + 15 weights, rates of 0.4, 0.4 and 0.2: all of level 2 is left at level 1.
    assert found["shared"] == pytest.approx((28 + 12 + 10) / (46 + 20 + 12))

"""The example of docs/your-own-training.md, run as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta, regatta

__all__ = ["regatta"]  # the fixture
PAGE = Path(__file__).parents[2] / "docs/your-own-training.md"


@pytest.mark.ray
def test_the_example_trains(regatta: Regatta) -> None:
    blocks = dict(re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (regatta.folder / "descent.py").write_text(blocks["python"])
    regatta.spec.write_text(blocks["yaml"])
    output = regatta.run("run", "--set", "tracking.wandb=off")
    assert "4 completed" in output
    with Store.open(regatta.folder / "results/descent") as store:
        runs, history = store.runs(), store.history()
    assert len(history) == 40
    assert set(runs["config.lr"]) == {0.3, 1.0}
    # With rate 1, x is minus the noise; with 0.3, most of what is left of the start: 0.7^10.
    means = runs.groupby("config.lr")["final/x"].mean()
    assert means[0.3] == pytest.approx(0.7**10, abs=0.02)
    assert abs(means[1.0]) < 0.05

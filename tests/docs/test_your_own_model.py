"""The example of docs/your-own-model.md, run as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta, regatta

__all__ = ["regatta"]  # the fixture
PAGE = Path(__file__).parents[2] / "docs/your-own-model.md"


@pytest.mark.ray
def test_the_example_trains(regatta: Regatta) -> None:
    blocks = dict(re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (regatta.folder / "rings.py").write_text(blocks["python"])
    regatta.spec.write_text(blocks["yaml"])
    output = regatta.run("run", "--set", "tracking.wandb=off")
    assert "12 completed" in output
    with Store.open(regatta.folder / "results/rings") as store:
        runs = store.runs()
    assert runs["final/test/accuracy"].max() > 0.9
    assert set(runs["config.model.args.dropout"]) == {0.0, 0.3}
    assert set(runs["config.schedule.args.stairs"]) == {5}
    # The last of five stairs.
    assert (runs["final/lr"] / runs["config.optimizer.lr"]).tolist() == pytest.approx([0.2] * 12)

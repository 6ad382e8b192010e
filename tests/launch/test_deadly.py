"""A run that kills its worker fails alone, with the reason; its neighbours end as without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.launch import deadly_models
from tests.launch.conftest import Regatta

STUDY = """\
study: deadly
data: {{name: digits}}
model: {{name: "deadly_models:{model}"}}
optimizer: {{name: sgd, lr: 0.1}}
train: {{epochs: 6, batch_size: 32, evaluate_every: {{epochs: 1}}}}
seeds: 8
execution: {{strategy: {strategy}, lanes: 8, checkpoint_every: 1}}
resources: {{max_concurrent: 1}}
tracking: {{wandb: "off"}}
"""


def _train(regatta: Regatta, results: str) -> tuple[int, str, Path]:
    process = regatta.start("run", results=results)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output, regatta.folder / results / "deadly"


def _history(folder: Path) -> pd.DataFrame:
    with Store.open(folder) as store:
        return store.history().drop(columns="seconds").set_index(["run_id", "step"]).sort_index()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("model", "strategy", "least"),
    [
        pytest.param("later", "sequential", 36, id="while it trains", marks=pytest.mark.chaos),
        pytest.param("at_once", "fused", 0, id="while it is built", marks=pytest.mark.chaos),
    ],
)
def test_the_culprit_fails_alone(regatta: Regatta, model: str, strategy: str, least: int) -> None:
    shutil.copy(str(deadly_models.__file__), regatta.folder)
    regatta.spec.write_text(STUDY.format(model=model, strategy=strategy))
    code, output, folder = _train(regatta, "results")
    assert code == 1, output
    assert "7 completed, 1 failed" in output
    assert "Traceback" not in output
    assert "8 × worker died" in output
    assert "3 × pack split" in output
    with Store.open(folder) as store:
        runs = store.runs().set_index("run_id")
        attempts = [pack["attempts"] for pack in store.packs()]
    (culprit,) = runs.index[runs["status"] == "failed"]
    assert runs.loc[culprit, "seed"] == deadly_models.CULPRIT
    assert runs.loc[culprit, "reason"].startswith("killed its worker 3 times in a row: the process")
    assert runs.loc[culprit, "steps"] >= least
    assert max(attempts) <= 3
    assert not list((folder / "packs").iterdir())

    (regatta.folder / deadly_models.HARMLESS.name).touch()
    expected_code, output, undisturbed = _train(regatta, "whole")
    assert expected_code == 0, output
    pd.testing.assert_frame_equal(
        _history(folder).drop(culprit, errors="ignore"),
        _history(undisturbed).drop(culprit),
        rtol=1e-4,
    )

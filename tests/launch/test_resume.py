"""Studies that go on for real: past damaged checkpoints, with more epochs, with more seeds."""

from __future__ import annotations

import json
import signal

import pandas as pd
import pytest
import torch

from orchestrator.store import Store
from orchestrator.store.faults import FELL_BACK
from tests.launch.conftest import STUDY, Regatta
from tests.launch.test_faults import _results, _rows, _same

pytestmark = pytest.mark.ray


def test_a_damaged_checkpoint_costs_nothing_but_time(regatta: Regatta) -> None:
    whole, broken = regatta.folder / "whole/small", regatta.folder / "broken/small"
    regatta.run("run", results="whole")
    interrupted = regatta.start("run", results="broken")
    regatta.wait_for(lambda: _rows(broken) > 8 * 12)
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=180)
    assert interrupted.returncode == 130
    packs = sorted((broken / "packs").iterdir())
    newest = [sorted(pack.glob("state-*.pt")) for pack in packs]
    assert [len(found) for found in newest] == [2, 2], "the last two of each pack"
    newest[0][-1].write_bytes(newest[0][-1].read_bytes()[:5000])
    for path in newest[1]:
        path.write_bytes(b"")
    regatta.run("run", results="broken")
    _same(broken, whole)
    with Store.open(broken) as store:
        notes = store.details(FELL_BACK)
    named = sorted(note.split()[0] for note in notes)
    assert named == sorted(path.name for path in (newest[0][-1], *newest[1]))
    status = regatta.run("status", str(broken))
    assert f"note: {notes[0]}"[:60] in status


def test_more_epochs_go_on_and_more_seeds_are_added(regatta: Regatta) -> None:
    """Exactly what a study of that length, trained through, gives: to rounding in float64."""
    longer = ("--set", "train.precision=float64", "--set", "execution.save=all")
    shorter = (*longer, "--set", "train.epochs=20")
    text = STUDY.replace("epochs: 200", "epochs: 40").replace("300.0", "1.0e+7")
    regatta.spec.write_text(text)
    regatta.run("run", *longer, "--set", "seeds=3", results="whole")
    folder, whole = regatta.folder / "results/small", regatta.folder / "whole/small"
    regatta.run("run", *shorter)
    kept = {path.stem for path in (folder / "runs").iterdir()}
    with Store.open(folder) as store:
        old = store.runs().set_index("run_id")
    assert kept == set(old.index[old["status"] == "completed"])
    said = (
        "4 runs continue from step 720; 4 runs start anew: cosine depends on the length of"
        " training; 4 runs start anew: the shorter run diverged"
    )
    results = ("--results", str(regatta.folder / "results"))
    plan = regatta.run("plan", str(regatta.spec), *longer, *results, "--json")
    assert _alike(json.loads(plan)["extension"], said)
    output = regatta.run("run", *longer, "--set", "seeds=3")
    assert any(_alike(line.removeprefix("small: "), said) for line in output.splitlines())
    found, expected = _results(folder), _results(whole)
    left_out = ["pack_id", "lane"]
    for one, other in zip(found, expected, strict=True):
        keys = ["run_id", *(["step"] if "step" in one else [])]
        pd.testing.assert_frame_equal(
            _sorted(one.drop(columns=left_out, errors="ignore"), keys),
            _sorted(other.drop(columns=left_out, errors="ignore"), keys),
            rtol=1e-9,
            check_like=True,
        )
    assert len(found[0]) == 18
    again = regatta.run("run", *longer, "--set", "seeds=3")
    assert "12 completed, 6 diverged" in again
    assert "continue" not in again
    for run in found[0].query("status == 'completed'")["run_id"]:
        assert torch.load(folder / f"runs/{run}.pt", weights_only=True)["epochs"] == 40


def _alike(line: str, said: str) -> bool:
    return sorted(line.split("; ")) == sorted(said.split("; "))


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.sort_values(keys).reset_index(drop=True)

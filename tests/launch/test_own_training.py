"""A user's own training function: every way it can end, interrupted and killed, run for real."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta

pytestmark = pytest.mark.ray

ENDINGS = """\
import math, os, signal
from pathlib import Path
from ray import tune
from beside import FACTOR

HERE = Path(__file__).parent

def train(config):
    with (HERE / "calls").open("a") as file:
        file.write(f"{config['kind']} {config['seed']}\\n")
    attempts = (HERE / "calls").read_text().count(config["kind"])
    kind, x = config["kind"], config["deep"]["start"] + config["seed"]
    if kind == "silent":
        return
    for step in range(1, 6):
        x *= FACTOR
        if step == 3 and kind == "fails":
            raise RuntimeError(f"no luck with {x}")
        if step == 3 and (kind == "mortal" or (kind == "dies" and attempts == 1)):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 3 and kind == "diverges":
            x = math.nan
        yield_or_report({"valid": {"loss": x}, "epoch": step / 2, "text": "x", "flag": True})

def yield_or_report(metrics):
    tune.report(metrics)

def yields(config):
    for step in (10, 20):
        yield {"valid/loss": 1 / step, "step": step, "examples": 7 * step}
    yield 3

class Halving(tune.Trainable):
    def setup(self, config):
        if config["kind"] == "fails":
            raise RuntimeError("not in setup")
        self.x = float(config["deep"]["start"])

    def step(self):
        self.x /= 2
        return {"valid/loss": self.x, "done": self.iteration == 2}
"""
STUDY = """\
study: own
trainable: endings:train
config: {kind: good, deep: {start: 16}}
seeds: [1]
sweep: {config.kind: [good, fails, diverges, silent, dies, mortal]}
objective: {metric: valid/loss}
tracking: {wandb: "off"}
"""


def _study(regatta: Regatta, text: str, **modules: str) -> Path:
    for name, code in modules.items():
        (regatta.folder / f"{name}.py").write_text(code)
    regatta.spec.write_text(text)
    return regatta.folder / "results/own"


def _frames(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    with Store.open(folder) as store:
        runs, history = store.runs(), store.history()
    assert not history.duplicated(["run_id", "level", "step"]).any()
    return runs, history


def _losses(runs: pd.DataFrame, history: pd.DataFrame, kind: str) -> list[float]:
    run_id = runs.loc[runs["config.kind"] == kind, "run_id"].item()
    rows = history[history["run_id"] == run_id]
    assert rows["step"].tolist() == list(range(1, len(rows) + 1))
    return [float(value) for value in rows["valid/loss"]]


def test_every_ending_is_told_apart_and_settled_runs_are_not_run_again(regatta: Regatta) -> None:
    folder = _study(regatta, STUDY, endings=ENDINGS, beside="FACTOR = 0.5\n")
    process = regatta.start("run")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    assert "2 completed, 1 diverged, 3 failed" in output
    runs, history = _frames(folder)
    run = runs.set_index("config.kind")
    statuses = {"good": "completed", "dies": "completed", "diverges": "diverged"}
    assert run["status"].to_dict() == statuses | dict.fromkeys(
        ("fails", "silent", "mortal"), "failed"
    )
    halves = [17 / 2**k for k in range(1, 6)]
    assert _losses(runs, history, "good") == halves
    assert _losses(runs, history, "dies") == halves, "started again, nothing twice"
    assert _losses(runs, history, "fails") == halves[:2]
    diverged = _losses(runs, history, "diverges")
    assert diverged[:2] == halves[:2]
    assert len(diverged) == 3, "a run that has diverged ends"
    good = run.loc["good"]
    assert (good["final/valid/loss"], good["best/valid/loss"]) == (halves[-1], halves[-1])
    assert (good["steps"], good["epochs"], good["seed"]) == (5, 2.5, 1)
    assert (good["config.trainable"], good["config.deep.start"]) == ("endings:train", 16)
    assert "flag" not in history
    assert "text" not in history
    assert run.loc["diverges", "reason"] == "valid/loss is nan"
    assert run.loc["diverges", "best/valid/loss"] == halves[1]
    error = run.loc["fails", "error"]
    assert run.loc["fails", "reason"] == f"RuntimeError: no luck with {17 / 8}"
    assert error.splitlines()[1].split('"')[1].endswith("endings.py"), "begins in the user's code"
    assert run.loc["silent", "reason"].startswith("nothing was reported")
    assert run.loc["mortal", "reason"].startswith("killed its worker 3 times: the process was gone")
    calls = (regatta.folder / "calls").read_text().splitlines()
    expected = {"good": 1, "fails": 1, "diverges": 1, "silent": 1, "dies": 2, "mortal": 3}
    assert {kind: calls.count(f"{kind} 1") for kind in expected} == expected

    page = (folder / "report.html").read_text()
    assert "endings:train" in page
    assert "The schedules" not in page
    planned = json.loads(regatta.run("plan", str(regatta.spec), "--json"))
    assert (planned["runs"], planned["finished"]) == (6, 3)
    assert planned["estimate"]["basis"] == "measured"

    # Only what has failed is tried again: this time without the ones that cannot succeed.
    (regatta.folder / "calls").unlink()
    kept = "sweep.config.kind=[good, diverges, dies]"
    assert "2 completed, 1 diverged" in regatta.run("run", "--set", kept)
    assert not (regatta.folder / "calls").exists()
    again, rows = _frames(folder)
    before = runs[runs["run_id"].isin(again["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, before, check_dtype=False, check_exact=True)
    assert len(rows) == 5 + 5 + 3
    assert not (folder / ".tune").exists()


def test_what_is_yielded_counts_and_classes_end_when_they_say_so(regatta: Regatta) -> None:
    good = STUDY.replace(", fails, diverges, silent, dies, mortal", "")
    folder = _study(
        regatta, good.replace("endings:train", "endings:yields"), endings=ENDINGS, beside="FACTOR=0"
    )
    regatta.run("run")
    runs, history = _frames(folder)
    assert history[["step", "examples"]].to_numpy().tolist() == [[3, 140], [10, 70], [20, 140]]
    assert runs["final/_metric"].tolist() == [3.0]
    assert (runs["best/valid/loss"].item(), runs["status"].item()) == (1 / 20, "completed")

    halving = STUDY.replace("train\n", "Halving\n").replace(", diverges, silent, dies, mortal", "")
    regatta.spec.write_text(halving)
    process = regatta.start("run")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    runs, history = _frames(folder)
    assert _losses(runs, history, "good") == [8.0, 4.0, 2.0]
    assert runs.set_index("config.kind")["reason"].to_dict() == {
        "good": "",
        "fails": "RuntimeError: not in setup",
    }


LONG = """\
import json, tempfile, time
from pathlib import Path
from ray import tune

HERE, STEPS = Path(__file__).parent, 12

def train(config):
    done, saved = 0, tune.get_checkpoint()
    if saved is not None:
        with saved.as_directory() as folder:
            done = json.loads((Path(folder) / "state.json").read_text())
    with (HERE / "starts").open("a") as file:
        file.write(f"{config['saves']} {done}\\n")
    for step in range(done + 1, STEPS + 1):
        time.sleep(0.3)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state.json").write_text(json.dumps(step))
            checkpoint = tune.Checkpoint.from_directory(folder) if config["saves"] else None
            tune.report({"score": step**2}, checkpoint=checkpoint)

class Long(tune.Trainable):
    def setup(self, config):
        self.done = 0

    def step(self):
        if not self.done:
            with (HERE / "starts").open("a") as file:
                file.write(f"{self.config['saves']} 0\\n")
        time.sleep(0.3)
        self.done += 1
        return {"score": self.done**2, "done": self.done == STEPS}

    def save_checkpoint(self, folder):
        (Path(folder) / "state.json").write_text(json.dumps(self.done))

    def load_checkpoint(self, folder):
        self.done = json.loads((Path(folder) / "state.json").read_text())
        with (HERE / "starts").open("a") as file:
            file.write(f"{self.config['saves']} {self.done}\\n")
"""


def _steps(folder: Path) -> list[int]:
    """The last step of each run that has reported."""
    try:
        with sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True) as db:
            found = db.execute("SELECT max(step) FROM history GROUP BY number").fetchall()
    except sqlite3.OperationalError:
        return []
    return [int(step) for (step,) in found]


@pytest.mark.chaos
@pytest.mark.parametrize(("name", "saves"), [("train", "[true, false]"), ("Long", "[true]")])
def test_killed_and_interrupted_studies_go_on(regatta: Regatta, name: str, saves: str) -> None:
    text = (
        f"study: own\ntrainable: long_one:{name}\nsweep: {{config.saves: {saves}}}\n"
        'objective: {metric: score, mode: max}\ntracking: {wandb: "off"}\n'
    )
    text += "execution: {checkpoint_every: 1}\n" if name == "Long" else ""
    folder = _study(regatta, text, long_one=LONG)
    count = saves.count(",") + 1
    killed = regatta.start("run")
    regatta.wait_for(lambda: len(_steps(folder)) == count and min(_steps(folder)) >= 3)
    killed.kill()
    killed.communicate()
    before = max(_steps(folder))
    interrupted = regatta.start("run")
    if name == "train":
        starts = regatta.folder / "starts"
        regatta.wait_for(lambda: len(starts.read_text().splitlines()) == 2 * count)
    regatta.wait_for(lambda: max(_steps(folder)) >= before + 2)
    interrupted.send_signal(signal.SIGINT)
    output, _ = interrupted.communicate(timeout=180)
    assert interrupted.returncode == 130, output
    assert "Traceback" not in output
    assert "Go on with: regatta run" in output
    assert f"{count} completed" in regatta.run("run")

    runs, history = _frames(folder)
    for run_id in runs["run_id"]:
        rows = history[history["run_id"] == run_id]
        assert rows["step"].tolist() == list(range(1, 13))
        assert rows["score"].tolist() == [step**2 for step in range(1, 13)]
        assert rows["seconds"].is_monotonic_increasing
    assert runs["best/score"].tolist() == [144.0] * count
    assert runs["steps"].tolist() == [12] * count
    starts_at = [line.split() for line in (regatta.folder / "starts").read_text().splitlines()]
    saving = [int(done) for saved, done in starts_at if saved == "True"]
    assert saving[0] == 0
    assert saving == sorted(saving)
    assert saving[-1] > before, "it goes on where it has saved"
    assert all(done == "0" for saved, done in starts_at if saved == "False")
    with Store.open(folder) as store:
        assert [pack["attempts"] for pack in store.packs()] == [3] * count
    assert not list((folder / "packs").iterdir()), "checkpoints of finished runs are gone"


def test_own_training_that_cannot_be_run_is_one_line(regatta: Regatta) -> None:
    _study(regatta, STUDY, endings=ENDINGS, beside="FACTOR = 0.5\n", broken="1 / 0\n")
    for name, message in (
        ("nosuch:train", "trainable: nosuch:train: No module named 'nosuch'"),
        ("endings:nosuch", "trainable: endings:nosuch: module 'endings' has no attribute"),
        ("broken:train", "trainable: broken:train: ZeroDivisionError: division by zero"),
        ("endings:yield_or_report.__call__.x", "trainable: endings:yield_or_report.__call__.x: "),
        ("pathlib:Path", "trainable: pathlib:Path is a class, but no subclass of ray.tune."),
        ("random:random", "trainable: random:random must take one argument, config ("),
    ):
        process = regatta.start("run", "--set", f"trainable={name}")
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 2, output
        (line,) = output.splitlines()
        assert line.startswith(f"{regatta.spec}: {message}")

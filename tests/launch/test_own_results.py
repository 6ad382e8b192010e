"""What becomes of a result of the user's: numbers, clocks, names of columns, kept checkpoints."""

from __future__ import annotations

import datetime
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from orchestrator.launch.own_recorder import Progress, keep_checkpoint
from orchestrator.plan import by_kind, estimate_own, make_packs, unique_runs
from orchestrator.progress import Tally
from orchestrator.spec import OwnObjective
from orchestrator.store import Outcome, Store, StoreError
from orchestrator.store.frames import export
from orchestrator.store.schema import MOST_METRICS
from tests.report.stores import plant
from trainables.configs import FunctionRun, as_columns
from trainables.ray_function import saved_state
from trainables.reports import has_diverged, numbers

LOSS = OwnObjective(metric="loss", mode="min")
TUNE = {"training_iteration": 7, "time_total_s": 2.5, "done": False, "pid": 11, "config": {"lr": 1}}


def test_numbers_of_every_kind_and_nothing_else() -> None:
    result = {
        **TUNE,
        "a": 1,
        "b": {"c": {2: np.float32(0.5)}, "d": math.inf},
        "e": Fraction(1, 4),
        "flag": True,
        "np": np.bool_(True),
        "text": "3",
        "list": [1],
        "none": None,
        "when": datetime.date(2024, 1, 1),
        "array": np.zeros(3),
        "huge": 10**400,
        "i": np.int64(3),
    }
    expected = {"a": 1, "b/c/2": 0.5, "b/d": math.inf, "e": 0.25, "huge": math.inf, "i": 3}
    assert numbers(result) == expected
    assert all(type(value) is float for value in numbers(result).values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_no_finite_number_has_diverged(value: float) -> None:
    assert has_diverged({"loss": value}, "loss")
    assert not has_diverged({"loss": 1.0, "other": value}, "loss")
    progress = Progress()
    progress.take({**TUNE, "loss": value}, LOSS)
    assert (progress.status, progress.reason) == ("diverged", f"loss is {value:g}")
    progress.complete(LOSS)
    assert progress.status == "diverged"


def test_clocks_last_and_best_values() -> None:
    progress = Progress()
    metrics = progress.take({**TUNE, "loss": 3.0, "step": 50, "epoch": 0.5, "examples": 350}, LOSS)
    assert metrics == {"loss": 3.0}
    progress.take({**TUNE, "loss": 2.0, "step": 60}, LOSS)
    progress.take({**TUNE, "loss": 5.0, "late": 1.0, "step": -1}, LOSS)
    assert (progress.steps, progress.epochs, progress.examples) == (7, 0.5, 350)
    assert progress.final == {"loss": 5.0, "late": 1.0, "step": -1.0}
    assert progress.best == {"loss": 2.0}
    highest = Progress()
    for value in (3.0, 5.0, 2.0):
        highest.take({**TUNE, "loss": value}, OwnObjective(metric="loss", mode="max"))
    assert highest.best == {"loss": 5.0}
    assert highest.outcome("r").wall_seconds == 2.5


def test_an_objective_that_is_never_reported_is_told() -> None:
    progress = Progress()
    progress.take({**TUNE, "Loss": 1.0}, LOSS)
    progress.complete(LOSS)
    assert (progress.status, progress.reason) == ("completed", "loss was never reported")


def test_names_that_sqlite_would_confuse_and_rows_that_are_dropped(tmp_path: Path) -> None:
    metrics = {"loss": 1.0, "Loss": 2.0, "number": 3.0, "Seconds": 4.0, 'a"b': 5.0}
    columns = {"loss": 1.0, "Loss (2)": 2.0, "number (2)": 3.0, "Seconds (2)": 4.0, 'a"b': 5.0}
    clock = {"run_id": "r", "level": 0, "epoch": 0.0, "examples": 0, "seconds": 0.0}
    with Store.create(tmp_path) as store:
        store.plan_runs([("r", 0, {}), ("other", 0, {})])
        for step in (2, 3, 5):
            assert store.as_columns(metrics) == columns
            rows = [{**clock, "run_id": run, "step": step, **columns} for run in ("r", "other")]
            store.record("p", rows, [])
        store.discard_history("r", after=2)
        history = store.history()
        assert history.loc[history["run_id"] == "r", "step"].tolist() == [2]
        assert history.loc[history["run_id"] == "other", "step"].tolist() == [2, 3, 5]
        assert history.iloc[0][list(columns)].to_dict() == columns
        with pytest.raises(StoreError, match="at most 1,900"):
            store.as_columns({f"m{i}": 0.0 for i in range(MOST_METRICS)})


def test_a_checkpoint_replaces_the_one_before_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert saved_state(run) is None
    for iteration in (3, 5):
        source = tmp_path / f"tune{iteration}"
        (source / "deep").mkdir(parents=True)
        (source / "deep/state").write_text(str(iteration))
        keep_checkpoint(run, source, {"training_iteration": iteration}, {"steps": 7 * iteration})
    state = saved_state(run)
    assert state is not None
    assert state["progress"] == {"steps": 35}
    (kept,) = run.glob("checkpoint-*")
    assert kept.name == state["folder"] == "checkpoint-5"
    assert (kept / "deep/state").read_text() == "5"


def _runs(count: int) -> dict[str, FunctionRun]:
    runs = unique_runs(FunctionRun(trainable="a:b", config={"x": 1}, seed=s) for s in range(count))
    return by_kind(runs)[1]


def test_a_run_is_a_pack_and_its_time_is_known_once_measured() -> None:
    runs = _runs(5)
    packs = make_packs(runs, slots=2)
    assert [pack.run_ids for pack in packs] == [(name,) for name in runs]
    assert len({pack.pack_id for pack in packs}) == 5
    assert estimate_own(5, slots=2, measured=[]).seconds is None
    measured = estimate_own(5, slots=2, measured=[10.0, 20.0])
    assert (measured.slot_seconds, measured.basis) == (75.0, "measured")
    assert measured.seconds is not None
    assert measured.seconds >= 37.5
    assert estimate_own(0, slots=2, measured=[]).seconds == 0.0


def test_progress_counts_runs_where_their_length_is_not_known() -> None:
    ended = {"lane": 0, "reason": "", "epochs": 0.0, "examples": 0, "wall_seconds": 1.0}
    outcomes = [
        Outcome(run_id=name, status=status, steps=9, final={"loss": 1.0}, best={}, **ended)
        for name, status in zip("abcd", ("completed", "running", "failed", "running"), strict=True)
    ]
    assert Tally(LOSS, {}, outcomes).share_done == 0.5


def test_configurations_of_free_form_are_exported(tmp_path: Path) -> None:
    configs = [{"w": 3, "deep": {"x": [1, 2]}}, {"w": "auto", "deep": {}}, {"w": None}]
    with Store.create(tmp_path / "s") as store:
        for seed, config in enumerate(configs):
            run = FunctionRun(trainable="a:b", config=config, seed=seed)
            assert as_columns(run) == {"trainable": "a:b", **config, "seed": seed}
        store.plan_runs(
            (f"r{seed}", seed, as_columns(FunctionRun(trainable="a:b", config=c, seed=seed)))
            for seed, c in enumerate(configs)
        )
        runs = store.runs()
    (path,) = export({"runs": runs}, tmp_path, "parquet")
    import pandas as pd

    table = pd.read_parquet(path)
    assert table["config.w"].tolist()[:2] == ["3", "auto"]
    assert table["config.deep.x"].tolist()[0] == "[1, 2]"


def test_a_report_leaves_out_what_only_regatta_knows(tmp_path: Path) -> None:
    from orchestrator.report.sections import SECTIONS

    for trainable, titles in (("", 8), ("a:b", 7)):
        results = plant(
            tmp_path / f"s{titles}",
            lambda chosen, seed: chosen["lr"] + 0.01 * seed,
            {"lr": [0.1, 0.2, 0.4]},
            metric="own/score",
            trainable=trainable,
        )
        made = [section for make in SECTIONS if (section := make(results)) is not None]
        assert len(made) == titles
        assert ("The schedules" in [section.title for section in made]) is not bool(trainable)
        assert results.x_axis is not None
        assert results.x_axis.path == "lr"
        headline = next(section for section in made if "best" in section.title)
        assert headline.finding.startswith("Best: lr 0.1, own score")
        assert ("order of data" in " ".join(headline.notes)) is not bool(trainable)

"""Networks of a lottery have names, tags and ranks that a person can read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.spec import load_study
from orchestrator.store import Store
from orchestrator.tracking import naming
from tests.spec.malformed import study
from tests.store.big import outcome
from trainables.configs import run_id, to_plain
from trainables.configs.run import RunConfig

ONE = (
    "procedure: {name: lottery, levels: 2, controls: [shuffled], children: 1,"
    " children_at: [0, 2]}\n"
)
SWEPT = (
    "sweep: {optimizer.lr: [0.1, 0.3], procedure.criterion: [magnitude, random],"
    " procedure.rewind_to: [0, {steps: 7}]}\n"
)


def frame(folder: Path, more: str) -> pd.DataFrame:
    """The runs as the store has them; the later, the lower the loss."""
    path = folder / "s.yaml"
    path.write_text(study(more))
    with Store.create(folder / "s") as store:
        store.set_meta(study="s")
        runs = [run for run in load_study(path).runs() if isinstance(run, RunConfig)]
        store.plan_runs((run_id(run), run.seed, to_plain(run)) for run in runs)
        for number, run in enumerate(runs):
            final = {"valid/loss": 1 / (1 + number)}
            store.record("p", [], [outcome(run_id(run), final=final)])
        return store.runs()


def names(runs: pd.DataFrame) -> list[str]:
    labels = naming.axes(runs)
    return [naming.run_name(run, labels) for run in naming.records(runs)]


def test_a_lottery_of_one_configuration(tmp_path: Path) -> None:
    runs = frame(tmp_path, ONE + "seeds: [3]\n")
    assert naming.axes(runs) == {}
    assert names(runs) == [
        "dense seed=3",
        "dense child 1 seed=3",
        "level 1 ticket seed=3",
        "level 1 shuffled seed=3",
        "level 2 ticket seed=3",
        "level 2 shuffled seed=3",
        "level 2 ticket child 1 seed=3",
    ]
    tags = [naming.tags(run)[-2:] for run in naming.records(runs)]
    assert tags[0] == ["constant", "dense"]
    assert tags[1] == ["dense", "child 1"]
    assert tags[3] == ["level 1", "shuffled"]


def test_what_is_swept_is_in_the_names(tmp_path: Path) -> None:
    runs = frame(tmp_path, ONE + SWEPT)
    found = names(runs)
    assert len(set(found)) == len(found) == 2 * (1 + 2 + 4 * 5)
    assert set(naming.axes(runs).values()) == {*("lr", "criterion", "rewind_to", "rewind_to.steps")}
    assert found[0] == "lr=0.1 dense seed=0"
    assert "lr=0.1 rewind_to.steps=7 dense child 1 seed=0" in found
    assert "lr=0.3 criterion=random rewind_to.steps=7 level 2 shuffled seed=0" in found
    assert "lr=0.3 criterion=magnitude rewind_to=0 level 2 ticket child 1 seed=0" in found


def test_networks_are_ranked_one_by_one_over_their_seeds(tmp_path: Path) -> None:
    runs = frame(tmp_path, ONE + "seeds: 3\n")
    best = naming.best_configurations(runs, {"metric": "valid/loss", "mode": "min"}, 2)
    assert [len(ids) for _, ids in best] == [3, 3]
    assert best[0][0] == pytest.approx((1 / 19 + 1 / 20 + 1 / 21) / 3)
    assert {*best[0][1]} == {*runs["run_id"][-3:]}


def test_other_studies_are_named_as_ever(tmp_path: Path) -> None:
    runs = frame(tmp_path, "sweep: {optimizer.lr: [0.1, 0.3]}\n")
    assert names(runs) == ["lr=0.1 seed=0", "lr=0.3 seed=0"]
    assert naming.tags(naming.records(runs)[0]) == ["s", "digits", "mlp", "sgd", "constant"]

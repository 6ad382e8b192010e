"""Levels in a session: packed as alone, interrupted as not, and what is lost is trained again."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.procedures.ladders import (
    REWOUND,
    Kept,
    archive_in,
    data_for,
    dense_runs,
    finish,
    named,
    same,
    session_of,
    trained,
    tree,
)
from trainables import saved_run
from trainables.configs import Mlp, RunConfig, run_id
from trainables.configs.base import Steps
from trainables.configs.data import GaussianMixture
from trainables.configs.optimizers import OPTIMIZERS, Adam, Sgd
from trainables.configs.run import Target
from trainables.parts import checkpoint_of
from trainables.session import PackSession, Settings

MANY: dict[str, Any] = {
    "rewind_to": REWOUND,
    "children": 1,
    "controls": ("reinitialized", "shuffled", "signs"),
}


def _forest(seeds: int = 2, dense: dict[str, Any] | None = None, **options: Any) -> list[RunConfig]:
    trees = [tree(one, **options) for one in dense_runs(seeds, **(dense or {}))]
    return [run for one in trees for run in one]


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.2, momentum=0.9), Adam(lr=0.02)])
@pytest.mark.parametrize("strategy", ["fused", "sequential"])
def test_a_tree_is_the_same_alone_and_among_others(strategy: str, optimizer: Any) -> None:
    # The gradient of a bias before a normalization is nothing but rounding, which Adam divides by
    # its own size.
    model = Mlp(hidden=(11, 3), norm="batch", bias=False)
    dense = {"optimizer": optimizer, "model": model}
    first, second = (tree(one, **MANY) for one in dense_runs(2, **dense))
    other = tree(dense_runs(1, **dense)[0], rate=0.45, levels=2, controls=())
    together, _ = trained([*second, *first, *other], strategy=strategy)
    alone, _ = trained(first)
    for run in first:
        same(together.params(run), alone.params(run), 1e-10)
        if run.lottery is not None:
            same(together.masks(run), alone.masks(run))


def test_masked_weights_end_at_zero_to_the_bit_and_keep_the_masks_of_their_ticket() -> None:
    runs = _forest(1, **MANY)
    kept, _ = trained(runs)
    for run in runs:
        for name, mask in kept.masks(run).items():
            weights = kept.params(run)[name]
            assert not weights.masked_select(~mask).view(torch.int64).any()


def test_rewound_weights_are_those_of_the_snapshot_to_the_bit() -> None:
    runs = _forest(1, rewind_to=REWOUND)
    kept, _ = trained(runs)
    snapshot = kept.lanes[run_id(runs[0]), 4]["params"]
    for run in runs[1:]:
        assert run.lottery is not None
        if run.lottery.control is None:
            start = kept.lanes[run_id(run), 4]["params"]
            for name, tensor in kept.lanes[run_id(run), 4]["masks"].items():
                assert start[name].equal(torch.where(tensor, snapshot[name], 0))


def _saved(session: PackSession) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(session.state_dict(), buffer)
    buffer.seek(0)
    found: dict[str, Any] = torch.load(buffer, weights_only=True)
    return found


@pytest.mark.parametrize("reports", range(0, 14, 2))
def test_interrupted_anywhere_it_goes_on_bit_for_bit(reports: int) -> None:
    runs = _forest(2, **MANY, dense={"train": {"evaluate_every": Steps(steps=6)}})
    whole, _ = trained(runs)
    session = session_of(runs)
    for _ in range(reports):
        session.advance()
    saved, kept = _saved(session), Kept()
    del session
    again = PackSession.restore(
        saved, named(runs), data_for(runs), Settings(strategy="fused"), kept.ended, kept.archive
    )
    finish(again)
    assert all(p.status == "completed" for p in again.progress.values())
    late = [run for run in runs if run_id(run) in kept.ends]
    assert late
    for run in late:
        same(kept.params(run), whole.params(run))


def test_rows_carry_the_level_and_steps_go_on_from_the_rewind_step() -> None:
    runs = _forest(1, rewind_to=REWOUND, dense={"train": {"evaluate_every": Steps(steps=6)}})
    rows = finish(session_of(runs))
    for run in runs:
        own = [row for row in rows if row["run_id"] == run_id(run)]
        node = run.lottery
        assert {row["level"] for row in own} == {node.level if node else 0}
        assert [row["step"] for row in own] == [6, 12, 17]


def test_what_was_measured_before_training_is_part_of_the_last_values() -> None:
    runs = _forest(1, children=1)
    kept = Kept()
    session = session_of(runs, kept, kept.archive)
    probes = []
    while not session.finished:
        probes += session.advance().probes
    for run in runs:
        final = session.progress[run_id(run)].final
        of_run = Counter(row["name"] for row in probes if row["run_id"] == run_id(run))
        if run.lottery is None:
            assert not any(name.startswith("probe/") for name in final)
            continue
        masks = kept.masks(run).values()
        share = sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)
        assert final["probe/density"] == pytest.approx(share, abs=1e-15)
        assert {"probe/supermask/test/accuracy", "probe/collapsed"} <= final.keys()
        assert ("probe/barrier/test/error" in final) == (run.lottery.child > 0)
        lines = 31 if run.lottery.child else 0
        expected = {"density": 3, "line/test/loss": lines, "line/valid/error": lines}
        assert {name: of_run[name] for name in expected} == expected


def _folder_with(runs: list[RunConfig], folder: Path) -> Kept:
    """Trains them, and keeps files of them as a worker does."""
    kept = Kept()
    session = PackSession(
        named(runs),
        data_for(runs),
        Settings(strategy="fused"),
        ended=lambda stack, ended: (kept.ended(stack, ended), saved_run.save(folder, stack, ended)),  # type: ignore[func-returns-value]
        archive=archive_in(folder),
    )
    finish(session)
    return kept


def _later(runs: list[RunConfig], folder: Path) -> tuple[Kept, PackSession, list[dict[str, Any]]]:
    kept = Kept()
    session = session_of(runs, kept, archive_in(folder))
    return kept, session, finish(session)


def test_what_a_study_gains_is_all_that_is_trained(tmp_path: Path) -> None:
    dense = dense_runs(1)[0]
    few = tree(dense, levels=2, rewind_to=REWOUND)
    many = tree(dense, **MANY)
    _folder_with(few, tmp_path)
    gained = [run for run in many if run not in few]
    kept, session, rows = _later(gained, tmp_path)
    assert session.progress.keys() == {run_id(run) for run in gained}
    assert {row["run_id"] for row in rows} == session.progress.keys()
    whole, _ = trained(many)
    for run in gained:
        same(kept.params(run), whole.params(run), 1e-12)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_lost_is_trained_again_and_not_reported(tmp_path: Path, damaged: bool) -> None:
    dense = dense_runs(1)[0]
    few, many = (tree(dense, levels=n, rewind_to=REWOUND, controls=()) for n in (2, 3))
    _folder_with(few, tmp_path)
    lost = [saved_run.path_of(tmp_path, run_id(few[-1])), tmp_path / f"{run_id(dense)}.at-4.pt"]
    for path in lost:
        if damaged:
            path.write_bytes(path.read_bytes()[:-9])
        else:
            path.unlink()
    kept, session, rows = _later(many[-1:], tmp_path)
    again = {run_id(few[-1]), run_id(dense)}
    assert session.progress.keys() == {run_id(many[-1]), *again}
    assert {row["run_id"] for row in rows} == {run_id(many[-1])}
    whole, _ = trained(many)
    same(kept.params(many[-1]), whole.params(many[-1]), 1e-12)


def test_a_dense_network_that_is_trained_again_for_a_snapshot_ends_there() -> None:
    dense = dense_runs(1, train={"evaluate_every": Steps(steps=2)})[0]
    first = tree(dense, controls=())
    kept = Kept()
    finish(session_of(first, kept, kept.archive))
    later = tree(dense, levels=1, rewind_to=REWOUND, controls=())[1:]
    session = session_of(later, None, kept.archive)
    reports = [session.advance() for _ in range(3)]
    assert session.progress[run_id(dense)].status == "stopped"
    assert session.progress[run_id(dense)].steps == 4
    assert all(p["run_id"] != run_id(dense) for report in reports for p in report.progress)


def test_part_of_an_interrupted_pack_goes_on_by_itself() -> None:
    """As when a pack kills its worker: its part has only some of the networks to train."""
    runs = _forest(2, **MANY)
    whole, _ = trained(runs)
    session = session_of(runs)
    session.advance()
    session.advance()
    for share in (runs[: len(runs) // 2], runs[len(runs) // 2 :], runs[-2:], runs[5:9]):
        saved, kept = _saved(session), Kept()
        part = checkpoint_of(saved, [run_id(run) for run in share])
        again = PackSession.restore(
            part, named(runs), data_for(runs), Settings(strategy="fused"), kept.ended
        )
        rows = finish(again)
        assert {row["run_id"] for row in rows} <= {run_id(run) for run in share}
        for run in share:
            assert again.progress[run_id(run)].status == "completed", run.lottery
            if run_id(run) in kept.ends:
                same(kept.params(run), whole.params(run), 1e-12)


def test_networks_of_one_that_diverged_end_with_it_and_the_others_go_on() -> None:
    bad = dense_runs(1, optimizer=Sgd(lr=1e12, momentum=0.9))[0]
    runs = [*tree(bad, children=1), *tree(dense_runs(1)[0], children=1)]
    session = session_of(runs)
    told = {}
    while not session.finished:
        told |= {p["run_id"]: p["status"] for p in session.advance().progress}
    bad_ids = {run_id(run) for run in runs if run.optimizer.lr > 1}
    assert {r for r, status in told.items() if status == "diverged"} == bad_ids
    assert {s for r, s in told.items() if r not in bad_ids} == {"completed"}
    last = session.progress[run_id(tree(bad)[-1])]
    assert "which it comes from, diverged" in last.reason


def test_a_network_that_reaches_its_target_is_pruned_where_it_stands() -> None:
    target = Target(metric="train/loss", value=0.9)
    runs = _forest(2, levels=2, dense={"train": {"steps": 70, "target": target}})
    _, session = trained(runs)
    reasons = Counter(p.reason for p in session.progress.values())
    assert reasons["target reached"] > 2
    assert len({p.steps for p in session.progress.values()}) > 2


def test_a_dense_network_that_ends_before_the_rewind_step_is_named() -> None:
    train = {"target": Target(metric="train/loss", value=1e3), "evaluate_every": Steps(steps=2)}
    runs = _forest(1, rewind_to=REWOUND, dense={"train": train})
    session = session_of(runs)
    finish(session)
    assert session.progress[run_id(runs[0])].reason == "target reached"
    lost = session.progress[run_id(runs[1])]
    assert lost.status == "failed"
    assert lost.reason == f"run {run_id(runs[0])} ended before step 4, to rewind to"


def test_what_cannot_be_pruned_fails_with_its_reason_and_the_dense_network_stays() -> None:
    runs = _forest(1, exclude=("nothing*",))
    session = session_of(runs)
    finish(session)
    assert session.progress[run_id(runs[0])].status == "completed"
    for run in runs[1:]:
        progress = session.progress[run_id(run)]
        assert progress.status == "failed"
    assert "'nothing*' matches none" in session.progress[run_id(runs[1])].reason


def test_rewinding_to_the_end_fails_what_would_be_rewound() -> None:
    runs = _forest(1, rewind_to=Steps(steps=17))
    session = session_of(runs)
    finish(session)
    assert session.progress[run_id(runs[0])].status == "completed"
    assert "not before the end of training, 17" in session.progress[run_id(runs[1])].reason


def test_levels_are_stacked_as_the_first_one_was_measured() -> None:
    data = GaussianMixture(classes=5, features=7, examples=997)
    dense = dense_runs(3, data=data, train={"steps": 150})
    runs = [run for one in dense for run in tree(one, levels=4)]
    session = session_of(runs, strategy="auto")
    finish(session)
    reasons = [choice.reason for choice in session.choices]
    assert "ms a lane" in reasons[1]
    assert reasons[2:] == ["as for an earlier level"] * 3
    assert len({choice.way for choice in session.choices[1:]}) == 1


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_rewinds_with_its_state_reset_or_kept(name: str) -> None:
    """And ends where its own network trained alone from the same start ends."""
    # Divided by next to nothing, or multiplied by many products, rounding is no longer small.
    special = {"sls": {}, "soap": {"lr": 0.01, "eps": 1e-3}}
    special["hessian_free"] = {"lr": 0.01, "cg_iterations": 7}
    optimizer = OPTIMIZERS[name](**special.get(name, {"lr": 0.01}))
    for state in ("reset", "kept"):
        runs = _forest(
            2, {"optimizer": optimizer}, levels=2, rewind_to=REWOUND, optimizer_state=state
        )
        together, session = trained(runs)
        alone, _ = trained([run for run in runs if run.seed == 1])
        assert session.progress
        for run in runs:
            if run.seed == 1:
                same(together.params(run), alone.params(run), 1e-9)

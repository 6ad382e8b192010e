"""Exported pruned networks: plain PyTorch and its own pruning load them, to the same outputs."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from typer.testing import CliRunner

from orchestrator.api import export_tickets
from orchestrator.cli import app
from orchestrator.store import Store
from trainables import models, saved_run
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.base import to_plain
from trainables.configs.lottery import Lottery, networks
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.procedures.lottery import Archive
from trainables.session import PackSession, Settings
from trainables.stack_width import Way

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
MODELS: dict[str, Any] = {
    "mlp": Mlp(hidden=(11, 3)),
    "norm": Mlp(hidden=(11, 3), norm="batch"),
    "vmapped": UserModel(name="tests.engine.models:convolutional"),
    "shared": UserModel(name="tests.engine.models:shared"),
}


class Study:
    """Two levels of a small lottery, trained, with a store that has them planned."""

    def __init__(self, folder: Path, dense: RunConfig, data: dict[str, DataSet]) -> None:
        lottery = Lottery(levels=2, rate=0.4, controls=("reinitialized",))
        self.runs = {run_id(run): run for run in networks(dense, lottery)}
        self.folder, kept = folder, folder / "runs"
        keep = functools.partial(saved_run.save_lane, kept)
        self.session = PackSession(
            [*self.runs.items()],
            data,
            Settings(ways=(Way(99),) * 9),
            ended=functools.partial(saved_run.save, kept),
            archive=Archive(keep, functools.partial(saved_run.load_lane, kept)),
        )
        while not self.session.finished:
            self.session.advance()
        assert {p.error for p in self.session.progress.values()} == {""}
        with Store.create(folder) as store:
            store.set_meta(study="s")
            store.plan_runs((name, run.seed, to_plain(run)) for name, run in self.runs.items())

    def of(self, level: int, control: str | None = None) -> str:
        (name,) = (
            name
            for name, run in self.runs.items()
            if run.lottery and (run.lottery.level, run.lottery.control) == (level, control)
        )
        return name


@pytest.fixture(name="study")
def _study(make_run: Maker, data_of: Data, tmp_path: Path) -> Study:
    run = make_run(train={"precision": "float64"})
    return Study(tmp_path / "s", run, data_of(run))


def _pruned(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    for name, mask in masks.items():
        layer, _, tensor = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(layer), tensor, mask)  # type: ignore[no-untyped-call]
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_both_files_give_the_network_whose_numbers_were_reported(
    make_run: Maker, data_of: Data, small_data: DataSet, tmp_path: Path, kind: str
) -> None:
    run = make_run(model=MODELS[kind], train={"precision": "float64"})
    study = Study(tmp_path / "s", run, data_of(run))
    written = export_tickets(study.folder, tmp_path / "out")
    assert (len(written.files), written.unsaved, written.damaged) == (8, [], [])
    x = torch.from_numpy(np.asarray(small_data.valid_x)).double()
    y = torch.from_numpy(np.asarray(small_data.valid_y))

    def built() -> nn.Module:
        return models.build(run.model, (7,), 5, seed=99).double().eval()

    for name in (study.of(1), study.of(2), study.of(2, "reinitialized")):
        plain = torch.load(tmp_path / f"out/tickets/{name}.pt", weights_only=True)
        pruned = torch.load(tmp_path / f"out/tickets/{name}.prune.pt", weights_only=True)
        model = built()
        model.load_state_dict(plain["model"])
        other = _pruned(built(), plain["masks"])
        other.load_state_dict(pruned)
        loss = nn.functional.cross_entropy(model(x), y).item()
        progress = study.session.progress[name]
        assert loss == pytest.approx(progress.final["valid/loss"], rel=1e-10)
        assert torch.equal(model(x), other(x))
        masks = {n: (m.dtype, m.shape) for n, m in plain["masks"].items()}
        assert masks == {n: (torch.bool, model.get_parameter(n).shape) for n in masks}
        left = sum(int(mask.sum()) for mask in plain["masks"].values())
        share = left / sum(mask.numel() for mask in plain["masks"].values())
        assert share == pytest.approx(progress.final["probe/density"])
        assert all((model.get_parameter(n)[~m] == 0).all() for n, m in plain["masks"].items())
        assert plain["run_id"] == name
        assert plain["config"] == to_plain(study.runs[name])


def test_a_start_is_what_the_ticket_trained_from(
    study: Study, tmp_path: Path, make_run: Maker
) -> None:
    """The initialization under its mask; of controls it is not kept, and left out."""
    export_tickets(study.folder, tmp_path)
    first = models.build(Mlp(hidden=(11, 3)), (7,), 5, seed=0).double()
    for level in (1, 2):
        ticket = torch.load(tmp_path / f"tickets/{study.of(level)}.pt", weights_only=True)
        assert set(ticket["start"]) == set(ticket["model"]) == set(first.state_dict())
        for name, tensor in first.state_dict().items():
            mask = ticket["masks"].get(name, torch.ones_like(tensor))
            assert torch.equal(ticket["start"][name], tensor * mask)
            assert not torch.equal(ticket["start"][name], ticket["model"][name])
    control = torch.load(tmp_path / f"tickets/{study.of(1, 'reinitialized')}.pt", weights_only=True)
    assert "start" not in control


def test_tensors_that_layers_share_start_together(
    make_run: Maker, data_of: Data, tmp_path: Path
) -> None:
    run = make_run(model=MODELS["shared"], train={"precision": "float64"})
    study = Study(tmp_path / "s", run, data_of(run))
    export_tickets(study.folder, tmp_path)
    ticket = torch.load(tmp_path / f"tickets/{study.of(1)}.pt", weights_only=True)
    first = models.build(run.model, (7,), 5, seed=0).double().state_dict()
    assert "second.weight" not in ticket["masks"], "a tensor has one mask, whatever its names"
    expected = first["first.weight"] * ticket["masks"]["first.weight"]
    assert torch.equal(ticket["start"]["first.weight"], expected)
    assert torch.equal(ticket["start"]["second.weight"], expected)


def test_what_is_not_kept_or_damaged_is_said(study: Study, tmp_path: Path) -> None:
    unsaved, damaged = study.of(1), study.of(2)
    (study.folder / f"runs/{unsaved}.pt").unlink()
    (study.folder / f"runs/{damaged}.pt").write_bytes(b"no checkpoint" * 99)
    result = CliRunner().invoke(
        app, ["export", str(study.folder), "-o", str(tmp_path / "o"), "--tickets"]
    )
    assert result.exit_code == 1
    assert f"runs/{damaged}.pt: its end is missing" in result.stderr
    assert "1 pruned networks were not saved" in result.stdout
    assert len(list((tmp_path / "o/tickets").glob("*.pt"))) == 4
    assert (tmp_path / "o/runs.parquet").exists()


def test_a_study_without_saved_networks_is_one_line(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s") as store:
        store.plan_runs([("a", 0, {"seed": 0})])
    result = CliRunner().invoke(
        app, ["export", str(tmp_path / "s"), "-o", str(tmp_path), "--tickets"]
    )
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "no pruned network is saved here; execution: {save: all} keeps them" in line


@pytest.mark.parametrize("tickets", [True, False])
def test_only_tickets_need_torch(study: Study, tmp_path: Path, tickets: bool) -> None:
    arguments = ["export", str(study.folder), "-o", str(tmp_path), *["--tickets"][: int(tickets)]]
    code = (
        "import sys; from orchestrator.cli import app;"
        f"app({arguments!r}, standalone_mode=False); sys.exit(3 if 'torch' in sys.modules else 4)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == (3 if tickets else 4), done.stderr

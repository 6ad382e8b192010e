"""A small store, wandb kept inside the test's folder, and the server's double."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import Outcome, Store
from tests.tracking.double import Double, serving

KEY = "0123456789abcdef" * 2 + "secrets_"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """wandb leaves the folders of its tables to the collector."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:Implicitly cleaning up"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What wandb has left is collected here, where nobody minds, and not in another test."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def wandb_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of wandb's is read from or written to the user's folders."""
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_ENTITY", "WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TMPDIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """The double as the configured server, with a key for it."""
    with serving() as double:
        monkeypatch.setenv("WANDB_BASE_URL", double.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield double


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with a store of 3 learning rates × 2 seeds, nothing trained yet."""
    folder = tmp_path / "lr"
    with Store.create(folder) as store:
        store.set_meta(
            study="lr",
            spec="study: lr\n",
            objective={"metric": "valid/loss", "mode": "min"},
            report={"top": 1},
        )
        plan(store, (0.1, 0.2, 0.3))
    return folder


def plan(store: Store, rates: tuple[float, ...]) -> None:
    """Makes every rate with seeds 0 and 1 a planned run; ``run_id`` such as ``r0.1-0``."""
    store.plan_runs(
        (
            f"r{rate}-{seed}",
            seed,
            {
                "model": {"name": "mlp", "hidden": [64, 32]},
                "optimizer": {"name": "sgd", "lr": rate},
                "seed": seed,
            },
        )
        for rate in rates
        for seed in (0, 1)
    )
    store.start_pack("pack", list(store.statuses()), {})


def steps(count: int) -> list[int]:
    """The training steps of the first ``count`` rows."""
    return [7 * (k + 1) for k in range(count)]


@pytest.fixture
def train(study: Path) -> Callable[..., None]:
    """``train(run_id, rows, status)``: the run has that many rows and stands so."""

    def trained(run_id: str, rows: int, status: str = "completed") -> None:
        loss = float(run_id[1:].split("-")[0])
        history: list[dict[str, Any]] = [
            {"run_id": run_id, "level": 0, "step": step, "epoch": step / 7, "examples": 11 * step}
            | {"seconds": 0.5, "valid/loss": loss / step}
            for step in steps(rows)
        ]
        outcome = Outcome(
            run_id=run_id,
            lane=0,
            status=status,
            reason="because",
            steps=7 * rows,
            epochs=rows,
            examples=77 * rows,
            wall_seconds=1.0,
            final={"valid/loss": loss, "probe/density": 0.2107},
            best={"valid/loss": loss / 2},
        )
        with Store.create(study) as store:
            store.record("pack", history, [outcome])

    return trained

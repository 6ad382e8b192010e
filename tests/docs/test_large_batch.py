"""The page on large batches: its study is the one that ships; the others that it names load."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

from orchestrator.spec import load_study
from trainables.configs import RunConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/studies/large-batch.md").read_text()
SWEEP = ROOT / "sweeps/large_batch.yaml"
CLUSTER = ROOT / "sweeps/cluster/large_batch_mnist.yaml"


def _runs(path: Path, overrides: list[str]) -> list[RunConfig]:
    return [run for run in load_study(path, overrides).runs() if isinstance(run, RunConfig)]


def test_the_study_on_the_page_is_the_one_that_ships(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "s.yaml"
    path.write_text(shown)
    runs = _runs(path, [])
    assert runs == _runs(SWEEP, [])
    assert len(runs) == 495
    examples = runs[0].data.sizes()
    assert examples is not None
    assert max(run.train.batch_size for run in runs) == examples.train


def test_the_other_studies_at_the_top_of_the_file_load() -> None:
    head = SWEEP.read_text().split("study: ")[0]
    words = shlex.split(head[head.index("# MNIST") :].replace("\\\n#", "").replace("#", ""))
    overrides = [word for option, word in pairwise(words) if option == "--set"]
    *mnist, warmups, lamb, rate = overrides
    runs = _runs(SWEEP, mnist)
    sizes = {run.train.batch_size for run in runs}
    examples = runs[0].data.sizes()
    assert examples is not None
    assert len(sizes) >= 12
    assert max(sizes) == examples.train == 55_000
    assert max(run.train.batch_size // run.train.accumulate for run in runs) <= 11_000
    assert len(_runs(SWEEP, [warmups])) == 2 * 495
    assert {run.optimizer.name for run in _runs(SWEEP, [lamb, rate])} == {"lamb"}


def test_the_study_for_a_cluster_loads() -> None:
    runs = _runs(CLUSTER, [])
    assert f"= {len(runs):,} runs" in CLUSTER.read_text().replace("\n# ", " ")
    names = {run.optimizer.name for run in runs}
    assert names == {"sgd", "adam", "lars", "lamb", "kfac"}
    half = _runs(CLUSTER, ["sweep.let.power=[0.5]"])
    assert 0.4 < len(half) / len(runs) < 0.6
    assert all(run.train.batch_size // run.train.accumulate <= 11_000 for run in runs)

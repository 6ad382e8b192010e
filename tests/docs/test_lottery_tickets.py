"""The page on lottery tickets: its study is the one that ships, and its table has every option."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from pathlib import Path
from typing import get_args

from orchestrator.spec import load_study
from trainables.configs import RunConfig
from trainables.configs.lottery import Control, CriterionName, Lottery

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/studies/lottery-tickets.md").read_text()
CLUSTER = ROOT / "sweeps/cluster/lottery_resnet20_cifar10.yaml"


def test_the_study_on_the_page_is_the_one_that_ships(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "s.yaml"
    path.write_text(shown)
    runs = load_study(path).runs()
    assert runs == load_study(ROOT / "sweeps/lottery_tickets.yaml").runs()
    assert len(runs) == 265


def test_the_study_for_mnist_at_the_top_of_the_file_loads() -> None:
    path = ROOT / "sweeps/lottery_tickets.yaml"
    head = path.read_text().split("study: ")[0].replace("\\\n# ", "")
    words = shlex.split(head[head.index("regatta run") :])
    overrides = [word for option, word in itertools.pairwise(words) if option == "--set"]
    study = load_study(path, overrides)
    assert study.name == "lottery-mnist"
    nodes = [run.lottery for run in study.runs() if isinstance(run, RunConfig)]
    assert max(node.level for node in nodes if node) == 20


def test_the_study_for_a_cluster_loads() -> None:
    runs = load_study(CLUSTER).runs()
    assert len(runs) == 126
    assert f"= {len(runs)} networks" in CLUSTER.read_text().replace("\n# ", " ")


def test_the_table_has_every_option() -> None:
    keys = re.findall(r"^\| `(\w+)` ?(?:\(|\|)", PAGE, re.MULTILINE)
    options = {field.name for field in dataclasses.fields(Lottery)} - {"name"}
    assert options <= {*keys}
    for name in (*get_args(CriterionName), *get_args(Control)):
        assert f"`{name}`" in PAGE

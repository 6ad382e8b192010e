"""The page on second-order methods, and the study that ships."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.spec import load_study
from trainables.configs import RunConfig, run_id, to_plain

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/studies/second-order.md").read_text()
SWEEP = ROOT / "sweeps/second_order.yaml"


def _runs(overrides: list[str]) -> list[RunConfig]:
    found = load_study(SWEEP, overrides).configurations
    return [run for run in found if isinstance(run, RunConfig)]


@pytest.fixture(scope="module")
def shipped() -> list[RunConfig]:
    return _runs([])


def _problem(run: RunConfig) -> tuple[str, str, int]:
    return str(to_plain(run.data)), run.train.loss, run.train.batch_size


def test_every_method_has_as_many_trials_on_every_problem(shipped: list[RunConfig]) -> None:
    counts = Counter((_problem(run), run.optimizer.name) for run in shipped)
    assert set(counts.values()) == {15}
    problems, methods = ({key[i] for key in counts} for i in (0, 1))
    assert len(problems) == 6
    assert len(counts) == len(problems) * len(methods)
    assert len({run_id(run) for run in shipped}) == len(shipped)
    head = SWEEP.read_text().split("study: ")[0]
    assert f"{len(methods)} optimizers" in head
    assert f"{3 * len(shipped):,} runs" in " ".join(head.replace("\n#", "").split())


def test_problems_have_one_target_and_no_method_a_budget_of_its_own(
    shipped: list[RunConfig],
) -> None:
    for problem in {_problem(run) for run in shipped}:
        own = [run for run in shipped if _problem(run) == problem]
        assert len({str(run.train.target) for run in own}) == 1
        budgets = {run.optimizer.name: run.train.steps for run in own}
        whole = budgets["sgd"]
        assert whole is not None
        for name, steps in budgets.items():
            assert steps == (whole // 5 if name == "hessian_free" else whole)


def test_no_method_has_a_wider_range_of_rates(shipped: list[RunConfig]) -> None:
    searched = {"lbfgs": 16.0, "hessian_free": 16.0}
    for name in {run.optimizer.name for run in shipped}:
        rates = {run.optimizer.lr for run in shipped if run.optimizer.name == name}
        assert len(rates) == 5
        assert max(rates) / min(rates) == pytest.approx(searched.get(name, 256.0), rel=1e-5)


def test_every_method_and_its_range_is_on_the_page(shipped: list[RunConfig]) -> None:
    for name in {run.optimizer.name for run in shipped}:
        assert re.search(rf"^\| .*`{name}`", PAGE, re.MULTILINE), name


def test_the_commands_on_the_page_and_in_the_file_load() -> None:
    lines = re.findall(r"^(?:# +)?regatta run sweeps/second_order.yaml(.*)$", PAGE, re.MULTILINE)
    lines += re.findall(r"^#.*?(--set (?:study|search).*)$", SWEEP.read_text(), re.MULTILINE)
    assert len(lines) >= 6
    sizes = set()
    for line in lines:
        words = shlex.split(line, comments=True)
        overrides = [word for option, word in pairwise(words) if option == "--set"]
        sizes.add(len(_runs(overrides)))
    assert len(sizes) > 2

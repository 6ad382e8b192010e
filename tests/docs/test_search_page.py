"""The studies of docs/search.md load, and are what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.spec import Study, load_study
from orchestrator.spec.axes import GRIDS, LISTS, RANGES
from orchestrator.spec.expressions import FUNCTIONS
from orchestrator.spec.searches import SEARCHES

PAGE = Path(__file__).parents[2] / "docs/search.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    path = tmp_path_factory.mktemp("page") / "s.yaml"
    loaded = []
    for block in BLOCKS:
        path.write_text(block, encoding="utf-8")
        loaded.append(load_study(path))
    return {study.name: study for study in loaded}


def test_the_studies(studies: dict[str, Study]) -> None:
    sizes = {name: study.size for name, study in studies.items()}
    expected = {
        "sgd-search": 200,
        "two-tasks": 10,
        "adam-tpe": 60,
        "descent-search": 64,
        "linear-scaling": 27,
    }
    assert sizes == expected
    assert [name for name, study in studies.items() if study.adaptive] == ["adam-tpe"]
    assert len(studies["adam-tpe"].objectives) == 2


def test_the_line_of_the_plan(studies: dict[str, Study]) -> None:
    assert f"`{studies['sgd-search'].design}`" in " ".join(TEXT.split())


@pytest.mark.parametrize("name", [*SEARCHES, *GRIDS, *LISTS, *RANGES, *FUNCTIONS, "tied"])
def test_every_name_is_there(name: str) -> None:
    assert re.search(rf"[`{{]{name}[`:]", TEXT)

"""The study in docs/lottery.md is a study, and its table has every field of the procedure."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from orchestrator.spec import load_study
from trainables.configs.lottery import Lottery

PAGE = (Path(__file__).parents[2] / "docs/lottery.md").read_text()


def test_the_study_on_the_page_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "s.yaml").write_text(text)
    study = load_study(tmp_path / "s.yaml")
    # Two rewind points of a dense network: 12 levels of three kinds; children at 0, 3 and 9.
    assert len(study.runs()) == 5 * (1 + 2 * (12 * 3 + 3 * 2))


def test_every_field_has_its_line() -> None:
    table = "".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    fields = {field.name for field in dataclasses.fields(Lottery)} - {"name"}
    assert set(re.findall(r"`(\w+)`", table)) == fields

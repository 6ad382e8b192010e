"""Exports: figures in every form, JSON without loss, a LaTeX table that LaTeX takes."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator import exports
from orchestrator.cli import app
from orchestrator.exports import export_figures, export_latex, export_results
from orchestrator.report.latex import ESCAPES, escape, latex_table
from orchestrator.report.sections.model import Table
from orchestrator.store import Store, StoreError
from tests.report.stores import plant

NASTY = r"50% & a_b $x$ #1 {c} ~ ^ \input{evil} <d> | 'e' \"f\" 🚣"


def loss(chosen: dict[str, Any], seed: int) -> float | str:
    rate = float(chosen["optimizer.lr"])
    return "diverged" if rate == 1.0 else rate / 3 + 0.01 * seed + 1


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    axes = {"optimizer.lr": [0.1, 0.3, 1.0], "data.name": ["plain", NASTY]}
    plant(folder, loss, axes, seeds=2)
    return folder


def test_figures_in_every_form(study: Path, tmp_path: Path) -> None:
    written = export_figures(study, tmp_path)
    assert {path.name for path in written} == {p.name for p in (tmp_path / "figures").iterdir()}
    stems = {path.stem for path in written}
    assert "basin" in stems
    assert len(written) == 5 * len(stems)
    for path in written:
        start = {".pdf": b"%PDF-1.", ".png": b"\x89PNG", ".svg": b"<svg", ".parquet": b"PAR1"}
        assert path.read_bytes().startswith(start.get(path.suffix, b"")), path
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            same = pd.read_csv(path.with_suffix(".csv"), dtype=object)
            assert list(table) == list(same)
            assert len(table) == len(same) > 0


def test_json_loses_nothing(study: Path, tmp_path: Path) -> None:
    names = [path.name for path in export_results(study, tmp_path, "json")]
    assert names == ["runs.parquet", "runs.json", "history.parquet", "history.json"]
    for name in ("runs", "history"):
        rows = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert len(rows) == len(table)
        for row, expected in zip(rows, table.to_dict("records"), strict=True):
            assert list(row) == list(expected)
            for key, value in expected.items():
                missing = value is None or value != value
                assert row[key] is None if missing else row[key] == value, key
    assert any(
        row["config.data.name"] == NASTY
        for row in json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))
    )


def test_json_has_no_number_for_infinity(tmp_path: Path) -> None:
    from orchestrator.store.frames import export

    values = [0.1 + 0.2, math.inf, -math.inf, math.nan]
    export({"t": pd.DataFrame({"x": values}), "none": pd.DataFrame({"x": []})}, tmp_path, "json")
    rows = json.loads((tmp_path / "t.json").read_text())
    assert [row["x"] for row in rows] == [0.1 + 0.2, None, None, None]
    assert json.loads((tmp_path / "none.json").read_text()) == []


def unescape(text: str) -> str:
    """What LaTeX prints, by its own rules; an order that is not known is a failure."""
    printed = {latex: character for character, latex in ESCAPES.items()}
    token = re.compile("|".join(re.escape(one) for one in sorted(printed, key=len, reverse=True)))
    rest = token.sub("", text)
    assert not re.search(r"[\\&%$#_{}~^]", rest), f"LaTeX would not print {text!r}"
    return token.sub(lambda found: printed[found[0]], text)


@given(st.text(alphabet=st.one_of(st.sampled_from(list(ESCAPES)), st.characters(codec="ascii"))))
def test_escaped_text_prints_as_itself(text: str) -> None:
    assert unescape(escape(text)) == re.sub(r"\s+|[\x00-\x1f\x7f]", " ", text)


def test_the_headline_as_latex(study: Path, tmp_path: Path) -> None:
    path = export_latex(study, tmp_path)
    assert path == tmp_path / "headline.tex"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1] == r"\begin{table}"
    assert lines[-1] == r"\end{table}"
    assert r"  \label{tab:planted}" in lines
    align = re.fullmatch(r"  \\begin\{tabular\}\{([lr]+)\}", lines[5])
    assert align is not None
    top, middle, bottom = (lines.index(rf"    \{rule}rule") for rule in ("top", "mid", "bottom"))
    rows = [lines[top + 1], *lines[middle + 1 : bottom]]
    cells = [[unescape(c.strip()) for c in row[:-3].split(" & ")] for row in rows]
    assert all(row.endswith(r" \\") for row in rows)
    assert {len(row) for row in cells} == {len(align[1])}
    assert cells[0][:3] == ["#", "configuration", "validation loss"]
    assert [row[1] for row in cells[1:3]] == ["plain, lr 0.1", f"data {NASTY}, lr 0.1"]
    assert cells[1][2] == "1.0383 ± 0.0071"  # (1 + 1/30) and 0.01 more, by hand


def test_a_row_that_begins_with_a_bracket() -> None:
    """After ``\\\\`` a bracket would be read as a length, and a star as an order."""
    table = Table(head=["a", "b"], rows=[["[1, 2]", "x"], ["*", "y"]], align="lr")
    text = latex_table(table, caption="c", label="tab:t")
    assert "    {[1, 2]} & x \\\\\n    {*} & y \\\\\n" in text


def test_no_table_yet(tmp_path: Path) -> None:
    Store.create(tmp_path / "empty").close()
    with pytest.raises(StoreError, match="no table for LaTeX yet"):
        export_latex(tmp_path / "empty", tmp_path)
    result = CliRunner().invoke(
        app, ["export", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), "--latex"]
    )
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].endswith("no configuration has its results")


def test_all_at_once_on_the_command_line(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [Path("a.svg"), Path("a.pdf"), Path("a.png")]  # they have a test of their own
    monkeypatch.setattr(exports, "export_figures", lambda folder, output: files)
    arguments = ["export", str(study), "-o", str(tmp_path), "--format", "json", "--latex"]
    result = CliRunner().invoke(app, [*arguments, "--figures"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:5] == [
        str(tmp_path / name)
        for name in ("runs.parquet", "runs.json", "history.parquet", "history.json", "headline.tex")
    ]
    assert lines[5:] == [f"{tmp_path}/figures: 3 files"]


def test_an_unknown_form_is_exit_code_2(study: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(study), "-o", str(tmp_path), "--format", "xml"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())

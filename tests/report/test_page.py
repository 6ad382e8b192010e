"""The page: whole, offline, escaped, quick, and written in one piece."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report import write_report
from orchestrator.report.page import MOST_ROWS, Heading, render_page
from orchestrator.report.sections.model import Section, Table
from orchestrator.store import Store, StoreError
from tests.report.stores import plant

NASTY = "<script>alert('x')</script> & \"quoted\" '{{ 7*7 }}' </script><!-- 🚣 \u2028"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, specs, and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.specs: list[dict[str, Any]] = []
        self.text = ""
        self._script: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = (dict(attrs).get("class") or "code") if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script == "spec":
            self.specs.append(json.loads(data))
        elif self._script is None:
            self.text += data


def loss(chosen: dict[str, Any], seed: int) -> float:
    return float(chosen["optimizer.lr"]) + 0.01 * seed + 1


def test_report_with_its_figures(tmp_path: Path) -> None:
    plant(tmp_path, loss, report={"title": "A title", "top": 2}, spec="study: planted\n")
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert "A title" in page.text
    assert "study: planted" in page.text
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    stems = ["basin", "curves_valid_accuracy", "curves_valid_loss", "grid", "schedules"]
    stems += ["ranking_final_value", "ranking_any_time", "ranking_time_to_target", "sensitivity"]
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("svg", "png", "csv")}
    assert len(page.specs) == len(stems)
    assert (tmp_path / "figures/basin.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figures/basin.svg").read_text(encoding="utf-8")
    csv = (tmp_path / "figures/basin.csv").read_text(encoding="utf-8").splitlines()
    assert csv[0] == "optimizer.lr,schedule,seed,status,valid/loss,complete"
    assert len(csv) == 31
    links = [a["href"] for tag, a in page.elements if tag == "a" and a["href"]]
    assert all(link.startswith("#") or (tmp_path / link).is_file() for link in links)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    plant(tmp_path, loss)
    text = write_report(tmp_path, figures=False).read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        assert not str(attributes.get("href") or "").startswith(("http", "//"))
        assert tag not in ("link", "iframe", "img", "object")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    for spec in page.specs:
        assert '"url"' not in json.dumps(spec)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len([1 for tag, a in page.elements if tag == "script" and not a]) == 2
    assert not (tmp_path / "figures").exists()


def test_other_peoples_text_is_only_text(tmp_path: Path) -> None:
    names = [NASTY, NASTY + "2", "x" * 10_000]
    axes = {"optimizer.lr": [0.01, 0.1, 1.0], "data.name": names}

    def planted(chosen: dict[str, Any], seed: int) -> float | str:
        return "failed" if chosen["optimizer.lr"] == 1.0 else loss(chosen, seed)

    plant(tmp_path, planted, axes, error=NASTY, spec=NASTY, command=NASTY, report={"title": NASTY})
    text = write_report(tmp_path, figures=False).read_text(encoding="utf-8")
    page = Page(text)
    assert page.text.count(NASTY) >= 3
    assert len([1 for tag, _ in page.elements if tag == "script"]) == 2 + len(page.specs)
    assert len(page.specs) == 5
    assert "alert" in json.dumps(page.specs[0])
    assert "x" * 100 not in page.text


def test_output_elsewhere_replaces_what_was_there(tmp_path: Path) -> None:
    plant(tmp_path / "study", loss)
    output = tmp_path / "new" / "page.html"
    assert write_report(tmp_path / "study", output, figures=False) == output
    output.write_text("old")
    write_report(tmp_path / "study", output, figures=False)
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in output.parent.iterdir()] == ["page.html"]


def test_a_study_without_results_has_a_report(tmp_path: Path) -> None:
    Store.create(tmp_path).close()
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Nothing has been planned yet." in page.text
    assert not page.specs


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study here"):
        write_report(tmp_path)


def test_a_thousand_runs(tmp_path: Path) -> None:
    rates = [0.001 * 1.1**k for k in range(50)]
    schedules = [{"name": name} for name in "abcd"]
    axes = {"optimizer.lr": rates, "schedule": schedules}
    plant(tmp_path, loss, axes, seeds=5, rows=20)
    begun = time.perf_counter()
    path = write_report(tmp_path, figures=False)
    assert time.perf_counter() - begun < 10  # 2 s on an idle core
    assert path.stat().st_size < 2_000_000


def test_the_report_needs_no_torch_and_no_ray() -> None:
    code = (
        "import sys, orchestrator.report; "
        "print(sorted({'torch', 'ray', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("more", [0, 1009])
def test_long_tables_end_with_what_is_left_out(more: int) -> None:
    rows = [[f"row {place}"] for place in range(MOST_ROWS + more)]
    table = Table(head=["one"], rows=rows, align="l")
    section = Section(title="t", lead="l", finding="f", tables=[table])
    heading = Heading(title="t", study="t", statuses={}, total=0)
    text = render_page(heading, [section], exported=False)
    assert text.count("<td") == MOST_ROWS
    assert ("1,009 more are left out" in text) == bool(more)
    assert ("regatta export" in text) == bool(more)

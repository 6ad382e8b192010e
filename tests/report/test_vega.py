"""The drawing library is bundled once, and never a reason for a report to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from orchestrator.report.vega import vega_script


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def bundle(snippet: str) -> str:
        made.append(snippet)
        return "var a = '</script><!-- é';"

    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    return made


def test_the_script_is_bundled_once(
    bundles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = vega_script()
    assert first == r"var a = '\x3c/script>\x3c!-- é';"
    assert vega_script() == first
    assert len(bundles) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    bundles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert vega_script() == vega_script()
    assert len(bundles) == 2

"""The report as one HTML file: sections rendered, charts and their library inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestrator.report.export import write_atomically, write_figures
from orchestrator.report.results import Results, load_results
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.sections.setup import status_counts
from orchestrator.report.theme import DARK, FONT, LIGHT, PAGE_CONFIG
from orchestrator.report.vega import vega_script

LONG = 420
"""Characters from which on a finding is told in paragraphs."""
_SENTENCE_ENDS = re.compile(r"(?<=[^.\s]{2}\.)(?<!al\.)(?<!vs\.) ")
MOST_ROWS = 200
"""Of a table: nobody reads more, and thousands make a page slow."""


def write_report(
    folder: Path,
    output: Path | None = None,
    *,
    figures: bool = True,
    reload: float | None = None,
) -> Path:
    """Writes the report of the study in ``folder``, finished or not.

    Args:
        folder: the study's folder, which holds its store.
        output: the HTML file; by default ``folder/report.html``.
        figures: also write each figure as SVG, PNG and CSV into ``figures/`` beside it.
        reload: after so many seconds a browser reads the page again.

    Returns:
        The path of the HTML file.

    Raises:
        StoreError: there is no store, or it is damaged or of another version.
    """
    path = output or folder / "report.html"
    results = load_results(folder)
    sections = sections_of(results)
    write_page(_heading(results, reload), sections, path, figures=figures)
    return path


def render(results: Results, sections: Sequence[Section], *, exported: bool) -> str:
    """The page of one study as text: see ``render_page``."""
    return render_page(_heading(results), sections, exported=exported)


def _heading(results: Results, reload: float | None = None) -> Heading:
    study = str(results.meta.get("study") or "study")
    return Heading(
        title=str((results.meta.get("report") or {}).get("title") or study),
        study=study,
        finished=str(results.meta.get("finished") or "")[:10],
        statuses=status_counts(results.runs),
        total=len(results.runs),
        reload=reload,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """What stands above the sections."""

    title: str
    study: str
    """Shown where it is not the title."""
    finished: str = ""
    statuses: Mapping[str, int]
    total: int
    """Runs."""
    reload: float | None = None
    """After so many seconds a browser reads the page again."""


def write_page(heading: Heading, sections: Sequence[Section], path: Path, *, figures: bool) -> None:
    """Writes the page, and its figures into ``figures/`` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if figures:
        drawn = [figure for section in sections for figure in section.figures]
        write_figures(drawn, path.parent / "figures")
    write_atomically(path, render_page(heading, sections, exported=figures).encode())


def render_page(heading: Heading, sections: Sequence[Section], *, exported: bool) -> str:
    """The page as text.

    Args:
        exported: whether the figures stand as files in ``figures/`` beside the page, to be
            linked.
    """
    # Autoescape is always on: labels, errors and specifications are other people's text.
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = _anchor
    environment.filters["paragraphs"] = paragraphs
    return environment.get_template("page.html.jinja").render(
        title=heading.title,
        study=heading.study,
        finished=heading.finished,
        statuses=heading.statuses,
        total=heading.total,
        sections=sections,
        exported=exported,
        reload=None if heading.reload is None else max(1, round(heading.reload)),
        most_rows=MOST_ROWS,
        style=Markup(_style()),  # noqa: S704 - our own file
        vega=Markup(vega_script()) if any(s.figures for s in sections) else "",  # noqa: S704 - a library
        draw=Markup(_beside("page.js")),  # noqa: S704 - our own file
        chart=_chart_json,
    )


def _style() -> str:
    """The style sheet with the theme's colours as variables."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in colours.items())
        for colours in (LIGHT, DARK)
    )
    sheet = _beside("page.css")
    return (
        f":root{{--font:{FONT};{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{sheet}"
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _chart_json(figure: Figure) -> Markup:
    """The chart's specification, as wide as the page, safe inside a script element."""
    spec: dict[str, Any] = figure.spec(PAGE_CONFIG)
    spec["width"] = "container"
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    text = json.dumps(spec, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # "<" could begin an end tag or a comment; JSON reads the escape as the same character.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(safe)  # noqa: S704 - escaped above


def paragraphs(text: str) -> list[str]:
    """A long finding in parts of a few lines, broken between sentences; nothing is left out."""
    if len(text) < LONG:
        return [text]
    parts = [""]
    for sentence in _SENTENCE_ENDS.split(text):
        if len(parts[-1]) > LONG / 3:
            parts.append("")
        parts[-1] = f"{parts[-1]} {sentence}" if parts[-1] else sentence
    return parts


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

"""Figures as files: SVG and PNG to place in a paper, CSV to draw them again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import vl_convert

from orchestrator.report.sections.model import Figure
from orchestrator.report.theme import EXPORT_CONFIG

PNG_SCALE = 2.0


def write_figures(figures: Iterable[Figure], folder: Path) -> None:
    """Writes ``name.svg``, ``name.png`` and ``name.csv`` for each figure into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        svg = vl_convert.vegalite_to_svg(json.dumps(figure.spec(EXPORT_CONFIG)))
        write_atomically(folder / f"{figure.name}.svg", svg.encode())
        png = vl_convert.svg_to_png(svg, scale=PNG_SCALE)
        write_atomically(folder / f"{figure.name}.png", png)
        write_atomically(folder / f"{figure.name}.csv", figure.csv().encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the whole file or leaves what was there: a reader never sees half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

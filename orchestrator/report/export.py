"""Figures as files: SVG, PNG and PDF to place in a paper, CSV and Parquet to draw them again."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import vl_convert

from orchestrator.report.sections.model import Figure
from orchestrator.report.theme import EXPORT_CONFIG
from orchestrator.store.frames import uniform

PNG_SCALE = 2.0
BESIDE_A_REPORT = ("svg", "png", "csv")
"""What every report writes; a PDF takes as long as all of these."""
EVERY_FORM = (*BESIDE_A_REPORT, "pdf", "parquet")


def write_figures(
    figures: Iterable[Figure], folder: Path, forms: Iterable[str] = BESIDE_A_REPORT
) -> list[Path]:
    """Writes ``name.<form>`` for each figure and form into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        svg: str = vl_convert.vegalite_to_svg(json.dumps(figure.spec(EXPORT_CONFIG)))
        for form in forms:
            path = folder / f"{figure.name}.{form}"
            write_atomically(path, _FORMS[form](svg, figure.table()))
            written.append(path)
    return written


def _parquet(_: str, table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    uniform(table.set_axis([str(column) for column in table], axis=1)).to_parquet(out, index=False)
    return out.getvalue()


_FORMS: dict[str, Callable[[str, pd.DataFrame], bytes]] = {
    "svg": lambda svg, _: svg.encode(),
    "png": lambda svg, _: bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE)),
    "pdf": lambda svg, _: bytes(vl_convert.svg_to_pdf(svg)),
    "csv": lambda _, table: str(table.to_csv(index=False)).encode(),
    "parquet": _parquet,
}
"""From the drawing and its data."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the whole file or leaves what was there: a reader never sees half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

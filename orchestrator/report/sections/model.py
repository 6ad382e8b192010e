"""What a section of a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import altair as alt
import pandas as pd

from orchestrator.report.figures import Chart


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its caption and the data behind it."""

    name: str
    """File name of the export, without ending; unique in a report."""
    chart: Chart
    caption: str
    data: pd.DataFrame
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names that columns of ``data`` have in the exported CSV."""

    def spec(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The chart as a Vega-Lite specification with its data and this configuration."""
        return {**self._drawn, "config": dict(config)}

    @cached_property
    def _drawn(self) -> dict[str, Any]:
        # Altair refuses more than 5,000 rows by default; sections keep their data small.
        with alt.data_transformers.enable("default", max_rows=None):
            spec: dict[str, Any] = self.chart.to_dict()
        return spec

    def table(self) -> pd.DataFrame:
        """The data, with columns named as in the export."""
        return self.data.rename(columns=dict(self.columns))


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of text; ``align`` has one of l and r for each column."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    caption: str = ""
    folded: bool = False
    """Shown only when opened, with the caption as its title."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Text as it was written: a command, a specification, an error."""

    title: str
    text: str
    folded: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One question that a report answers."""

    title: str
    lead: str
    """One sentence: what is shown."""
    finding: str
    """What came out, in plain words with figures; or why there is nothing to show."""
    facts: Sequence[tuple[str, str]] = ()
    """Short facts: (what, value)."""
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    blocks: Sequence[Block] = ()
    notes: Sequence[str] = ()
    """How to read it: definitions and caveats, in small print."""

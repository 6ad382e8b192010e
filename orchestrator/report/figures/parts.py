"""What figures share: scales, ticks, legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
WIDTH = 640
FAINT = 0.12
GREY = "#7d868e"
"""Legible on white and on black."""
PERCENT = "format(100 * datum.value, '~g') + ' %'"
"""Labels of a share."""
NUMBER = ".4~g"


def scale(log: bool, **options: Any) -> alt.Scale:
    # A logarithmic scale has no zero, and Vega warns where it is told so.
    kind: dict[str, Any] = {"type": "log"} if log else {"type": "linear", "zero": False}
    return alt.Scale(**kind | {"nice": False} | options)


def log_ticks(low: float, high: float, most: int = 7) -> list[float] | None:
    """Round values for a logarithmic axis; None leaves the choice to Vega."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        # Through text, so that 3 · 10⁻² is 0.03 and not 0.030000000000000002.
        values = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        shown = [value for value in values if low * 0.999 <= value <= high * 1.001]
        if len(shown) <= most:
            return shown if len(shown) > 1 else None
    return None


def axis(low: float, high: float, log: bool, **options: Any) -> alt.Axis:
    """An axis that is labelled from low to high, whatever else its scale holds."""
    ticks = log_ticks(low, high) if log else None
    if ticks:
        # Vega drops every other value beyond tickCount, and labels of a logarithmic scale of
        # its own accord: hence the count and the format.
        label = options.get("labelExpr", "format(datum.value, '~g')")
        options |= {"values": ticks, "tickCount": len(ticks), "labelExpr": label}
    elif not log:
        options["labelExpr"] = f"datum.value > {high!r} ? '' : datum.label"
    defaults: dict[str, Any] = {"format": "~g", "tickCount": 6, "labelOverlap": not ticks}
    return alt.Axis(**defaults | options)


def group_colour(title: str, order: Sequence[str], **options: Any) -> alt.Color:
    """A colour for each group, with a legend of as many columns as fit the figure.

    Args:
        options: more of the legend, such as its ``offset`` from the figure.
    """
    legend: Any = None
    if len(order) > 1:
        longest = max(len(group) for group in order)
        columns = alt.ExprRef(f"max(1, floor(width / {7 * min(longest, 45) + 34}))")
        legend = alt.Legend(
            title=title, columns=columns, symbolOpacity=1, symbolStrokeWidth=2, **options
        )
    return alt.Color("group:N", title=title, scale=alt.Scale(domain=list(order)), legend=legend)


COLOURS = 8
"""Of the theme: from the ninth group on they come again."""


def group_dash(title: str, order: Sequence[str]) -> dict[str, alt.StrokeDash]:
    """A channel that dashes the lines of groups whose colour another has; none where none has."""
    if len(order) <= COLOURS:
        return {}
    whole, dashed = [1, 0], [5, 3]
    pattern = [dashed if place // COLOURS % 2 else whole for place in range(len(order))]
    dashes = alt.Scale(domain=list(order), range=pattern)
    return {"strokeDash": alt.StrokeDash("group:N", title=title, scale=dashes, legend=None)}


def picked_groups(order: Sequence[str]) -> list[alt.Parameter]:
    """A click on the legend picks groups; there is none to click for a single group."""
    if len(order) < 2:
        return []
    return [alt.selection_point(name="picked", fields=["group"], bind="legend")]


def opacity(picked: Sequence[alt.Parameter], full: float = 1.0) -> Any:
    """The opacity channel: ``full``, and next to nothing for groups that are not picked."""
    if not picked:
        return alt.value(full)
    return alt.condition(picked[0], alt.value(full), alt.value(full * FAINT))

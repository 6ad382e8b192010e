"""Colours and type, once: for the page (light, dark, print) and for exported figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, "
    "'Liberation Sans', sans-serif"
)
EXPORT_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"

# After Okabe & Ito (2008), told apart with every common form of colour blindness; darker on
# white and lighter on black where the original has too little contrast.
LIGHT = {
    "paper": "#ffffff",
    "panel": "#f6f7f8",
    "ink": "#1b1f24",
    "muted": "#5c6670",
    "line": "#d9dde1",
    "grid": "#eceef0",
    "accent": "#0068a6",
    "series-1": "#0072b2",
    "series-2": "#d55e00",
    "series-3": "#009e73",
    "series-4": "#c4629b",
    "series-5": "#d99000",
    "series-6": "#4aa8e0",
    "series-7": "#555b61",
    "series-8": "#86691d",
}
DARK = {
    "paper": "#14171a",
    "panel": "#1c2024",
    "ink": "#e6e9ec",
    "muted": "#98a2ab",
    "line": "#353b41",
    "grid": "#24292e",
    "accent": "#6cb8ea",
    "series-1": "#4ba3e0",
    "series-2": "#ef7d3a",
    "series-3": "#2fc096",
    "series-4": "#e39ac4",
    "series-5": "#efb43a",
    "series-6": "#94d4f7",
    "series-7": "#b4bac0",
    "series-8": "#c6a450",
}
# In the page, charts take their colours from the style sheet, so that they follow the
# reader's light or dark setting, and paper, without being drawn again.
PAGE = {name: f"var(--{name})" for name in LIGHT}


def chart_config(colours: Mapping[str, str], font: str) -> dict[str, Any]:
    """Vega-Lite configuration in these colours."""
    text = {"labelColor": colours["muted"], "titleColor": colours["ink"]}
    return {
        "background": None,
        "font": font,
        "view": {"stroke": None},
        "axis": {
            **text,
            "labelFontSize": 11,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": colours["grid"],
            "domainColor": colours["line"],
            "tickColor": colours["line"],
        },
        "legend": {
            **text,
            "orient": "top",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelColor": colours["ink"],
            "labelLimit": 320,
            "rowPadding": 3,
            "columnPadding": 14,
            "gradientThickness": 10,
        },
        "range": {"category": [c for name, c in colours.items() if name.startswith("series-")]},
        "text": {"fill": colours["ink"]},
        "rule": {"stroke": colours["line"]},
    }


EXPORT_CONFIG = {**chart_config(LIGHT, EXPORT_FONT), "background": LIGHT["paper"]}
PAGE_CONFIG = chart_config(PAGE, FONT)

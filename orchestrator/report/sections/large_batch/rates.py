"""The best learning rate against the batch size: its exponent beside the linear and root rules."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_best_rates
from orchestrator.report.large_batch import Exponent, exponent, sensitivity
from orchestrator.report.sections.large_batch.study import REACHED, LargeBatch
from orchestrator.report.sections.large_batch.words import whole
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import count, listed, number

TITLE = "The best learning rate for each batch size"
FACTOR = 1.5
"""A rate is nearly as good where it takes at most so many times the fewest steps."""
RULES = {"linear": 1.0, "square root": 0.5}


def rates_section(study: LargeBatch) -> Section | None:
    """None where no batch size has several learning rates."""
    if study.points.groupby("batch_size")["rate"].nunique().max() < 2:
        return None
    lead = f"The learning rate that takes the fewest steps to a {study.target}."
    data = best_rates(study)
    if data.empty:
        why = "No batch size has reached the target at several learning rates yet."
        return Section(title=TITLE, lead=lead, finding=why)
    laws = {group: exponent(study.points, group) for group in study.shown}
    parts = [_exponents(study, laws), _below(study), _edges(data, study)]
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(part for part in parts if part),
        figures=[_figure(study, data, laws)],
        notes=[
            "The exponent a in rate ∝ batch size^a is fitted to logarithms by least squares, with"
            " Student’s interval, which allows for the distance of the rates that were swept. Best"
            " rates on an edge of the swept range are left out of it. The rules pass through the"
            " middle of the fitted line. Of equally good rates, the geometric mean."
        ],
    )


def best_rates(study: LargeBatch) -> pd.DataFrame:
    """A row a shown group and batch size that has reached the target at one of several rates.

    x (batch size), group, value (best rate), low and high (rates within FACTOR), edge (bool), side.
    """
    rows = []
    for group in study.shown:
        own = study.points[(study.points["group"] == group) & study.points["rate"].gt(0)]
        widths = sensitivity(own, factor=FACTOR).set_index("batch_size")
        for size, some in own.groupby("batch_size"):
            reached = some[some["status"] == REACHED]
            if reached.empty or some["rate"].nunique() < 2:
                continue
            ties = reached.loc[reached["steps"] == reached["steps"].min(), "rate"]
            side = _side(ties, some["rate"])
            width = widths.loc[size]
            rows.append(
                {
                    "x": float(str(size)),
                    "group": group,
                    "value": float(np.exp(np.log(ties).mean())),
                    "low": width["low"],
                    "high": width["high"],
                    "edge": side != "inside",
                    "side": side,
                }
            )
    columns = ["x", "group", "value", "low", "high", "edge", "side"]
    return pd.DataFrame(rows, columns=columns).astype({"edge": bool})


def _side(ties: pd.Series, tried: pd.Series) -> str:
    if ties.max() == tried.max():
        return "upper"
    return "lower" if ties.min() == tried.min() else "inside"


def _exponents(study: LargeBatch, laws: dict[str, Exponent | None]) -> str:
    law = laws[study.leading]
    whose = study.whose(study.leading)
    if law is None:
        return (
            f"Fewer than three batch sizes{whose} have their best rate inside the swept range: no "
            "exponent is fitted."
        )
    first = f"The best learning rate{whose} goes as the batch size to the power {_told(law)}."
    others = [
        f"{group} {number(other.slope, 2)} ({number(other.low, 2)} to {number(other.high, 2)})"
        for group, other in laws.items()
        if group != study.leading and other is not None
    ]
    return f"{first} Others: {listed(others, separator='; ')}." if others else first


def _told(law: Exponent) -> str:
    return (
        f"{number(law.slope, 2)} (95 % interval {number(law.low, 2)} to {number(law.high, 2)}, "
        f"{count(len(law.batch_sizes), 'batch size')}): {_rule(law)}"
    )


def _rule(law: Exponent) -> str:
    agrees = law.agrees
    if len(agrees) == 2:
        return "both the linear rule (1) and the square-root rule (0.5) lie in it"
    if agrees:
        other = next(name for name in RULES if name not in agrees)
        return f"in line with the {_named(agrees[0])} rule, not with the {_named(other)} one"
    if law.low <= 0 <= law.high:
        return "it does not clearly depend on the batch size"
    return "neither the linear rule (1) nor the square-root rule (0.5)"


def _named(rule: str) -> str:
    return f"{rule.replace(' ', '-')}"


def _below(study: LargeBatch) -> str:
    """The exponent up to B_crit, where larger ones are there, too: rates level off beyond."""
    fit = study.fits[study.leading]
    if fit is None or not fit.smallest < fit.b_crit.value < fit.largest:
        return ""
    law = exponent(study.points, study.leading, largest=fit.b_crit.value)
    if law is None or law.high - law.low > 1:
        return ""  # an interval that holds any rule says nothing
    return f"Up to B_crit ({whole(fit.b_crit.value)}) alone: {_told(law)}."


def _edges(data: pd.DataFrame, study: LargeBatch) -> str:
    """Where the sweep should be extended."""
    parts = []
    for side in ("lower", "upper"):
        own = data[data["side"] == side]
        sizes = [
            f"{row['x']:,.0f}" + (f" ({row['group']})" if study.several else "")
            for _, row in own.iterrows()
        ]
        if sizes:
            parts.append(f"on the {side} one at batch size {listed(sizes)}")
    if not parts:
        return ""
    return (
        "The best rate lies on an edge of the swept range, so that the sweep should be extended: "
        f"{'; '.join(parts)}."
    )


def _figure(study: LargeBatch, data: pd.DataFrame, laws: dict[str, Exponent | None]) -> Figure:
    shown = [group for group in study.shown if (data["group"] == group).any()]
    sizes = np.geomspace(float(data["x"].min()), float(data["x"].max()), 33)
    lines = [
        pd.DataFrame({"x": sizes, "group": group, "value": [law.rate(size) for size in sizes]})
        for group in shown
        if (law := laws[group]) is not None
    ]
    leading = laws[study.leading] or next((law for law in laws.values() if law is not None), None)
    empty = pd.DataFrame({"x": [], "group": [], "value": []}).astype({"x": float, "value": float})
    chart = draw_best_rates(
        data,
        group_title=study.group_title,
        order=shown,
        fits=pd.concat(lines) if lines else empty,
        rules=_rules(leading, sizes),
    )
    caption = (
        f"Learning rate with the fewest steps to a {study.target}, against the batch size. Bars: "
        f"rates that take at most {FACTOR:g} times as many. Hollow: on an edge of the swept range. "
        "Line: fitted power law. Grey: the linear (dashed) and the square-root rule (dotted)."
    )
    columns = {"x": "batch_size", "value": "best_learning_rate", "group": study.group_title}
    return Figure(name="best_rates", chart=chart, caption=caption, data=data, columns=columns)


def _rules(law: Exponent | None, sizes: np.ndarray) -> pd.DataFrame:
    """Both rules through the middle of a fitted law: x, name, value."""
    if law is None:
        empty = pd.DataFrame({"x": [], "name": [], "value": []})
        return empty.astype({"x": float, "value": float})
    middle = float(np.exp(np.log(law.batch_sizes).mean()))
    at = law.rate(middle)
    parts = [
        pd.DataFrame({"x": sizes, "name": name, "value": at * (sizes / middle) ** power})
        for name, power in RULES.items()
    ]
    return pd.concat(parts, ignore_index=True)

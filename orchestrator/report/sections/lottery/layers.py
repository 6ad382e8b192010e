"""What pruning leaves of each layer, what of it is of use, and layers that it has cut through."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_heat_map, draw_lines, x_weights_left
from orchestrator.report.networks import TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import leading, networks, which
from orchestrator.report.sections.lottery.measure import SHARES, nearest
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import count, listed, percent

TITLE = "What is left of each layer"
MOST_LAYERS = 60
MOST_GROUPS = 8
_EFFECTIVE = "final/probe/effective_density"


def layers_section(results: Results) -> Section | None:
    """None where no mask was measured."""
    base, setting = leading(results)
    layers = _layers(results, base, setting)
    effective = _effective(results, base)
    collapse = _collapse(results)
    if layers.empty and effective.empty and not collapse:
        return None
    figures = []
    if not layers.empty:
        figures.append(_heat_map(layers))
    if not effective.empty:
        figures.append(_figure(effective))
    sentences = [_spread(layers), _dead(effective), collapse]
    return Section(
        title=TITLE,
        lead="The share of its weights that pruning leaves each layer, and how many of these lie on"
        " a path from input to output.",
        finding=" ".join(filter(None, sentences)) + which(results, base, setting),
        figures=figures,
        notes=[
            "The effective density counts weights on a path from an input to an output alone; it is"
            " missing where a model’s layers are not known to follow each other. A layer has"
            " collapsed when none of its weights is left: nothing then passes through it."
        ],
    )


def _layers(results: Results, base: str, setting: str) -> pd.DataFrame:
    """Means over seeds: layer, level, share (of the network's weights left), value."""
    probes = results.probes
    table = networks(results)
    own = table[(table["base"] == base) & (table["setting"] == setting)]
    own = own[(own["kind"] == TICKET) & (own["child"] == 0)]
    rows = probes[probes["name"] == "density"].merge(
        own[["run_id", "level", "density"]], on="run_id"
    )
    grouped = rows.groupby(["level", "at"], sort=False, as_index=False)
    found = grouped.agg(value=("value", "mean"), share=("density", "mean"))
    return found.rename(columns={"at": "layer"}).sort_values("level", kind="stable")


def _heat_map(layers: pd.DataFrame) -> Figure:
    kept = list(dict.fromkeys(layers["layer"]))[:MOST_LAYERS]
    shares = layers.groupby("level")["share"].mean()
    texts = {level: percent(float(share), 2) for level, share in shares.items()}
    data = layers[layers["layer"].isin(kept)]
    data = data.assign(
        x=data["level"].map(texts),
        y=data["layer"],
        text=[percent(value, 2).removesuffix(" %") for value in data["value"]],
        value=data["value"].where(data["value"] > 0),
    )
    chart = draw_heat_map(
        data,
        x_title="weights left in the network",
        y_title="layer",
        value_title="left in the layer",
        columns=list(dict.fromkeys(texts.values())),
        rows=kept,
        log=True,
        higher_is_better=True,
        percent=True,
    )
    more = f" The first {MOST_LAYERS} layers." if layers["layer"].nunique() > MOST_LAYERS else ""
    caption = (
        "Weights left in each layer, in percent, mean over the tickets’ seeds; brighter: more is "
        f"left. Grey: none.{more}"
    )
    return Figure(name="layers", chart=chart, caption=caption, data=data)


def _spread(layers: pd.DataFrame) -> str:
    """The fullest and the emptiest layer at the level of about an eighth of the weights."""
    if layers.empty or layers["layer"].nunique() < 2:
        return ""
    shares = layers.groupby("level")["share"].mean()
    level = nearest({int(str(n)): float(s) for n, s in shares.items()}, SHARES[1:2])
    at = layers[layers["level"].isin(level)].sort_values("value", kind="stable")
    if at.empty:
        return ""
    low, high = at.iloc[0], at.iloc[-1]
    where = percent(float(shares[level[0]]))
    if high["value"] <= 1.01 * low["value"]:
        return f"At {where}, all layers keep the same share."
    return (
        f"At {where}, {high['layer']} keeps most, {percent(float(high['value']))} of its weights, "
        f"and {low['layer']} least, {percent(float(low['value']))}."
    )


def _effective(results: Results, base: str) -> pd.DataFrame:
    """Tickets' effective density: x (density), group (setting), value, low, high, n."""
    table = networks(results)
    values = results.runs.get(_EFFECTIVE, pd.Series(np.nan, index=table.index)).astype(float)
    own = table.assign(value=values)
    own = own[(own["base"] == base) & (own["kind"] == TICKET) & (own["child"] == 0)]
    if own["value"].isna().all():
        return pd.DataFrame()
    # Rewinding moves no weight of a mask's count: the way of pruning alone tells lines apart.
    means = mean_intervals(own, ["variant", "level"], "value")
    shares = own.groupby(["variant", "level"])["density"].mean().rename("x")
    data = means.merge(shares, left_on=["variant", "level"], right_index=True)
    place = {variant: i for i, variant in enumerate(own["variant"].drop_duplicates())}
    data = data.sort_values("variant", key=lambda names: names.map(place), kind="stable")
    return data.rename(columns={"variant": "group", "mean": "value"})


def _figure(data: pd.DataFrame) -> Figure:
    order = list(dict.fromkeys(data["group"]))[:MOST_GROUPS]
    drawn = data[data["group"].isin(order) & (data["value"] > 0)]
    if order == [""]:
        order, drawn = ["tickets"], drawn.assign(group="tickets")
    all_used = pd.DataFrame({"x": drawn["x"], "value": drawn["x"]}).assign(group=_ALL)
    both = pd.concat([drawn, all_used.sort_values("x")], ignore_index=True)
    chart = draw_lines(
        both,
        across=x_weights_left(both["x"].tolist()),
        y_title="weights left and on a path",
        group_title="effective density",
        order=[*order, _ALL],
        percent=True,
        log_y=True,
        height=280,
    )
    caption = (
        "The share of all weights that are left and lie on a path from input to output, against "
        "the share that is left. Means over seeds."
    )
    columns = {"x": "density", "value": "effective_density", "group": "pruning"}
    return Figure(name="effective", chart=chart, caption=caption, data=both, columns=columns)


_ALL = "if every weight were on a path"


def _dead(effective: pd.DataFrame) -> str:
    if effective.empty:
        return ""
    last = effective.sort_values("x", kind="stable").iloc[0]
    dead = 1 - float(last["value"] / last["x"])
    way = f" ({last['group']})" if last["group"] else ""
    if dead < 0.001:
        return f"At {percent(float(last['x']))}{way}, every weight left is on a path."
    return (
        f"At {percent(float(last['x']))}{way}, {percent(dead, 2)} of the weights left lie on no "
        "path from input to output."
    )


def _collapse(results: Results) -> str:
    """Tickets through which nothing passes any more; silent where nothing was measured."""
    table = networks(results)
    column = results.runs.get("final/probe/collapsed", pd.Series(np.nan, index=table.index))
    own = table.assign(gone=column.astype(float))
    own = own[(own["kind"] == TICKET) & (own["child"] == 0)].dropna(subset=["gone"])
    if own.empty:
        return ""
    gone = own[own["gone"] > 0]
    if gone.empty:
        return f"No layer of {count(len(own), 'ticket')} has collapsed."
    parts = [
        f"{len(rows)} of {len(own[(own['variant'] == variant) & (own['level'] == level)])} at "
        f"{percent(float(rows['density'].mean()))}{f' ({variant})' if variant else ''}"
        for (variant, level), rows in gone.groupby(["variant", "level"], sort=False)
    ]
    names = _names(results, gone["run_id"])
    return f"Tickets with a collapsed layer{names}: {listed(parts)}. They answer all alike."


def _names(results: Results, run_ids: pd.Series) -> str:
    probes = results.probes
    empty = probes[
        (probes["name"] == "density") & probes["run_id"].isin(run_ids) & (probes["value"] == 0)
    ]
    names = list(dict.fromkeys(map(str, empty["at"])))
    return f" ({listed(names, 3)})" if names else ""

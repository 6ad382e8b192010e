"""What is compared with each other: the networks of one configuration and one way of pruning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from orchestrator.report.networks import DENSE, KINDS, TICKET
from orchestrator.report.results import Results, dense_only
from orchestrator.report.sections.lottery.measure import Measure, values_of
from orchestrator.report.statistics import Difference, mean_intervals

CONTROLS = tuple(KINDS.values())


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Dense networks of one configuration, and tickets and controls of one way of pruning."""

    base: str
    setting: str
    table: pd.DataFrame
    """``Results.networks`` of these, without children; ``value`` (NaN unless whole), ``status``."""

    @cached_property
    def shares(self) -> dict[int, float]:
        """Level → share of the weights left."""
        means = self.table.groupby("level")["density"].mean()
        return {int(str(level)): float(share) for level, share in means.items()}

    @property
    def kinds(self) -> list[str]:
        """Tickets, then the controls that there are."""
        present = set(self.table["kind"])
        others = [kind for kind in present if kind not in (DENSE, TICKET, *CONTROLS)]
        return [k for k in (TICKET, *CONTROLS, *sorted(others)) if k in present]

    def means(self) -> pd.DataFrame:
        """kind, level → mean, low, high, n over seeds."""
        return mean_intervals(self.table, ["kind", "level"], "value")

    def lines(self) -> pd.DataFrame:
        """A row a point of a figure: x (weights left), group (kind), value, low, high, n, level.

        The line of each kind begins at the dense network, which it comes from.
        """
        means = self.means()
        dense = means[means["kind"] == DENSE]
        drawn = [kind for kind in self.kinds if kind in set(means["kind"])]
        parts = [pd.concat([dense, means[means["kind"] == kind]]) for kind in drawn or [DENSE]]
        named = [p.assign(group=k) for k, p in zip(drawn or [DENSE], parts, strict=True)]
        lines = pd.concat(named, ignore_index=True)
        lines["x"] = lines["level"].map(self.shares)
        return lines.rename(columns={"mean": "value"}).drop(columns="kind")

    def dense_mean(self) -> float:
        return float(self.table.loc[self.table["kind"] == DENSE, "value"].mean())

    def differences(self, kind: str) -> dict[int, Difference]:
        """Level → tickets − that kind (the dense network's, where it is ``DENSE``), by seed."""
        table = self.table.dropna(subset=["value"])
        tickets = table[table["kind"] == TICKET]
        others = table[table["kind"] == kind]
        keys = ["seed"] if kind == DENSE else ["level", "seed"]
        pairs = tickets.merge(others.groupby(keys, as_index=False)["value"].mean(), on=keys)
        pairs["difference"] = pairs["value_x"] - pairs["value_y"]
        return as_differences(mean_intervals(pairs, ["level"], "difference"))


def as_differences(intervals: pd.DataFrame) -> dict[int, Difference]:
    """Of a frame of ``mean_intervals`` by one key."""
    key = str(intervals.columns[0])
    return {
        int(row[key]): Difference(
            mean=float(row["mean"]),
            low=float(row["low"]),
            high=float(row["high"]),
            pairs=int(row["n"]),
        )
        for _, row in intervals.iterrows()
    }


def drawn_tickets(cell: Cell) -> pd.DataFrame:
    """The points of the tickets' line, the dense network's first; none before any ticket has a
    value."""
    lines = cell.lines()
    return lines[lines["group"] == TICKET]


def networks(results: Results) -> pd.DataFrame:
    assert results.networks is not None
    return results.networks


def ordered_bases(results: Results) -> list[str]:
    """Configurations, the one with the best dense network first; those unranked at the end."""
    ranked = [str(label) for label in dense_only(results).ranked().index]
    table = networks(results)
    whole = results.runs["whole"].astype(bool)
    done = (
        whole.groupby(table["base"], sort=False).sum().sort_values(ascending=False, kind="stable")
    )
    return list(dict.fromkeys([*ranked, *map(str, done.index)]))


def settings_of(results: Results, base: str) -> list[str]:
    """The ways of pruning of a configuration, in the study's order."""
    table = networks(results)
    own = table.loc[(table["base"] == base) & (table["level"] > 0), "setting"]
    return [str(setting) for setting in own.drop_duplicates()]


def cell_of(results: Results, measure: Measure | None, base: str, setting: str) -> Cell:
    """Without a measure, ``value`` is for the caller to fill in."""
    table = networks(results)
    kept = (table["base"] == base) & (table["child"] == 0)
    kept &= (table["level"] == 0) | (table["setting"] == setting)
    own = table[kept].assign(status=results.runs.loc[kept, "status"])
    value = values_of(results, measure.column)[kept] if measure else float("nan")
    return Cell(base=base, setting=setting, table=own.assign(value=value))


def leading(results: Results) -> tuple[str, str]:
    """The configuration with the best dense network, and its first way of pruning."""
    table = networks(results)
    pruned = set(table.loc[table["level"] > 0, "base"])
    bases = [base for base in ordered_bases(results) if base in pruned]
    base = bases[0] if bases else ordered_bases(results)[0]
    settings = settings_of(results, base)
    return base, settings[0] if settings else ""


def which(results: Results, base: str, setting: str = "") -> str:
    """What of the study is shown, where there is more; else empty."""
    table = networks(results)
    several = table["base"].nunique()
    parts = []
    if several > 1:
        ranked = base in dense_only(results).ranked().index
        why = "the best of {} by its dense networks" if ranked else "one of {}"
        parts.append(f"{base}, {why.format(several)}")
    if setting and len(settings_of(results, base)) > 1:
        parts.append(setting)
    return f" Shown: {'; '.join(parts)}." if parts else ""

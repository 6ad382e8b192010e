"""What the probe of the spectrum has measured, as frames."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.results import Results

MATRICES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix"}
"""What is measured before preconditioning, in words."""
AFTER = "preconditioned"
_PARTS = r"^(?P<matrix>hessian|gauss_newton|preconditioned)/(?P<what>\w+)$"
_OWN = ["run_id", "configuration", "seed", "optimizer", "momentum", "nesterov", "lr"]


def measured(results: Results) -> pd.DataFrame:
    """A row a value: matrix, what, step, place (text), value, and of the run: run_id,
    configuration, seed, optimizer, lr, momentum (0 where it has none) and nesterov."""
    probes = results.probes
    parts = probes["name"].astype(str).str.extract(_PARTS)
    at = probes["at"].astype(str).str.partition("/")
    rows = probes.assign(**parts, step=pd.to_numeric(at[0], errors="coerce"), place=at[2])
    rows = rows.dropna(subset=["matrix", "step", "value"])
    return rows[["run_id", "matrix", "what", "step", "place", "value"]].merge(
        _runs(results), on="run_id"
    )


def _runs(results: Results) -> pd.DataFrame:
    runs = results.runs
    nothing = pd.Series(np.nan, index=runs.index)
    optimizer = {
        key: runs.get(f"config.optimizer.{key}", nothing) for key in ("lr", "momentum", "nesterov")
    }
    names = runs.get("config.optimizer.name", nothing).astype(object)
    own = runs.assign(**optimizer, optimizer=names)[_OWN]
    nesterov = own["nesterov"].map(lambda value: value is True or value == 1)
    return own.assign(momentum=own["momentum"].astype(float).fillna(0.0), nesterov=nesterov)


def scalars(rows: pd.DataFrame, matrix: str, what: str) -> pd.DataFrame:
    """The rows of one number of a matrix, such as ``top``, one a run and step."""
    kept: pd.DataFrame = rows[(rows["matrix"] == matrix) & (rows["what"] == what)]
    return kept[kept["place"] == ""]


def at_ends(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run the first and the last of these rows: ``first``, ``last``, and their steps."""
    ordered = rows.sort_values(["run_id", "step"]).groupby("run_id", as_index=False, sort=False)
    return ordered.agg(
        configuration=("configuration", "first"),
        seed=("seed", "first"),
        first=("value", "first"),
        last=("value", "last"),
        first_step=("step", "first"),
        last_step=("step", "last"),
    )


def stable_below(rows: pd.DataFrame, history: pd.DataFrame) -> pd.Series:
    """The largest eigenvalue at which plain gradient descent is stable: (2 + 2β) / η at each row.

    Cohen, Kaur, Li, Kolter & Talwalkar 2021 (arXiv 2103.00065), section 2, heavy-ball momentum
    β; η is the rate of the last step before the row, of the first known one at the start. NaN
    for other optimizers.
    """
    rates = history[["run_id", "step", "lr"]].dropna() if "lr" in history else None
    if rates is None or rates.empty:
        eta = rows["lr"].astype(float)
    else:
        rates = rates.rename(columns={"lr": "rate"}).sort_values("step")
        left = rows.assign(row=np.arange(len(rows))).sort_values("step")
        left = left.astype({"step": float})
        rates = rates.astype({"step": float})
        merged = pd.merge_asof(
            left[["row", "run_id", "step"]], rates, on="step", by="run_id", direction="nearest"
        )
        eta = pd.Series(merged.sort_values("row")["rate"].to_numpy(), index=rows.index)
    plain = (rows["optimizer"] == "sgd") & ~rows["nesterov"]
    found: pd.Series = ((2 + 2 * rows["momentum"]) / eta.where(eta > 0)).where(plain)
    return found


def last_density(rows: pd.DataFrame, matrix: str) -> pd.DataFrame:
    """The density at the last measurement of each run, relative to the largest eigenvalue: the
    columns of ``rows``, and x = λ/λ₁, density (per unit of x)."""
    own = rows[(rows["matrix"] == matrix) & (rows["what"] == "density")]
    own = own[own["step"] == own.groupby("run_id")["step"].transform("max")]
    tops = scalars(rows, matrix, "top")[["run_id", "step", "value"]].rename(
        columns={"value": "top"}
    )
    own = own.merge(tops[tops["top"] > 0], on=["run_id", "step"])
    x = pd.to_numeric(own["place"], errors="coerce") / own["top"]
    return own.assign(x=x, density=own["value"] * own["top"]).dropna(subset=["x"])

"""``advise``: from a study's folder to a batch size, a learning rate, a time and a price."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.report.large_batch.planner import Advice, AdviceError, advise_from
from orchestrator.report.large_batch.throughput import Throughput, measured, of_rates, read_csv
from orchestrator.report.large_batch.trials import trials
from orchestrator.store import Store


def advise(
    folder: str | Path,
    gpus: int,
    *,
    examples_per_second: float | None = None,
    throughput: str | Path | None = None,
    price: float | None = None,
    group: str | None = None,
) -> Advice:
    """What training to the study's target takes on 1 … 1,024 GPUs, and on ``gpus`` of them.

    Args:
        examples_per_second: of one GPU, at any batch of at least the study's smallest; a smaller
            one takes as long.
        throughput: a CSV file of examples in a step on one GPU and examples a second. By default
            the study's own.
        price: of a GPU for an hour.
        group: which optimizer, schedule, …, as reports label it; by default the fastest.

    Raises:
        AdviceError: the study has no target, no two batch sizes, or none that reached it.
        ThroughputError: the file is malformed.
        StoreError: there is no readable store in ``folder``.
    """
    _check(gpus, examples_per_second, throughput, price)
    folder = Path(folder)
    with Store.open(folder) as store:
        meta, runs = store.meta(), store.runs()
    try:
        table = _trials(meta, runs)
        if throughput is not None:
            given: Throughput | None = read_csv(Path(throughput))
        elif examples_per_second is not None:
            given = of_rates({float(table["batch_size"].min()): examples_per_second}, "as given")
        else:
            given = measured(table)
        if given is None:
            raise AdviceError("no time was measured; give --examples-per-second or --throughput")
        return advise_from(table, given, gpus, price=price, group=group)
    except AdviceError as error:
        raise AdviceError(f"{folder}: {error}") from None


def _check(
    gpus: int,
    examples_per_second: float | None,
    throughput: str | Path | None,
    price: float | None,
) -> None:
    if gpus < 1:
        raise AdviceError(f"--gpus: must be at least 1, got {gpus}")
    if examples_per_second is not None and throughput is not None:
        raise AdviceError("write at most one of --examples-per-second and --throughput")
    if examples_per_second is not None and not 0 < examples_per_second < math.inf:
        raise AdviceError(f"--examples-per-second: must be above 0, got {examples_per_second:g}")
    if price is not None and not 0 <= price < math.inf:
        raise AdviceError(f"--price: must be at least 0, got {price:g}")


def _trials(meta: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    if "config.train.target.value" not in runs or runs["config.train.target.value"].isna().any():
        raise AdviceError("its runs have no target; a large-batch study needs train.target")
    table = trials(runs, meta.get("axes"), conditional=meta.get("conditional") or ())
    sizes = table["batch_size"].unique()
    if len(sizes) < 2:
        raise AdviceError(
            f"its runs all have batch size {sizes[0]}; a large-batch study varies train.batch_size"
        )
    return table

"""The planner's table: batch size, learning rate, time and GPU time for 1 … 1,024 GPUs."""

from __future__ import annotations

from orchestrator.report.large_batch.planner import EFFICIENT, Advice, AdviceError, Row, advise_from
from orchestrator.report.large_batch.throughput import measured
from orchestrator.report.sections.large_batch.study import LargeBatch
from orchestrator.report.sections.large_batch.words import whole
from orchestrator.report.sections.model import Section, Table
from orchestrator.report.text import count, duration, number, percent

TITLE = "On how many GPUs"


def plan_section(study: LargeBatch) -> Section:
    lead = (
        f"What training to a {study.target} is predicted to take on 1 to 1,024 GPUs, at the "
        "fastest batch size for each."
    )
    throughput = measured(study.trials)
    if throughput is None:
        why = "No run has taken any time yet: there is no throughput to predict from."
        return Section(title=TITLE, lead=lead, finding=why)
    try:
        advice = advise_from(study.trials, throughput, 1)
        # The group that is fastest on as many as it pays to use, not on one.
        advice = advise_from(study.trials, throughput, advice.diminishing.gpus)
    except AdviceError as error:
        return Section(title=TITLE, lead=lead, finding=f"Nothing can be predicted yet: {error}.")
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, advice),
        tables=[_table(advice)],
        notes=[
            "Time = S(B) · t(B / N): the fitted steps, and the seconds of a step with B / N"
            f" examples on each of N GPUs, here of throughput {throughput.source}. What exchanging"
            " gradients takes is not in it. For your own GPUs: regatta advise DIR --gpus N with"
            " --examples-per-second or --throughput FILE, and --price. Efficiency: the least GPU"
            " time of the table over that of the row."
        ],
    )


def _finding(study: LargeBatch, advice: Advice) -> str:
    one, most = advice.rows[0], advice.diminishing
    whose = f"With {advice.group}, one" if study.several else "One"
    first = f"{whose} machine like the one that ran the study takes {_described(one)}."
    if most.gpus == one.gpus:
        return f"{first} Two already lose more than half of their time.{_beyond(advice)}"
    lost = percent(1 - EFFICIENT)
    return (
        f"{first} It pays to use up to {most.gpus:,} (more lose over {lost} of their time): "
        f"{_described(most)}, {number(one.seconds / most.seconds, 2)} times as fast."
        f"{_beyond(advice)}"
    )


def _described(row: Row) -> str:
    rate = f" and learning rate {number(row.rate)}" if row.rate == row.rate else ""
    return f"{duration(row.seconds)} at batch size {row.batch_size:,}{rate}"


def _beyond(advice: Advice) -> str:
    some = [row for row in advice.rows if row.extrapolated]
    if not some:
        return ""
    return (
        f" From {some[0].gpus:,} GPUs on, batches are larger than any that was measured: those "
        f"{count(len(some), 'row')} are extrapolated."
    )


def _table(advice: Advice) -> Table:
    rows = [
        [
            f"{row.gpus:,}",
            f"{row.batch_size:,}",
            whole(row.per_gpu),
            number(row.rate),
            whole(row.steps),
            duration(row.seconds),
            duration(3600 * row.gpu_hours),
            percent(row.efficiency, 2),
            "; ".join(row.notes),
        ]
        for row in advice.rows
    ]
    head = ["GPUs", "batch size", "each", "learning rate", "steps", "time", "GPU time"]
    head += ["efficiency", "mind"]
    return Table(head=head, rows=rows, align="rrrrrrrrl", caption=f"Of {advice.group}.")

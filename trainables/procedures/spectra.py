"""When a run's spectrum is measured, and what is made of it: never inside a step."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainables.configs.probes import Spectrum
from trainables.engine import Stack
from trainables.probes.spectrum import Found, metrics, spectra, spectrum_rows
from trainables.procedures.measures import Measures
from trainables.stack_width import release_memory


def spectra_at_start(run_ids: Sequence[str], stack: Stack) -> Measures:
    """Of runs that begin: from their first step, or as pruned networks from where these do."""
    config = _config(stack)
    if config is None or 0 not in config.at or (stack.updates and not stack.masks):
        return Measures({}, [])
    return _measured(run_ids, stack, config, range(stack.lanes))


def spectra_due(run_ids: Sequence[str], stack: Stack, due: Sequence[int]) -> Measures:
    """Of the lanes among ``due``, which are being evaluated, whose spectrum is due, too.

    Whether it is depends on a lane's step and length alone: not on its neighbours, nor on what
    has been measured before, so that nothing is to be kept for a resume.
    """
    config = _config(stack)
    if config is None:
        return Measures({}, [])
    lanes = [lane for lane in due if _is_due(stack, config, lane)]
    return _measured(run_ids, stack, config, lanes) if lanes else Measures({}, [])


def _config(stack: Stack) -> Spectrum | None:
    probes = stack.runs[0].probes
    return None if probes is None else probes.spectrum


def _is_due(stack: Stack, config: Spectrum, lane: int) -> bool:
    if config.every is not None and stack.reached(stack.interval * config.every):
        return True
    length = stack.lengths[lane]
    # Evaluations are at the first step that reaches a multiple of the interval.
    multiple = stack.last // stack.interval * stack.interval
    before = stack.ends[bisect.bisect_left(stack.ends, multiple)]
    now = min(stack.step, length)
    return any(before < max(1, round(share * length)) <= now for share in config.at if share)


def _measured(
    run_ids: Sequence[str], stack: Stack, config: Spectrum, lanes: Sequence[int]
) -> Measures:
    part = stack if len(lanes) == stack.lanes else stack.keep(lanes)
    values: dict[str, dict[str, float]] = {}
    rows: list[dict[str, Any]] = []
    for found, own in _halved(part, config, lanes):
        for index, lane in enumerate(own):
            values[run_ids[lane]] = metrics(found, index)
            rows += spectrum_rows(found, index, run_ids[lane], stack.updates)
    return Measures(values, rows)


def _halved(
    stack: Stack, config: Spectrum, lanes: Sequence[int]
) -> list[tuple[Mapping[str, Found], Sequence[int]]]:
    """All lanes at once, or in halves where memory does not hold that."""
    try:
        return [(spectra(stack, config), lanes)]
    except torch.OutOfMemoryError:
        if len(lanes) == 1:
            raise
    release_memory()
    half = len(lanes) // 2
    both = range(half), range(half, len(lanes))
    return [
        one for own in both for one in _halved(stack.keep(own), config, [lanes[i] for i in own])
    ]

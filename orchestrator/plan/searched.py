"""What a study whose configurations a searcher suggests will train, as far as it is known."""

from __future__ import annotations

import dataclasses
import math
import random

from orchestrator.plan.packs import MOST_LANES
from orchestrator.spec.space import PointError
from orchestrator.spec.study import Study
from trainables.configs.function_run import Run

SUGGESTIONS_A_PACK = 8
_ROUNDS = 4


def suggestions_a_pack(study: Study, slots: int) -> int:
    """Configurations that a searcher is asked for at a time, for one pack.

    A searcher knows nothing of what is still being trained: the more is out, the more it draws
    as at the start. Optuna's TPE draws its first 10 at random, and of 60 runs two slots of 8 are
    16 at a time, so that about 40 are suggested from results. On more slots packs are narrower, as
    far as that keeps about four rounds. ``execution.lanes`` overrules it.
    """
    if study.trainable is not None:
        return 1
    if study.execution.lanes is not None:
        return max(1, study.execution.lanes // len(study.seeds))
    rounds = math.ceil(study.size / (_ROUNDS * slots))
    return max(1, min(SUGGESTIONS_A_PACK, rounds, MOST_LANES // len(study.seeds)))


def search_lanes(study: Study, slots: int) -> int:
    """Lanes of a pack of suggestions, each with all seeds; own training has a run a trial."""
    if study.trainable is not None:
        return 1
    return study.execution.lanes or suggestions_a_pack(study, slots) * len(study.seeds)


def sample_runs(study: Study, count: int) -> list[Run]:
    """Configurations drawn from the study's space, each with its first seed, and one at least
    with each value of an axis that is a list: what is suggested will be of this kind."""
    space = study.space
    assert space is not None
    draw = random.Random("sample")  # noqa: S311
    points = [space.point([draw.random() for _ in space.dimensions]) for _ in range(count)]
    points += [
        space.point([draw.random() for _ in space.dimensions]) | {dimension.path: value}
        for dimension in space.dimensions
        for value in dimension.values
    ]
    found = []
    for point in points:
        try:
            found.append(dataclasses.replace(study.configuration(point), seed=study.seeds[0]))
        except PointError:
            continue
    return found

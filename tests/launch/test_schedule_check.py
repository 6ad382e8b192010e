"""What a schedule could raise is said before any worker starts, in one line each."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.launch.check import LaunchError, check
from orchestrator.spec.checks import _schedule_within_training
from trainables.configs import RunConfig, length
from trainables.configs import schedules as s
from trainables.configs.base import Duration, Epochs, Steps
from trainables.data import DataSet
from trainables.schedules import course

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
PER_EPOCH = 7
"""Of 91 training examples, 13 a step."""
TINY, HUGE = 5e-324, 1.7e308

DURATIONS = st.one_of(
    st.sampled_from([0.0, TINY, 1e-9, 0.05, 1 / 3, 0.5, 0.95, 1.0]),
    st.floats(0, 1),
    st.sampled_from([0, 1, 2, 7, 10**6, 2**63, 10**400]).map(lambda n: Steps(steps=n)),
    st.integers(0, 40).map(lambda n: Steps(steps=n)),
    st.sampled_from([0.0, TINY, 0.5, 1.0, 3.0, 1e12, HUGE]).map(lambda n: Epochs(epochs=n)),
)
SHARES = st.sampled_from([TINY, 1e-300, 1e-5, 0.3, 1.0])
RATIOS = st.one_of(st.just(0.0), SHARES)
SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("multistep", "milestones"): st.lists(DURATIONS, max_size=3).map(tuple),
    ("polynomial", "power"): st.sampled_from([0.0, TINY, 0.5, 2.0, HUGE]),
    ("sgdr", "multiplier"): st.sampled_from([1, 2, 2**63]),
    ("cyclic", "rise"): st.sampled_from([TINY, 0.01, 0.5, 0.999]),
    ("cyclic", "base_momentum"): st.just(0.8),
    ("cyclic", "max_momentum"): st.just(0.9),
    ("one_cycle", "base_momentum"): st.just(0.85),
    ("one_cycle", "max_momentum"): st.just(0.95),
    ("plateau", "factor"): st.just(0.1),
}


def halved(step: int, every: int) -> float:
    return 0.5 ** (step // every)  # type: ignore[no-any-return]


def _values(name: str, field: dataclasses.Field[Any], hint: Any) -> st.SearchStrategy[Any]:
    if (name, field.name) in SPECIAL:
        return SPECIAL[name, field.name]
    for kind, values in (
        (Duration, DURATIONS),
        (Duration | None, st.one_of(st.none(), DURATIONS)),
        (s.Ratio, RATIOS),
        (s.PositiveFraction, SHARES),
        (s.PositiveFraction | None, st.one_of(st.none(), SHARES)),
        (bool, st.booleans()),
    ):
        if hint == kind:
            return values
    if all(isinstance(word, str) for word in get_args(hint)) and get_args(hint):
        return st.sampled_from(get_args(hint))
    return st.just(field.default)


def _built(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        return kind(**fields)
    except ValueError:  # what the section itself refuses
        return None


def _schedules(name: str) -> st.SearchStrategy[Any]:
    kind = s.SCHEDULES[name]
    hints = get_type_hints(kind, include_extras=True)
    fields = {
        field.name: _values(name, field, hints[field.name]) for field in dataclasses.fields(kind)
    }
    return st.fixed_dictionaries(fields).map(lambda found: _built(kind, found)).filter(bool)


SIMPLE = st.one_of(*[_schedules(n) for n in s.SCHEDULES if n not in ("sequence", "chain")])
USERS = st.builds(
    s.UserSchedule,
    name=st.just(f"{__name__}:halved"),
    args=st.sampled_from([{"every": 3}, {"every": 0}, {}]),
    multiplicative=st.booleans(),
    warmup=DURATIONS,
)


@st.composite
def _composed(draw: st.DrawFn, parts: st.SearchStrategy[Any]) -> Any:
    count = draw(st.integers(1, 3))
    schedules = tuple(draw(parts) for _ in range(count))
    warmup = draw(DURATIONS)
    chain = _built(s.Chain, {"schedules": schedules, "warmup": warmup})
    durations = tuple(draw(DURATIONS) for _ in range(count - 1))
    fields = {"schedules": schedules, "warmup": warmup, "durations": durations}
    return chain if draw(st.booleans()) and chain else _built(s.Sequence, fields) or schedules[0]


COMPOSED = st.one_of(SIMPLE, USERS, _composed(st.one_of(SIMPLE, USERS)))
ALL = st.one_of(SIMPLE, USERS, _composed(COMPOSED))
TRAINS = st.one_of(
    st.integers(1, 40).map(lambda n: {"steps": n}),
    st.sampled_from([0.1, 1.0, 3.0, 5.5]).map(lambda n: {"epochs": n}),
)


def _refusal(run: RunConfig, data: dict[str, DataSet]) -> list[str]:
    try:
        check([run], data)
    except LaunchError as error:
        return str(error).splitlines()
    return []


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schedule=ALL, train=TRAINS, lr=st.sampled_from([1e-12, 0.1, 1e6]))
def test_whatever_passes_has_a_table(
    make_run: Maker, data_of: Data, schedule: s.Schedule, train: dict[str, Any], lr: float
) -> None:
    run = make_run(train=train, schedule=schedule)
    run = dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, lr=lr))
    _schedule_within_training(schedule, run.train)  # must not raise either
    lines = _refusal(run, data_of(run))
    assert all(line.startswith("schedule") and ": " in line for line in lines)
    if not lines:
        total = length(run.train, PER_EPOCH)
        rates, momenta = course(schedule, lr, total, PER_EPOCH)
        assert rates.shape == (total,)
        assert bool(torch.isfinite(rates).all())
        assert bool((rates >= 0).all())
        assert momenta is None or s.cycling(schedule) is not None


LONG = Steps(steps=1000)
CASES: dict[str, tuple[s.Schedule, str]] = {
    "warmup": (
        s.Cosine(warmup=Steps(steps=21)),
        "schedule.warmup: must be shorter than training (21 steps), got 21 steps",
    ),
    "step": (
        s.Step(every=LONG),
        "schedule.every: must not exceed training (21 steps), got 1000 steps",
    ),
    "milestone": (
        s.MultiStep(milestones=(0.5, Epochs(epochs=4))),
        "schedule.milestones.1: must not exceed training (21 steps), got 28 steps",
    ),
    "milestone after warmup": (
        s.MultiStep(milestones=(0.9,), warmup=0.25),
        "schedule.milestones.0: must not exceed what the warmup leaves of training (16 steps),"
        " got 19 steps",
    ),
    "sgdr": (s.Sgdr(period=LONG), "schedule.period: must not exceed training (21 steps)"),
    "cyclic": (s.Cyclic(period=LONG), "schedule.period: must not exceed training (21 steps)"),
    "wsd": (
        s.Wsd(decay=Steps(steps=20), warmup=Steps(steps=2)),
        "schedule.decay: must not exceed what the warmup leaves of training (19 steps), got 20",
    ),
    "constant": (s.Constant(factor=0.5, until=LONG), "schedule.until: must not exceed training"),
    "one cycle": (
        s.OneCycle(warmup=0.7, three_phase=True),
        "schedule.warmup: must not exceed half of training (21 steps) with three_phase, got 15",
    ),
    "sequence": (
        s.Sequence(schedules=(s.Rex(), s.Rex(), s.Rex()), durations=(0.5, Epochs(epochs=2))),
        "schedule.durations: must be shorter than training (21 steps) together, got 24 steps",
    ),
    "in a sequence": (
        s.Sequence(schedules=(s.Rex(), s.Step(every=Epochs(epochs=2))), durations=(0.5,)),
        "schedule.schedules.1.every: must not exceed its part of the sequence (11 steps), got 14",
    ),
    "in a chain": (
        s.Chain(schedules=(s.Rex(), s.Rex(warmup=LONG))),
        "schedule.schedules.1.warmup: must be shorter than training (21 steps), got 1000 steps",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_longer_than_training_is_one_line(
    make_run: Maker, data_of: Data, name: str
) -> None:
    schedule, message = CASES[name]
    run = make_run(schedule=schedule)
    (line,) = _refusal(run, data_of(run))
    assert line.startswith(message)


def test_a_scale_may_be_longer_than_training(make_run: Maker, data_of: Data) -> None:
    run = make_run(schedule=s.InverseSqrt(offset=LONG))
    assert _refusal(run, data_of(run)) == []


USER = """\
def good(step, total_steps): return 1 - step / total_steps
def nan(step): return float("nan") if step == 5 else 1.0
def negative(step): return 3.0 - step
def infinite(step): return float("inf")
def text(step): return "fast"
def raising(step): raise RuntimeError("no\\nidea")
def constant(): return 1.0
def doubled(step): return 1e200
limit = 3
"""
FAULTS = {
    "good": None,
    "nan": "must return finite numbers of at least 0, got nan at step 5",
    "negative": "must return finite numbers of at least 0, got -1 at step 4",
    "infinite": "must return finite numbers of at least 0, got inf at step 0",
    "text": "must return a number, got 'fast' at step 0",
    "raising": "RuntimeError: no idea",
    "constant": "TypeError: constant() got an unexpected keyword argument 'step'",
    "doubled": "the learning rate is not finite at step 2",
    "limit": "is not callable",
    "missing": "has no attribute 'missing'",
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_a_users_function_is_tried_before_training(
    make_run: Maker,
    data_of: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    nested: bool,
) -> None:
    (tmp_path / "my_rates.py").write_text(USER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rates", raising=False)
    schedule: s.Schedule = s.UserSchedule(name=f"my_rates:{name}", multiplicative=name == "doubled")
    if nested:
        schedule = s.Sequence(schedules=(s.Rex(), schedule), durations=(Epochs(epochs=1),))
    runs = [make_run(schedule=schedule, seed=seed) for seed in range(2)]
    lines = _refusal(runs[0], data_of(runs[0]))
    message = FAULTS[name]
    assert len(lines) == (message is not None)
    if message is not None:
        assert lines[0].startswith(f"schedule: my_rates:{name}")
        assert message in lines[0]

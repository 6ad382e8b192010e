"""Studies on virtual time: what must hold for every search and rule, and closed forms."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.simulate.compare import play
from orchestrator.simulate.machine import Machine
from orchestrator.simulate.pace import Pace, Paces
from orchestrator.simulate.player import Played
from orchestrator.simulate.synthetic import Synthetic
from orchestrator.spec import Study
from tests.simulate.studies import RULES, SEARCHES, study

PACE = Pace(step=0.003, lane=0.0007, evaluation=0.011)
PER_EPOCH = 37
"""⌊1,168 training digits / 31⌋"""
STEPS = 29 * PER_EPOCH


def played(one: Study, slots: int = 2, repeat: int = 0, noise: float = 0.02) -> Played:
    machine = Machine(slots=slots, gpus_a_pack=0.5, start_seconds=5.0)
    metrics = [one.objective]
    return play(one, machine, Synthetic(one, metrics, repeat, noise), Paces({}, PACE), repeat)[0]


def ends(result: Played) -> dict[str, tuple[Any, ...]]:
    return {
        name: (lane.status, lane.reason, lane.batches, lane.number, lane.began, lane.ended)
        for name, lane in result.lanes.items()
    }


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("rule", RULES)
def test_every_search_with_every_rule_comes_to_its_end(
    search: str, rule: str, tmp_path: Path
) -> None:
    """No run begins twice: the player refuses that."""
    one = study(tmp_path, f"search={SEARCHES[search]}", f"early_stopping={RULES[rule]}")
    result = played(one)
    wanted = one.size
    of_study = rule in ("hours", "gpu hours")
    assert 1 <= len(result.lanes) <= wanted
    assert of_study or len(result.lanes) == wanted
    for lane in result.lanes.values():
        assert lane.status in ("completed", "stopped", "diverged")
        assert (lane.status == "stopped") == lane.reason.startswith(
            ("asha", "median", "patience", "budget")
        )
        # What is stopped has trained no further, and what is not has trained to its end.
        assert lane.batches == lane.curve.batches[-1] or lane.status == "stopped"
        assert lane.began <= lane.ended <= result.ended
    busy = sum(lane.seconds for lane in result.lanes.values())
    assert busy == pytest.approx(result.slot_seconds, rel=1e-9), "shares add up to the packs' time"
    assert result.slot_seconds <= 2 * (result.ended - 5.0) * (1 + 1e-12)
    assert result.lane_seconds <= result.width_seconds * (1 + 1e-12)
    assert ends(played(one)) == ends(result), "the same seed plays the same"


@pytest.mark.parametrize("rule", [None, "asha", "median", "patience"])
def test_other_repeats_are_others(rule: str | None, tmp_path: Path) -> None:
    more = [] if rule is None else [f"early_stopping={RULES[rule]}"]
    one = study(tmp_path, *more)
    assert ends(played(one, repeat=1)) != ends(played(one, repeat=2))


@pytest.mark.parametrize("rule", [None, "patience", "run seconds"])
def test_slots_change_nothing_of_a_rule_that_looks_at_one_run(
    rule: str | None, tmp_path: Path
) -> None:
    """Packs of one lane: a run's seconds depend on its neighbours."""
    more = [] if rule is None else [f"early_stopping={RULES[rule]}"]
    one = study(tmp_path, "execution.lanes=1", *more)

    def steps(slots: int) -> dict[str, tuple[str, int]]:
        lanes = played(one, slots=slots).lanes
        return {name: (lane.status, lane.batches) for name, lane in lanes.items()}

    assert steps(1) == steps(2) == steps(7)
    assert len(set(steps(1).values())) > 1


EQUAL = "sweep={optimizer.weight_decay: {linear: [0.0, 0.1], points: 12}}"


@pytest.mark.parametrize(("slots", "lanes"), [(1, 12), (2, 6), (3, 4), (2, 3), (1, 1), (12, 1)])
def test_equal_runs_take_what_they_must(slots: int, lanes: int, tmp_path: Path) -> None:
    """R runs, L a pack, S slots: R / (L S) rounds of steps · (c + L a) + evaluations · L e."""
    one = study(tmp_path, "search={name: grid}", EQUAL, f"execution.lanes={lanes}")
    result = played(one, slots=slots)
    rounds = 12 // (lanes * slots)
    whole = STEPS * (0.003 + lanes * 0.0007) + 29 * lanes * 0.011
    assert result.ended == pytest.approx(5.0 + rounds * whole, rel=1e-12)
    assert result.slot_seconds == pytest.approx(slots * rounds * whole, rel=1e-12)
    assert result.lane_seconds == result.width_seconds
    assert result.packs == rounds * slots
    assert Counter(lane.status for lane in result.lanes.values()) == {"completed": 12}


def test_lanes_that_leave_make_the_others_faster(tmp_path: Path) -> None:
    """One pack of runs of 5 and of 11 epochs: 4 lanes, then 2, then none."""
    one = study(
        tmp_path,
        "search={name: grid}",
        "sweep={train.epochs: [11, 5], optimizer.weight_decay: [0.0, 0.1]}",
    )
    result = played(one, slots=1)
    first = 5 * (PER_EPOCH * (0.003 + 4 * 0.0007) + 4 * 0.011)
    second = 6 * (PER_EPOCH * (0.003 + 2 * 0.0007) + 2 * 0.011)
    assert result.ended == pytest.approx(5.0 + first + second, rel=1e-12)
    share = (4 * first + 2 * second) / (4 * (first + second))
    assert result.lane_seconds / result.width_seconds == pytest.approx(share, rel=1e-12)
    assert sorted(lane.seconds for lane in result.lanes.values()) == pytest.approx(
        [first / 4] * 2 + [first / 4 + second / 2] * 2
    )


def test_a_lane_that_ends_between_evaluations_halts_its_stack(tmp_path: Path) -> None:
    """At 185 of steps 41, 82, …: all four lanes are evaluated there, and two of them end."""
    one = study(
        tmp_path,
        "search={name: grid}",
        "train.evaluate_every={steps: 41}",
        "sweep={train.epochs: [11, 5], optimizer.weight_decay: [0.0, 0.1]}",
    )
    result = played(one, slots=1)
    first = 185 * (0.003 + 4 * 0.0007) + 5 * 4 * 0.011
    second = 222 * (0.003 + 2 * 0.0007) + 6 * 2 * 0.011
    assert result.ended == pytest.approx(5.0 + first + second, rel=1e-12)
    assert result.reports == 11
    reported = sorted(lane.reported for lane in result.lanes.values())
    assert reported == [5, 5, 10, 10]


def test_runs_that_join_are_a_stack_of_their_own(tmp_path: Path) -> None:
    """Patience ends flat runs at their 2nd evaluation: 3 begin, all 3 are stopped, 2 take over."""
    one = study(
        tmp_path,
        "search={name: grid}",
        "sweep={optimizer.weight_decay: {linear: [0.0, 0.1], points: 5}}",
        "execution.lanes=3",
        "early_stopping={name: patience, evaluations: 1, min_delta: 100}",
    )
    result = played(one, slots=1)
    assert result.packs == 1
    lanes = [(lane.number, lane.status, lane.batches) for lane in result.lanes.values()]
    assert lanes == [(k, "stopped", 2 * PER_EPOCH) for k in range(5)]

    def two(lanes: int) -> float:
        return 2 * (PER_EPOCH * (0.003 + lanes * 0.0007) + lanes * 0.011)

    assert result.ended == pytest.approx(5.0 + two(3) + two(2), rel=1e-12)


def test_refills_wait_for_half_of_the_lanes(tmp_path: Path) -> None:
    """Five lanes: two that are free wait, three are filled at once."""
    one = study(tmp_path, "execution.lanes=5", f"early_stopping={RULES['asha']}")
    result = played(one, slots=1)
    begun = Counter(lane.began for lane in result.lanes.values())
    assert len(begun) > 3
    # What begins together is a new pack, or joins one where 3 lanes or more were free; fewer only
    # where no more runs were left.
    last = max(begun)
    assert all(count >= 3 for began, count in begun.items() if began < last)


@pytest.mark.parametrize("lanes", [31, 3])
@pytest.mark.parametrize("rule", ["hours", "gpu hours"])
def test_a_budget_ends_the_study_at_its_time(rule: str, lanes: int, tmp_path: Path) -> None:
    """What trains is stopped at its next report, and no pack begins any more."""
    packs = f"execution.lanes={lanes}"
    one = study(tmp_path, f"early_stopping={RULES[rule]}", packs)
    whole = played(study(tmp_path, packs))
    result = played(one)
    report = PER_EPOCH * (0.003 + lanes * 0.0007) + lanes * 0.011
    if rule == "hours":
        assert 14.4 <= result.ended <= 14.4 + report < whole.ended
        assert all(lane.began < 14.4 for lane in result.lanes.values())
    else:
        # Half a GPU a pack: 14.4 s of packs.
        assert 14.4 <= result.slot_seconds <= 14.4 + 2 * report < whole.slot_seconds
    if lanes == 3:
        assert len(result.lanes) < 61
    reasons = {lane.reason for lane in result.lanes.values() if lane.status == "stopped"}
    unit = "0.004 hours" if rule == "hours" else "0.002 GPU-hours"
    assert reasons == {f"budget: {unit} are used up"}


def test_a_run_stops_at_its_own_budget(tmp_path: Path) -> None:
    one = study(tmp_path, f"early_stopping={RULES['run seconds']}", "execution.lanes=1")
    result = played(one)
    report = PER_EPOCH * (0.003 + 0.0007) + 0.011
    for lane in result.lanes.values():
        if lane.status == "stopped":
            assert lane.batches == math.ceil(0.5 / report) * PER_EPOCH
            assert 0.5 <= lane.seconds < 0.5 + report


def test_a_search_that_says_nothing_for_ever_is_no_endless_loop(tmp_path: Path) -> None:
    from orchestrator.early_stopping import make_rules
    from orchestrator.simulate.curve import SimulateError
    from orchestrator.simulate.player import Player, VirtualClock

    class Silent:
        def take(self, lanes: int, key: str | None) -> None:
            return None

        def tell(self, outcomes: Any, rows: Any) -> None:
            raise AssertionError

    one = study(tmp_path)
    rules = make_rules([], {}, elapsed=lambda: 0.0)
    curves = Synthetic(one, [one.objective], 0, 0.0)
    player = Player(Silent(), rules, curves, Paces({}, PACE), VirtualClock(), slots=2, lanes=3)
    with pytest.raises(SimulateError, match="suggests nothing more"):
        player.play()

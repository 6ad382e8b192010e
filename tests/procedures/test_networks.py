"""Which networks a lottery study has, and what each of them comes from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.procedures.ladders import REWOUND, dense_runs, tree
from trainables.configs import Lottery, RunConfig, run_id
from trainables.configs.lottery import Training, ancestors, dense, networks, pruned_from, sibling

DENSE = dense_runs(1)[0]


def _places(runs: list[RunConfig]) -> list[tuple[int, str | None, int] | None]:
    return [r.lottery and (r.lottery.level, r.lottery.control, r.lottery.child) for r in runs]


def test_each_level_has_a_ticket_its_controls_and_children() -> None:
    runs = tree(DENSE, levels=2, controls=("shuffled", "signs"), children=2, children_at=(0, 2))
    assert _places(runs) == [
        *(None, (0, None, 1), (0, None, 2)),
        *((1, None, 0), (1, "shuffled", 0), (1, "signs", 0)),
        *((2, None, 0), (2, "shuffled", 0), (2, "signs", 0), (2, None, 1), (2, None, 2)),
    ]
    assert networks(DENSE, Training()) == [DENSE]


def test_parents_come_before_their_children() -> None:
    seen: set[str] = set()
    for run in tree(DENSE, children=1):
        assert seen >= {run_id(parent) for parent in ancestors(run)}
        seen.add(run_id(run))


def test_a_chain_leads_from_ticket_to_ticket_down_to_the_dense_network() -> None:
    runs = {place: run for run in tree(DENSE, children=1) for place in _places([run])}
    ticket = runs[3, None, 0]
    assert pruned_from(ticket) == runs[2, None, 0] == pruned_from(runs[3, "reinitialized", 0])
    assert pruned_from(runs[1, None, 0]) == DENSE == dense(ticket)
    assert pruned_from(DENSE) is sibling(DENSE) is sibling(ticket) is None
    assert sibling(runs[3, None, 1]) == ticket
    assert (sibling(runs[0, None, 1]), pruned_from(runs[0, None, 1])) == (DENSE, None)
    expected = [DENSE, runs[1, None, 0], runs[2, None, 0]]
    assert ancestors(ticket) == expected
    assert ancestors(runs[3, None, 1]) == [*expected, ticket]


@pytest.mark.parametrize(
    ("options", "parent"),
    [({"rounds": "one_shot"}, DENSE), ({"criterion": "snip"}, None), ({"at": "start"}, None)],
)
def test_pruned_at_once_levels_do_not_wait_for_each_other(
    options: dict[str, Any], parent: RunConfig | None
) -> None:
    runs = tree(DENSE, **options)
    assert [pruned_from(run) for run in runs] == [None, *[parent] * (len(runs) - 1)]


def test_more_levels_and_controls_leave_the_networks_there_are() -> None:
    few = {run_id(run) for run in tree(DENSE, levels=2, controls=())}
    many = {run_id(run) for run in tree(DENSE, levels=4, controls=("signs",), children=1)}
    assert few < many


def test_the_dense_network_and_its_children_are_shared_by_all_ways_of_pruning() -> None:
    ways: list[dict[str, Any]] = [{}, {"criterion": "snip"}, {"rate": 0.5}, {"after": "fine_tune"}]
    count = Counter(
        run_id(run)
        for way in ways
        for run in tree(DENSE, rewind_to=REWOUND, children=1, **way)
        if run.lottery is None or run.lottery.level == 0
    )
    assert [*count.values()] == [4, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "global", "output_rate": 0.1}, "globally, layers compete"),
        ({"scope": "global", "layer_rates": {"a": 0.1}}, "globally, layers compete"),
        ({"criterion": "movement", "at": "start"}, "compares trained weights"),
        ({"criterion": "snip", "after": "fine_tune"}, "needs trained weights"),
        ({"controls": ("signs", "signs")}, "must differ"),
        ({"children": 1, "children_at": (4,)}, "children_at: 4 is beyond levels: 3"),
        ({"children_at": (1,)}, "there are none"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lottery(levels=3, **options)

"""Copies in the store, and a run's past followed back through them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.store import Copied, Store, lineage

VALUES = {"lr": 0.3}


def copied(run_id: str, step: int, source: str, lr: float = 0.3) -> Copied:
    return Copied(run_id, step, source, {"lr": lr})


def test_a_past_leads_through_copies_of_copies() -> None:
    copies = [
        copied("d", 40, "c", 4.0),
        copied("c", 20, "a", 2.0),
        copied("c", 50, "b", 5.0),  # after d was made of it
        copied("a", 30, "b", 3.0),  # after c was made of it
        copied("c", 10, "b", 1.0),  # before it was replaced
    ]
    found = lineage(copies, "d")
    assert found.root == "a"
    assert [(c.run_id, c.step) for c in found.copies] == [("c", 20), ("d", 40)]
    assert lineage(copies, "b") == ("b", ())
    assert [c.step for c in lineage(copies, "c").copies] == [50]


def test_a_source_that_is_replaced_in_the_same_exchange_was_copied_before() -> None:
    copies = [copied("b", 10, "a"), copied("c", 10, "b")]
    assert lineage(copies, "c") == ("b", (copied("c", 10, "b"),))


def test_copies_are_kept_with_their_report_and_not_twice(tmp_path: Path) -> None:
    event = {"run_id": "a", "step": 7, "source": "b", "values": VALUES}
    with Store.create(tmp_path) as store:
        store.plan_runs([("a", 3, {"seed": 3}), ("b", 3, {"seed": 3})])
        store.start_pack("p", ["a", "b"], {})
        store.record("p", [], [], events=[event])
        store.record("p", [], [], events=[event, {**event, "step": 5}])
        assert [c.step for c in store.copies()] == [5, 7]
        assert store.copies()[1] == ("a", 7, "b", VALUES)
        table = store.population()
    assert table.iloc[1].to_dict() == {
        "run_id": "a",
        "seed": 3,
        "step": 7,
        "source": "b",
        "optimizer.lr": 0.3,
    }
    with Store.open(tmp_path) as store:
        assert len(store.copies()) == 2


def test_a_store_without_populations_has_no_copies(tmp_path: Path) -> None:
    with Store.create(tmp_path) as store:
        assert store.copies() == []
        assert store.population().empty

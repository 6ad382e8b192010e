"""Planted studies side by side: findings fire, and are silent on the opposite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator import compare_studies
from orchestrator.cli import app
from orchestrator.report.compare.best import best_section
from orchestrator.report.compare.over_tasks import aggregates_section, find_scores
from orchestrator.report.compare.overview import overview_section, shared_section
from orchestrator.report.compare.page import compared
from orchestrator.report.compare.studies import CompareError, Studies, load_studies
from orchestrator.report.compare.training import curves_section, tuning_section
from orchestrator.report.compare.until import find_target, target_section
from orchestrator.store import Store
from tests.report.stores import RATES, plant

Planted = Callable[[dict[str, Any], int], float | str]


def losses(offset: float, *, noise: float = 0.001) -> Planted:
    """Best at a rate of 0.1, where it comes to 0.3 and the offset; noise of its own by seed."""

    def loss(chosen: dict[str, Any], seed: int) -> float:
        off = (math.log10(chosen["optimizer.lr"]) + 1) ** 2
        return 0.3 + offset + 0.1 * off + noise * math.sin(37 * (seed + 1) * (offset + 1))

    return loss


def rename(folder: Path, to: str, config: str = "") -> None:
    """Other run ids, and another study's name, in a planted store."""
    with Store.create(folder) as store:
        store.set_meta(study=to)
        store._db.execute("UPDATE runs SET run_id = ? || run_id", (to,))
        if config:
            store._db.execute(
                "UPDATE runs SET config = json_set(config, '$.data.name', ?)", (config,)
            )
        store._db.commit()


def two(
    root: Path, one: Planted, other: Planted, *, task: str = "", seeds: int = 5, **options: Any
) -> Studies:
    for name, planted in (("one", one), ("other", other)):
        plant(root / name, planted, {"optimizer.lr": RATES}, seeds=seeds, **options)
        rename(root / name, name, f"{task}{name}" if task else "digits")
    return load_studies([root / "one", root / "other"])


def test_best_is_told_apart(tmp_path: Path) -> None:
    section = best_section(two(tmp_path, losses(0.05), losses(0.0)))
    assert section.finding.startswith(
        "other has the best validation loss, 0.3 (lr 0.1): told apart"
    )
    assert "from one (0.05 behind, interval" in section.finding
    rows = section.tables[0].rows
    assert [row[0] for row in rows] == ["other", "one"]
    assert rows[1][-1].startswith("+0.05")
    assert len(section.figures) == 1


def test_best_is_not_told_apart(tmp_path: Path) -> None:
    section = best_section(two(tmp_path, losses(0.0005, noise=0.02), losses(0.0, noise=0.02)))
    assert "not told apart from" in section.finding
    assert section.tables[0].rows[1][-1].endswith("(not told apart)")


def test_seeds_that_are_not_shared_are_not_paired(tmp_path: Path) -> None:
    studies = two(tmp_path, losses(0.05), losses(0.0), seeds=1)
    section = best_section(studies)
    assert "fewer than two seeds are shared with one" in section.finding
    assert not section.figures
    assert aggregates_section(studies) is None


def test_runs_in_several_studies(tmp_path: Path) -> None:
    """Equal ids are counted once, and the same best is not compared with itself."""
    for name in ("one", "other"):
        plant(tmp_path / name, losses(0.0), {"optimizer.lr": RATES}, study_of=name)
    studies = load_studies([tmp_path / "one", tmp_path / "other"])
    assert studies.names == ["planted (one)", "planted (other)"]
    assert "2 studies with 15 runs in all" in overview_section(studies).finding
    shared = shared_section(studies)
    assert shared is not None
    assert shared.finding.startswith("15 runs of 5 configurations are in several studies")
    assert "they came to the same values" in shared.finding
    best = best_section(studies).finding
    assert "the same configuration is the best of" in best
    assert "told apart" not in best
    folders = [study.folder for study in studies.each]
    page = compare_studies(folders, tmp_path / "c.html", figures=False).read_text(encoding="utf-8")
    assert "<b>15</b> completed" in page


def test_target_counts_a_configuration_once(tmp_path: Path) -> None:
    """Five means, one of which is there twice: the median is that of five."""
    plant(tmp_path / "one", losses(0.0), {"optimizer.lr": RATES})
    plant(tmp_path / "other", losses(0.0), {"optimizer.lr": RATES[:1]})
    target = find_target(load_studies([tmp_path / "one", tmp_path / "other"]))
    assert target is not None
    middle = 0.3 + 0.1 * (math.log10(0.03) + 1) ** 2
    assert target.value == pytest.approx(middle, abs=0.002)


def test_same_run_with_another_value_is_said(tmp_path: Path) -> None:
    for name, offset in (("one", 0.0), ("other", 0.01)):
        plant(tmp_path / name, losses(offset), {"optimizer.lr": RATES})
    shared = shared_section(load_studies([tmp_path / "one", tmp_path / "other"]))
    assert shared is not None
    assert "15 runs of them came to different values" in shared.finding


def test_no_shared_run_no_section(tmp_path: Path) -> None:
    assert shared_section(two(tmp_path, losses(0.0), losses(0.1))) is None


def test_where_studies_differ(tmp_path: Path) -> None:
    plant(tmp_path / "a", losses(0.0), {"optimizer.lr": RATES}, machine={"cpus": 2})
    plant(tmp_path / "b", losses(0.0), {"optimizer.lr": RATES[1:]}, machine={"cpus": 7})
    section = overview_section(load_studies([tmp_path / "a", tmp_path / "b"]))
    trained, where = section.tables[1:]
    assert [list(row) for row in trained.rows] == [
        ["optimizer.lr", "0.01 to 1 (5 values)", "0.03, 0.1, 0.3, 1"]
    ]
    assert [list(row) for row in where.rows] == [["machine", "cpus 2", "cpus 7"]]


def test_equal_studies_differ_in_nothing(tmp_path: Path) -> None:
    section = overview_section(two(tmp_path, losses(0.0), losses(0.0)))
    assert len(section.tables) == 1
    assert section.finding.endswith("All train on the same task.")
    assert "Not finished" not in section.finding
    assert "although" not in section.finding


def test_unfinished_studies_are_provisional(tmp_path: Path) -> None:
    def half(chosen: dict[str, Any], seed: int) -> float | str:
        return "pending" if chosen["optimizer.lr"] > 0.5 else losses(0.0)(chosen, seed)

    section = overview_section(two(tmp_path, half, losses(0.0)))
    assert "so many runs to come: one (5); provisional" in section.finding


def test_curves_that_cross_are_said(tmp_path: Path) -> None:
    """One leads early and is overtaken; scaled alike, none is."""

    def early(chosen: dict[str, Any], seed: int, final: float) -> list[dict[str, float]]:
        fast = final > 0.31  # the worse one in the end
        return [{"valid/loss": final + (0.01 if fast else 0.2) * (4 - row)} for row in range(1, 5)]

    crossed = curves_section(two(tmp_path / "x", losses(0.05), losses(0.0), curve=early))
    assert crossed is not None
    assert crossed.finding.startswith("one leads half-way to epoch 4")
    assert "there, other does" in crossed.finding
    plain = curves_section(two(tmp_path / "y", losses(0.05), losses(0.0)))
    assert plain is not None
    assert plain.finding.startswith("other has the best validation loss half-way")
    assert sorted(set(plain.figures[0].data["group"])) == ["one", "other"]


def many(offset: float) -> Planted:
    return lambda chosen, seed: 0.3 + offset + 0.1 * float(chosen["optimizer.lr"])


def test_tuning_curves_at_equal_budgets(tmp_path: Path) -> None:
    """41 tries against 23 are compared at 23; far apart and equal."""
    sizes = {"one": 41, "other": 23}
    for case, offset in (("apart", 1.0), ("equal", 0.0)):
        for name, size in sizes.items():
            rates = [(place + 1) / size for place in range(size)]
            folder = tmp_path / case / name
            shift = offset if name == "one" else 0.0
            plant(folder, many(shift), {"optimizer.lr": rates}, seeds=1)
            rename(folder, name)
    sections = [
        tuning_section(load_studies([tmp_path / case / name for name in sizes]))
        for case in ("apart", "equal")
    ]
    apart, equal = sections
    assert apart is not None
    assert equal is not None
    assert apart.finding.startswith("With 23 tries each")
    assert apart.figures[0].data["x"].max() == 23
    assert "The band of other is clear of one" in apart.finding
    assert "No band is clear" in equal.finding


def test_tuning_curves_need_configurations(tmp_path: Path) -> None:
    assert tuning_section(two(tmp_path, losses(0.0), losses(0.1))) is None


def test_time_to_a_target(tmp_path: Path) -> None:
    """One study reaches what the other does not; the target counts each configuration once."""
    studies = two(tmp_path, losses(0.3), losses(0.0))
    target = find_target(studies)
    assert target is not None
    # Of 10 means, 0.3 and 0.6 + 0, 0.027, 0.027, 0.1, 0.1 each: the middle is between both.
    assert target.value == pytest.approx((0.4 + 0.6) / 2, abs=0.01)
    section = target_section(studies)
    assert section is not None
    assert "median steps to validation loss" in section.finding
    assert "Not reached by half of the runs of its best configuration: one (0 of 5" in (
        section.finding
    )
    cells = {(row[0], row[1]): row[2:] for row in section.tables[0].rows}
    assert cells["one", "best configuration"][1] == "not reached"
    assert cells["other", "all runs"][0] == "25 of 25"


def test_target_reached_by_all(tmp_path: Path) -> None:
    section = target_section(two(tmp_path, losses(0.0), losses(0.0)))
    assert section is not None
    assert "Not reached" not in section.finding


def test_aggregates_of_studies(tmp_path: Path) -> None:
    clear = aggregates_section(two(tmp_path / "x", losses(0.05), losses(0.0)))
    assert clear is not None
    assert "other has the best interquartile mean" in clear.finding
    assert "likely to be better than one of one (100 %)" in clear.finding
    even = aggregates_section(
        two(tmp_path / "y", losses(0.0005, noise=0.05), losses(0.0, noise=0.05))
    )
    assert even is not None
    assert "even odds are not ruled out" in even.finding


def test_studies_on_other_tasks_are_tasks(tmp_path: Path) -> None:
    """No task in common: schedules are compared over the studies, and values are not."""

    def loss(chosen: dict[str, Any], seed: int) -> float:
        worse = chosen["schedule"]["name"] == "constant"
        return float(chosen["optimizer.lr"]) + worse + 0.01 * seed

    for name in ("one", "other"):
        plant(tmp_path / name, loss)
        rename(tmp_path / name, name, f"task {name}")
    studies = load_studies([tmp_path / "one", tmp_path / "other"])
    assert "No two train on the same task" in overview_section(studies).finding
    assert "no other study can be compared with it here" in best_section(studies).finding
    scores = find_scores(studies)
    assert scores is not None
    assert scores.what == "schedule"
    assert scores.tasks == ("one", "other")
    section = aggregates_section(studies)
    assert section is not None
    assert section.finding.startswith("cosine (warmup 0.05) has the best interquartile mean")
    assert target_section(studies) is None
    assert tuning_section(studies) is None


def test_page(tmp_path: Path) -> None:
    """In one piece, by the Python API; a study's name is shown as text."""
    assert len(compared(two(tmp_path, losses(0.0), losses(0.1)))) == 5
    with Store.create(tmp_path / "one") as store:
        store.set_meta(study="<script>mine</script>")
    folders = [tmp_path / "one", tmp_path / "other"]
    path = compare_studies(folders, tmp_path / "c.html", figures=False)
    text = path.read_text(encoding="utf-8")
    assert "&lt;script&gt;mine&lt;/script&gt; and other" in text
    assert "<script>mine" not in text
    assert "Until the target" in text


def refused(*folders: Path) -> str:
    done = CliRunner().invoke(
        app, ["compare", *map(str, folders), "-o", str(folders[0] / "c.html")]
    )
    assert done.exit_code == 2
    assert not (folders[0] / "c.html").exists()
    (line,) = done.stderr.splitlines()
    return line


def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    good, empty, other = tmp_path / "good", tmp_path / "empty", tmp_path / "other"
    plant(good, losses(0.0), {"optimizer.lr": RATES}, seeds=1)
    plant(empty, lambda chosen, seed: "pending", {"optimizer.lr": RATES}, seeds=1)
    plant(other, losses(0.0), {"optimizer.lr": RATES}, seeds=1, metric="mine/score")
    with Store.create(other) as store:
        store._db.execute("UPDATE runs SET final = '{\"mine/score\": 1}'")
        store._db.commit()
    assert refused(good) == "compare: needs the folders of at least two studies"
    assert refused(good, good) == f"{good}: is given twice"
    assert refused(good, empty) == f"{empty}: holds no run that has ended with a value yet"
    line = refused(good, other)
    assert line.startswith("no objective of one study is reported by all: ")
    assert f"{other} looks for mine/score and has mine/score" in line
    assert "no study here" in refused(good, tmp_path / "nowhere")


def test_opposite_goals_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        plant(tmp_path / name, losses(0.0), {"optimizer.lr": RATES}, seeds=1)
    with Store.create(tmp_path / "other") as store:
        store.set_meta(objective={"metric": "valid/loss", "mode": "max"})
    with pytest.raises(CompareError, match="another for its maximum"):
        load_studies([tmp_path / "one", tmp_path / "other"])


def test_another_metric_is_taken_where_it_is_shared(tmp_path: Path) -> None:
    plant(tmp_path / "one", losses(0.0), {"optimizer.lr": RATES}, seeds=1)
    plant(
        tmp_path / "other", losses(0.0), {"optimizer.lr": RATES}, seeds=1, metric="valid/accuracy"
    )
    studies = load_studies([tmp_path / "one", tmp_path / "other"])
    assert (studies.metric, studies.mode) == ("valid/loss", "min")
    finding = overview_section(studies).finding
    assert "although others are looked for: planted (other) (valid/accuracy)" in finding

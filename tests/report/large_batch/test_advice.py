"""``regatta advise``: times and costs against a written-out reckoning, and what it will not say."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report.large_batch.advice import advise
from orchestrator.report.large_batch.planner import AdviceError
from orchestrator.report.large_batch.throughput import ThroughputError, of_rates, read_csv
from orchestrator.store import Outcome, Store

run = CliRunner().invoke
SIZES = [2**k for k in range(3, 12)]
S_MIN, E_MIN = 100, 12_800  # B_crit = 128
SECONDS = 0.002


def plant(
    folder: Path,
    *,
    sizes: list[int] = SIZES,
    optimizers: tuple[str, ...] = ("sgd",),
    target: float | None = 0.1,
    status: str = "completed",
    seconds: float = SECONDS,
) -> Path:
    """A store in which the best rate is 0.01 · B^½, a step takes 2 ms plus 2 ms for 64 examples,
    and optimizers after the first take twice the steps."""
    runs, outcomes = [], []
    rates = [round(0.01 * 2 ** (k / 2), 5) for k in range(18)]
    for name in optimizers:
        for size in sizes:
            for rate in rates:
                apart = math.log2(rate / 0.01 / math.sqrt(size))
                slow = 1 + optimizers.index(name)
                steps = round((S_MIN + E_MIN / size) * (1 + apart**2) * slow)
                number = f"run{len(runs):05d}"
                train: dict[str, Any] = {"batch_size": size, "steps": 10_000}
                if target is not None:
                    train["target"] = {"metric": "valid/loss", "value": target}
                config = {"optimizer": {"name": name, "lr": rate}, "train": train, "seed": 0}
                runs.append((number, 0, config))
                outcomes.append(
                    Outcome(
                        run_id=number,
                        lane=0,
                        status=status,
                        reason="target reached" if status == "completed" else "batch loss nan",
                        steps=steps,
                        epochs=1.0,
                        examples=steps * size,
                        wall_seconds=steps * seconds * (1 + size / 64),
                        final={},
                        best={},
                    )
                )
    with Store.create(folder) as store:
        axes = {"train.batch_size": sizes, "optimizer.lr": rates}
        if len(optimizers) > 1:
            axes["optimizer.name"] = list(optimizers)
        store.set_meta(study="large-batch", axes=axes, seeds=[0])
        store.plan_runs(runs)
        store.start_pack("pack", [one[0] for one in runs], {})
        store.record("pack", [], outcomes)
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("study"))


def test_times_are_steps_times_the_seconds_of_a_step(study: Path) -> None:
    found = advise(study, 4, price=3.0)
    assert [row.gpus for row in found.rows] == [2**k for k in range(11)]
    for row in found.rows:
        steps = S_MIN + E_MIN / row.batch_size
        step = SECONDS * (1 + row.per_gpu / 64)
        if row.per_gpu >= SIZES[0]:
            assert row.seconds == pytest.approx(steps * step, rel=0.05)
        assert row.steps == pytest.approx(steps, rel=0.03)
        assert row.gpu_hours == pytest.approx(row.gpus * row.seconds / 3600)
        assert row.cost == pytest.approx(3 * row.gpu_hours)
        assert row.per_gpu == row.batch_size / row.gpus
    assert found.chosen is found.rows[2]


def test_the_batch_is_the_fastest_of_all_that_were_measured(study: Path) -> None:
    """(100 + 12,800 / B)(1 + B / 64 N) is least at B = √(128 · 64 N): 90 N^½."""
    found = advise(study, 1)
    for row in found.rows[:8]:
        least = SECONDS * (math.sqrt(S_MIN) + math.sqrt(E_MIN / 64 / row.gpus)) ** 2
        assert least * 0.99 <= row.seconds <= least * 1.05
        assert row.batch_size == pytest.approx(math.sqrt(128 * 64 * row.gpus), rel=0.5)
        assert row.batch_size % row.gpus == 0
        assert not row.extrapolated
    odd = advise(study, 7).chosen
    assert odd.batch_size % 7 == 0
    assert odd.seconds <= 1.05 * SECONDS * (10 + math.sqrt(200 / 7)) ** 2
    times = [row.seconds for row in found.rows]
    assert times[:8] == sorted(times[:8], reverse=True)
    hours = [row.gpu_hours for row in found.rows]
    assert hours == sorted(hours)
    assert found.diminishing.efficiency >= 0.5
    after = found.rows[found.rows.index(found.diminishing) + 1]
    assert after.efficiency < 0.5


def test_the_rate_is_the_measured_one_or_on_the_fitted_line(study: Path) -> None:
    found = advise(study, 4)
    for row in found.rows:
        if row.batch_size in SIZES:
            assert row.rate_source == "the best that was measured"
        assert row.rate == pytest.approx(0.01 * math.sqrt(row.batch_size), rel=0.25)
    between = [row for row in found.rows if row.batch_size not in SIZES and not row.extrapolated]
    assert all(
        row.rate_source.startswith(("fitted, ∝ B^0.5", "the best at batch size")) for row in between
    )


def test_nothing_is_extrapolated_without_saying_so(tmp_path: Path) -> None:
    study = plant(tmp_path, sizes=[8, 16, 32, 64, 128])
    found = advise(study, 512)
    for row in found.rows:
        assert row.extrapolated == (row.gpus > 128) == (row.batch_size > 128)
        assert row.extrapolated == any("no batch size above 128" in note for note in row.notes)
        if row.per_gpu < 8:
            assert "throughput extrapolated" in row.notes
    at_end = [row for row in found.rows if row.batch_size == 128]
    assert at_end
    assert any("none above 128 was measured" in note for row in at_end for note in row.notes)
    assert not found.diminishing.extrapolated
    result = run(app, ["advise", str(study), "--gpus", "512"])
    assert "This is beyond the batch sizes that were measured (up to 128)." in result.output
    assert result.output.count("extrapolated: no batch size above 128") == 3


def test_a_throughput_may_be_given(study: Path, tmp_path: Path) -> None:
    constant = advise(study, 1, examples_per_second=640)
    # The fewest examples are the fastest where throughput is the same for all.
    assert constant.chosen.batch_size == 8
    assert constant.chosen.seconds == pytest.approx((S_MIN * 8 + E_MIN) / 640, rel=0.03)
    full = advise(study, 16, examples_per_second=640).chosen
    assert full.batch_size == 128  # eight for each GPU take as long as fewer
    assert full.seconds == pytest.approx(200 * 8 / 640, rel=0.03)
    file = tmp_path / "gpu.csv"
    file.write_text("batch,examples per second\n8,80\n128,1280\n2048,1280\n")
    given = advise(study, 1, throughput=file)
    assert given.chosen.batch_size == 128  # a step takes 0.1 s up to there
    assert given.chosen.seconds == pytest.approx(200 * 0.1, rel=0.03)
    assert given.throughput.source == str(file)


def test_seconds_between_measured_sizes_are_on_a_line_in_the_log() -> None:
    table = of_rates({10: 100, 1000: 1000}, "")
    assert table.step_seconds(10) == pytest.approx(0.1)
    assert table.step_seconds(100) == pytest.approx(math.sqrt(0.1 * 1))
    assert table.step_seconds(4000) == pytest.approx(4)
    assert table.step_seconds(0.5) == pytest.approx(0.1)
    assert [table.knows(size) for size in (9, 10, 1000, 1001)] == [False, True, True, False]


def test_the_fastest_group_is_advised_and_others_are_named(tmp_path: Path) -> None:
    study = plant(tmp_path, optimizers=("lamb", "sgd"))
    found = advise(study, 4)
    assert found.group == "lamb"
    ((name, seconds),) = found.others
    assert name == "sgd"
    assert seconds == pytest.approx(2 * found.chosen.seconds, rel=0.02)
    assert advise(study, 4, group="sgd").group == "sgd"
    with pytest.raises(AdviceError, match="there is no group 'adam'; there are 'lamb', 'sgd'"):
        advise(study, 4, group="adam")


def test_the_command_shows_a_table_and_sentences(study: Path) -> None:
    result = run(app, ["advise", str(study), "--gpus", "3", "--price", "2"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "The study; throughput as measured in the study, runs side by side"
    assert lines[1].startswith("At least 1")
    assert "critical batch size 1" in lines[1]
    assert lines[2].split() == [
        "GPUs",
        "batch",
        "rate",
        "steps",
        "time",
        "GPU-hours",
        "efficiency",
        "cost",
    ]
    assert [line.split()[0] for line in lines[3:15]] == [
        *("1", "2", "3", "4", "8", "16", "32", "64", "128", "256", "512", "1,024")
    ]
    assert lines[15].startswith("With 3 GPUs: batch size ")
    assert lines[16].startswith("Up to ")


def test_json_has_what_the_table_has(study: Path) -> None:
    result = run(app, ["advise", str(study), "--gpus", "4", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert len(found["rows"]) == 11
    assert found["chosen"] == found["rows"][2]
    assert found["chosen"]["cost"] is None
    assert found["fit"]["b_crit"]["value"] == pytest.approx(E_MIN / S_MIN, rel=0.06)
    assert found["exponent"]["slope"] == pytest.approx(0.5, abs=0.1)


def wrong(folder: Path, *arguments: str) -> str:
    result = run(app, ["advise", str(folder), "--gpus", "4", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_studies_that_say_nothing_of_it_are_one_line(tmp_path: Path) -> None:
    none = plant(tmp_path / "none", target=None, sizes=[8, 16])
    assert wrong(none) == f"{none}: its runs have no target; a large-batch study needs train.target"
    one = plant(tmp_path / "one", sizes=[16])
    assert wrong(one) == (
        f"{one}: its runs all have batch size 16; a large-batch study varies train.batch_size"
    )
    bad = plant(tmp_path / "bad", status="diverged", sizes=[8, 16])
    assert wrong(bad).startswith(f"{bad}: no two of its 2 batch sizes have reached the target")
    idle = plant(tmp_path / "idle", seconds=0.0, sizes=[8, 16])
    assert wrong(idle).startswith(f"{idle}: no time was measured; give --examples-per-second")
    assert "no study here" in wrong(tmp_path / "nowhere")


def test_wrong_options_are_one_line(study: Path, tmp_path: Path) -> None:
    file = tmp_path / "gpu.csv"
    file.write_text("8,80\n")
    both = ["--examples-per-second", "7", "--throughput", str(file)]
    assert wrong(study, *both) == "write at most one of --examples-per-second and --throughput"
    assert wrong(study, "--examples-per-second", "0").endswith("must be above 0, got 0")
    assert wrong(study, "--price", "-1") == "--price: must be at least 0, got -1"
    assert "there is no group 'x'" in wrong(study, "--group", "x")
    assert wrong(study, "--throughput", str(tmp_path / "none.csv")).endswith(
        "No such file or directory"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("batch,rate\n", "no rows"),
        ("8,80\n16\n", ":2: must be batch per GPU, examples per second; got 16"),
        ("8,80\nx,80\n", ":2: must be batch per GPU"),
        ("8,80\n8,90\n", ":2: batch 8 comes twice"),
        ("8,-80\n", ":1: must be above 0, got 8,-80"),
        ("nan,80\n", ":1: must be above 0"),
    ],
)
def test_malformed_throughputs_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "gpu.csv"
    file.write_text(text)
    with pytest.raises(ThroughputError) as found:
        read_csv(file)
    assert message in str(found.value)
    assert str(file) in str(found.value)


def _processor_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.timed
def test_the_command_answers_within_a_second(study: Path) -> None:
    """Processor time, for the machine may be busy with something else; the best of three, for the
    first reads its modules from the disk."""
    took = []
    for _ in range(3):
        began = _processor_seconds()
        subprocess.run(
            [sys.executable, "-m", "orchestrator", "advise", str(study), "--gpus", "8"],
            check=True,
            capture_output=True,
        )
        took.append(_processor_seconds() - began)
    assert min(took) < 1.0, took

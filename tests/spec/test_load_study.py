"""Studies that are right: what they mean, exactly."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import Execution, Objective, Report, Study, load_study, template
from orchestrator.spec.grids import linear_grid, log_grid
from trainables.configs import Digits, Mlp, RunConfig, Train, run_id
from trainables.configs.base import Epochs, Steps
from trainables.configs.data import Characters, UserData
from trainables.configs.models import Gpt, UserModel
from trainables.configs.optimizers import Adam, AdamW, Sgd
from trainables.configs.probes import NoiseScale, Probes
from trainables.configs.schedules import Constant, Cosine, MultiStep, Step

DEMO = Path(__file__).parents[2] / "sweeps" / "lr_schedules.yaml"
BASE = "study: s\noptimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 3}\n"


def load(folder: Path, text: str, *overrides: str) -> Study:
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides)


def axis(folder: Path, path: str, values: str) -> tuple[Any, ...]:
    return load(folder, f"{BASE}sweep: {{{path}: {values}}}\n").axes[path]


def test_defaults_of_a_small_study(tmp_path: Path) -> None:
    study = load(tmp_path, BASE)
    assert study.name == "s"
    assert study.path == tmp_path / "s.yaml"
    assert study.text == BASE
    assert study.axes == {}
    assert study.seeds == (0,)
    assert study.configurations == (
        RunConfig(
            data=Digits(),
            model=Mlp(),
            optimizer=Sgd(lr=0.1),
            schedule=Constant(),
            train=Train(epochs=3.0),
        ),
    )
    assert study.objective == Objective(metric="valid/loss", mode="min")
    assert study.execution == Execution()
    assert study.report == Report()


def test_probes_are_a_section_like_others_that_renames_no_run(tmp_path: Path) -> None:
    (plain,) = load(tmp_path, BASE).runs()
    (empty,) = load(tmp_path, f"{BASE}probes: {{}}\n").runs()
    assert empty == plain
    assert isinstance(plain, RunConfig)
    assert plain.probes is None
    swept = load(
        tmp_path,
        f"{BASE}probes: {{noise_scale: {{every: 10}}}}\n"
        "sweep: {probes.noise_scale.decay: [0.5, 0.9], train.accumulate: [1, 4]}\n",
    )
    scales = [run.probes for run in swept.runs() if isinstance(run, RunConfig)]
    expected = [NoiseScale(every=10, decay=decay) for decay in (0.5, 0.9) for _ in (1, 4)]
    assert scales == [Probes(noise_scale=scale) for scale in expected]
    (other,) = load(tmp_path, BASE, "probes.noise_scale.parts=4").runs()
    assert isinstance(other, RunConfig)
    assert other.probes == Probes(noise_scale=NoiseScale(parts=4))
    assert run_id(other) != run_id(plain)


def test_the_demo() -> None:
    study = load_study(DEMO)
    assert study.name == "lr-schedules"
    lr = (0.003, 0.0064633, 0.0139248, 0.03, 0.064633, 0.139248, 0.3, 0.64633, 1.39248, 3.0)
    assert study.axes["optimizer.lr"] == lr
    names = ["constant", "step", "exponential", "cosine", "sgdr", "one_cycle"]
    assert [schedule["name"] for schedule in study.axes["schedule"]] == names
    runs = study.runs()
    assert len(runs) == 180
    assert len({run_id(run) for run in runs}) == 180
    assert study.seeds == (0, 1, 2)
    assert runs[0].train == Train(epochs=100, batch_size=64, evaluate_every=Epochs(epochs=2))


def test_the_template_loads_and_is_small(tmp_path: Path) -> None:
    study = load(tmp_path, template())
    assert len(study.runs()) == 20


def test_the_last_axis_is_fastest_and_seeds_faster_still(tmp_path: Path) -> None:
    axes = "sweep: {schedule: [{name: step}, {name: cosine}], optimizer.lr: [1, 2], "
    axes += "train.batch_size: [8, 16]}\n"
    study = load(tmp_path, f"{BASE}seeds: [5, 3]\n{axes}")
    order = [
        (c.schedule.name, c.optimizer.lr, c.train.batch_size, c.seed) for c in study.configurations
    ]
    assert order == [
        (name, lr, size, 0) for name in ("step", "cosine") for lr in (1.0, 2.0) for size in (8, 16)
    ]
    assert list(study.axes) == ["schedule", "optimizer.lr", "train.batch_size"]
    assert [run.seed for run in study.runs()[:4]] == [5, 3, 5, 3]


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("[0.1, 1e-3, 3]", (0.1, 0.001, 3)),
        ("{values: [0.1, 0.2]}", (0.1, 0.2)),
        ("{log: [0.001, 10.0], points: 5}", (0.001, 0.01, 0.1, 1.0, 10.0)),
        ("{log: [0.7, 0.7], points: 1}", (0.7,)),
        ("{linear: [0.1, 0.4], points: 4}", (0.1, 0.2, 0.3, 0.4)),
        ("{log: [1.0, 0.01], points: 3}", (1.0, 0.1, 0.01)),
    ],
)
def test_axes_of_numbers(spec: str, values: tuple[float, ...], tmp_path: Path) -> None:
    assert axis(tmp_path, "optimizer.lr", spec) == values


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ("{log: [16, 1024], points: 7}", (16, 32, 64, 128, 256, 512, 1024)),
        ("{linear: [8, 32], points: 4}", (8, 16, 24, 32)),
    ],
)
def test_axes_of_whole_numbers(spec: str, values: tuple[int, ...], tmp_path: Path) -> None:
    found = axis(tmp_path, "train.batch_size", spec)
    assert found == values
    assert all(type(value) is int for value in found)


def test_grids_are_exact_at_their_ends_and_evenly_spaced() -> None:
    low, high = 0.0123456789, 7.987654321
    grid = log_grid(low, high, 7)
    assert (grid[0], grid[-1]) == (low, high)
    ratios = [b / a for a, b in itertools.pairwise(grid)]
    assert ratios == pytest.approx([(high / low) ** (1 / 6)] * 6, rel=2e-5)
    line = linear_grid(low, high, 5)
    assert (line[0], line[-1]) == (low, high)
    steps = [b - a for a, b in itertools.pairwise(line)]
    assert steps == pytest.approx([(high - low) / 4] * 4, rel=1e-10)


def test_rounding_never_makes_two_points_one() -> None:
    assert len(set(log_grid(1.0, 1.0000001, 11))) == 11


def test_shallow_axes_are_set_before_deep_ones(tmp_path: Path) -> None:
    axes = "sweep:\n  schedule.warmup: [0.1, {steps: 7}]\n"
    axes += "  schedule: [{name: cosine, warmup: 0.9}, {name: step, gamma: 0.5}]\n"
    study = load(tmp_path, BASE + axes)
    assert [c.schedule for c in study.configurations] == [
        Cosine(warmup=0.1),
        Step(warmup=0.1, gamma=0.5),
        Cosine(warmup=Steps(steps=7)),
        Step(warmup=Steps(steps=7), gamma=0.5),
    ]


def test_a_mapping_replaces_the_whole_section(tmp_path: Path) -> None:
    axes = "sweep: {optimizer: [{name: adam}, {name: adamw, lr: 0.5}]}\n"
    study = load(tmp_path, BASE + axes)
    assert [c.optimizer for c in study.configurations] == [Adam(), AdamW(lr=0.5)]


def test_an_axis_may_supply_what_the_base_leaves_out(tmp_path: Path) -> None:
    text = "study: s\nsweep:\n  optimizer: [{name: adam}]\n  train.steps: [5, 7]\n"
    text += "  train.target: [{metric: valid/loss, value: 1}]\n  train.target.value: [0.5]\n"
    study = load(tmp_path, text)
    assert [c.train.steps for c in study.configurations] == [5, 7]
    assert [c.train.target.value for c in study.configurations if c.train.target] == [0.5, 0.5]


def test_an_axis_reaches_into_a_section_at_its_default(tmp_path: Path) -> None:
    study = load(tmp_path, BASE + "sweep: {schedule.warmup.steps: [1, 2]}\n")
    assert [c.schedule for c in study.configurations] == [
        Constant(warmup=Steps(steps=1)),
        Constant(warmup=Steps(steps=2)),
    ]


def test_an_axis_over_names(tmp_path: Path) -> None:
    study = load(tmp_path, BASE + "sweep: {optimizer.name: [sgd, adamw]}\n")
    assert [c.optimizer for c in study.configurations] == [Sgd(lr=0.1), AdamW(lr=0.1)]


def test_user_code_is_named_and_not_imported(tmp_path: Path) -> None:
    text = BASE + "data: {name: 'no.such:data', args: {n: 7}, test: 0.1}\n"
    text += "model: {name: 'no.such:Model', args: {width: 3}}\nsweep: {model.args.width: [5, 11]}\n"
    study = load(tmp_path, text)
    assert study.configurations[1].model == UserModel(name="no.such:Model", args={"width": 11})
    assert study.configurations[0].data == UserData(name="no.such:data", args={"n": 7}, test=0.1)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("{metric: valid/accuracy}", Objective(metric="valid/accuracy", mode="max")),
        ("{metric: train/loss}", Objective(metric="train/loss", mode="min")),
        ("{metric: valid/error}", Objective(metric="valid/error", mode="min")),
        ("{metric: valid/accuracy, mode: min}", Objective(metric="valid/accuracy", mode="min")),
        ("{}", Objective(metric="valid/loss", mode="min")),
    ],
)
def test_the_mode_follows_the_metric(objective: str, expected: Objective, tmp_path: Path) -> None:
    assert load(tmp_path, f"{BASE}objective: {objective}\n").objective == expected


def test_a_text_and_its_perplexity(tmp_path: Path) -> None:
    text = "data: {name: characters, path: t.txt}\nmodel: {name: gpt}\n"
    study = load(tmp_path, f"{BASE}{text}objective: {{metric: valid/perplexity}}\n")
    assert study.objective == Objective(metric="valid/perplexity", mode="min")
    assert study.configurations[0].data == Characters(path="t.txt")
    assert study.configurations[0].model == Gpt()


def test_yaml_12_scalars(tmp_path: Path) -> None:
    args = "{a: 1e-3, b: no, c: on, d: true, e: 1_000, f: 2020-01-01, g: 010, h: 1:30, i: ~, j: .5}"
    study = load(tmp_path, f"{BASE}model: {{name: a:b, args: {args}}}\n")
    model = study.configurations[0].model
    assert isinstance(model, UserModel)
    values = [0.001, "no", "on", True, 1000, "2020-01-01", "010", "1:30", None, 0.5]
    assert list(model.args.values()) == values
    assert [type(value) for value in model.args.values()] == [type(value) for value in values]


def test_anchors_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = "study: s\noptimizer: &o {name: sgd, lr: 0.1}\ntrain: {epochs: 3}\nsweep:\n"
    text += "  optimizer: [*o, {<<: *o, lr: 0.2}, {lr: 0.3, <<: [{momentum: 0.5}, *o]}]\n"
    study = load(tmp_path, text)
    assert [c.optimizer for c in study.configurations] == [
        Sgd(lr=0.1),
        Sgd(lr=0.2),
        Sgd(lr=0.3, momentum=0.5),
    ]


def test_lists_become_tuples(tmp_path: Path) -> None:
    text = BASE + "schedule: {name: multistep, milestones: [0.5, {epochs: 2}]}\n"
    schedule = load(tmp_path, text).configurations[0].schedule
    assert schedule == MultiStep(milestones=(0.5, Epochs(epochs=2.0)))


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_study(path).name == "s"


@pytest.mark.parametrize(
    "axes",
    [
        "train.batch_size: {linear: [1, 50], points: 50}, schedule: [{name: step}, {name: cosine}]",
        "optimizer.momentum: {linear: [0, 0.9], points: 100}",
    ],
)
def test_twenty_thousand_configurations_take_seconds(axes: str, tmp_path: Path) -> None:
    started = time.perf_counter()
    study = load(
        tmp_path, f"{BASE}sweep: {{optimizer.lr: {{log: [0.001, 1], points: 200}}, {axes}}}\n"
    )
    assert len(study.configurations) == 20_000
    assert time.perf_counter() - started < 10


def test_loading_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from orchestrator.spec import load_study; load_study(sys.argv[1]);"
        "print([m for m in ('torch', 'ray', 'numpy', 'pandas', 'wandb') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(DEMO)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

"""``--set path=value``."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import SpecError, Study, load_study
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.schedules import Constant

TEXT = """\
study: s
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 3}
sweep:
  optimizer.lr: [0.2, 0.3]
  model: [{name: mlp, hidden: [7]}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def optimizers(study: Study) -> list[object]:
    return [configuration.optimizer for configuration in study.configurations]


def test_overrides_win_and_are_recorded(path: Path) -> None:
    overrides = ["study=t", "optimizer.momentum=0.5", "seeds=[4, 2]", "execution.lanes=5"]
    study = load_study(path, overrides)
    assert study.name == "t"
    assert study.overrides == tuple(overrides)
    assert study.text == TEXT
    assert study.seeds == (4, 2)
    assert study.execution.lanes == 5
    assert optimizers(study) == [Sgd(lr=lr, momentum=0.5) for lr in (0.2, 0.3)]


def test_the_last_of_two_wins(path: Path) -> None:
    assert load_study(path, ["seeds=2", "seeds=3"]).seeds == (0, 1, 2)


def test_an_axis_is_replaced_in_its_place(path: Path) -> None:
    study = load_study(path, ["sweep.optimizer.lr=[1, 2, 3]"])
    assert list(study.axes) == ["optimizer.lr", "model"]
    assert optimizers(study) == [Sgd(lr=1), Sgd(lr=2), Sgd(lr=3)]


def test_an_axis_is_added(path: Path) -> None:
    study = load_study(path, ["sweep.train.batch_size={linear: [8, 16], points: 2}"])
    assert study.axes["train.batch_size"] == (8, 16)
    assert len(study.configurations) == 4


def test_setting_what_an_axis_varies_takes_the_axis_away(path: Path) -> None:
    study = load_study(path, ["optimizer.lr=0.7"])
    assert list(study.axes) == ["model"]
    assert optimizers(study) == [Sgd(lr=0.7)]


def test_a_section_is_replaced_under_its_axes(path: Path) -> None:
    assert optimizers(load_study(path, ["optimizer={name: adam}"])) == [Adam(lr=0.2), Adam(lr=0.3)]


def test_a_section_at_its_default_is_reached_into(path: Path) -> None:
    study = load_study(path, ["schedule.warmup=0.25"])
    assert study.configurations[0].schedule == Constant(warmup=0.25)


def test_null_takes_back_a_choice(path: Path) -> None:
    study = load_study(path, ["train.epochs=null", "train.steps=11"])
    assert study.configurations[0].train.steps == 11


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=-1", "must be a number above 0, got -1"),
        ("optimizer.lr=1e-3x", "must be a number above 0, got '1e-3x'"),
        (
            "optimizer.lrr=1",
            "unknown key; sgd takes lr, momentum, nesterov, weight_decay, "
            "decoupled and skip_vectors",
        ),
        ("optimizer={name: sgd, lr: 0}", "optimizer.lr"),
        ("optimiser.lr=1", "optimiser: unknown key; a study takes"),
        ("optimizer.momentum.x=1", "optimizer.momentum: must be a number at least 0"),
        ("train.epochs.x=1", "train.epochs is 3, which has no keys below it"),
        ("study=a/b", "must be text of letters"),
        ("seeds=0", "must be a whole number from 1"),
        ("sweep.optimizer.lr=[1, -2]", "optimizer.lr: must be a number above 0, got -2"),
        ("sweep.optimizer.lr=[]", "is empty; an axis has at least one value"),
        ("sweep.lr=[1]", "no such path"),
        ("sweep=3", "must be a mapping of paths to axes"),
        ("model.hidden=[3]", "has no effect, as the sweep replaces model; set sweep.model"),
        ("execution.lanes=0", "must be a whole number at least 1, got 0"),
        ("word", "must be path=value, such as optimizer.lr=0.1"),
        ("=3", "must be path=value"),
        ("optimizer.lr=", "must be path=value"),
        ("optimizer..lr=3", "keys joined by single dots"),
        ("optimizer.lr=[1", "not valid YAML"),
        ("optimizer.lr=.nan", "must be a finite number"),
        ("study=a\nb: c", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_the_override(override: str, message: str, path: Path) -> None:
    if override.startswith("optimizer={"):
        path.write_text(TEXT.replace("  optimizer.lr: [0.2, 0.3]\n", ""))
    with pytest.raises(SpecError) as caught:
        load_study(path, [override])
    (line,) = str(caught.value).splitlines()
    assert line.startswith("--set " + override.replace("\n", "\\n") + ": ")
    assert message in line


def test_a_long_override_is_shortened(path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(path, [f"study={'x' * 500}"])
    assert len(str(caught.value)) < 300


def test_every_override_that_is_wrong_is_named(path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(path, ["word", "seeds=[", "optimizer.momentum=0.5"])
    assert len(caught.value.problems) == 2

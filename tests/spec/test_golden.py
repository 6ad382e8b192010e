"""Run ids, and defaults of a study, pinned: a change here renames or changes runs that exist."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.spec import (
    Execution,
    Grid,
    Minutes,
    Objective,
    Optuna,
    OwnExecution,
    OwnObjective,
    Pbt,
    Random,
    Report,
    Resources,
    Searcher,
    Sobol,
    Tracking,
)
from trainables.configs import Digits, FunctionRun, Mlp, RunConfig, Train, run_id, to_plain
from trainables.configs.base import Config, Epochs, Steps
from trainables.configs.lottery import Lottery, Node, Training
from trainables.configs.models import (
    UserModel,
)
from trainables.configs.optimizers import (
    AdamW,
    Sgd,
)
from trainables.configs.population import Change, Mutable, Population
from trainables.configs.probes import NoiseScale, Probes, Spectrum
from trainables.configs.schedules import (
    Constant,
    Cosine,
    MultiStep,
    Sequence,
    UserSchedule,
)

FREE: dict[str, Any] = {"first": [], "constraints": []}
PRUNING: dict[str, Any] = {
    "criterion": "magnitude",
    "scope": "layerwise",
    "rate": 0.2,
    "output_rate": None,
    "layer_rates": {},
    "exclude": [],
    "rounds": "iterative",
    "at": None,
    "batches": 1,
    "rewind_to": 0.0,
    "after": "rewind",
    "optimizer_state": "reset",
}
DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
    (Objective(), {"metric": "valid/loss", "mode": "min"}),
    (OwnObjective(metric="a", mode="max"), {"metric": "a", "mode": "max"}),
    (OwnExecution(), {"checkpoint_every": None}),
    (Grid(), {"name": "grid", **FREE}),
    (Random(runs=3), {"name": "random", "runs": 3, "seed": 0, **FREE}),
    (Sobol(runs=3), {"name": "sobol", "runs": 3, "seed": 0, **FREE}),
    (
        Optuna(runs=3),
        {"name": "optuna", "runs": 3, "seed": 0, "sampler": "tpe", "options": {}, **FREE},
    ),
    (
        Pbt(population=4, interval=0.25),
        {
            "name": "pbt",
            "population": 4,
            "interval": 0.25,
            "quantile": 0.25,
            "resample": 0.25,
            "factors": [0.8, 1.2],
            "seed": 0,
            **FREE,
        },
    ),
    (Mutable(name="lr", low=0.1, high=1.0), {"name": "lr", "low": 0.1, "high": 1.0, "log": False}),
    (Training(), {"name": "train"}),
    (
        Lottery(levels=3),
        {
            **PRUNING,
            "name": "lottery",
            "levels": 3,
            "controls": ["reinitialized"],
            "children": 0,
            "children_at": None,
        },
    ),
    (Node(level=3), {**PRUNING, "level": 3, "control": None, "child": 0}),
    (
        Spectrum(),
        {
            "at": [0.0, 1.0],
            "every": None,
            "matrix": "hessian",
            "top": 5,
            "lanczos": 30,
            "vectors": 4,
            "examples": 512,
            "density": True,
        },
    ),
    (NoiseScale(), {"every": 50, "parts": None, "decay": 0.9}),
    (Probes(), {"noise_scale": None, "spectrum": None}),
    (Searcher(name="bohb", runs=3), {"name": "bohb", "runs": 3, "options": {}, **FREE}),
    (FunctionRun(trainable="a:b"), {"trainable": "a:b", "config": {}, "seed": 0}),
    (
        Execution(),
        {
            "strategy": "auto",
            "compile": "auto",
            "lanes": None,
            "checkpoint_every": None,
            "keep": 2,
            "save": "none",
        },
    ),
    (Minutes(minutes=0.5), {"minutes": 0.5}),
    (Resources(), {"cpus": None, "gpus": None, "max_concurrent": None}),
    (Tracking(), {"wandb": "auto", "project": "regatta", "entity": None, "detail": "auto"}),
    (Report(), {"title": None, "top": 5}),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain


def run(**changes: Any) -> RunConfig:
    parts: dict[str, Any] = {
        "data": Digits(),
        "model": Mlp(),
        "optimizer": Sgd(lr=0.1),
        "train": Train(epochs=30.0),
        **changes,
    }
    return RunConfig(**parts)


RUN_IDS: dict[str, RunConfig | FunctionRun] = {
    "eb47ee0c0e1254bc": run(),
    "2f322f1fdfd80d21": run(seed=1),
    "3d1aaf30428b07f3": run(schedule=Cosine(warmup=0.05)),
    "aac46be9b624e02d": run(schedule=MultiStep(milestones=(Steps(steps=5), Epochs(epochs=2.0)))),
    "82976324ae313c57": run(optimizer=AdamW(lr=0.003), train=Train(steps=1000, batch_size=128)),
    "6a3628c42b777de7": run(
        model=UserModel(name="a.b:c", args={"width": 3, "deep": [1, {"x": None}]})
    ),
    "a6c0df114730fc3a": run(
        train=Train(epochs=30.0, changes=(Change(step=7, optimizer={"lr": 0.5}),))
    ),
    "9aafe6da45b87fe9": run(
        population=Population(
            size=3,
            interval=Epochs(epochs=2.0),
            quantile=0.5,
            resample=0.25,
            factors=(0.8, 1.2),
            seed=0,
            metric="valid/loss",
            mode="min",
            space=(Mutable(name="lr", low=0.1, high=1.0, log=True),),
            members="0123456789abcdef",
        )
    ),
    "3599a0e3445ff923": run(lottery=Node(level=3)),
    "622eefed0a275383": run(
        lottery=Node(
            level=2, control="shuffled", criterion="snip", at="end", rewind_to=Steps(steps=11)
        )
    ),
    "74c5039bc7b05c4e": run(lottery=Node(level=0, child=2, optimizer_state="kept")),
    "52cfabeafe8e387c": run(probes=Probes(noise_scale=NoiseScale())),
    "57b57452efd2ad24": run(probes=Probes(noise_scale=NoiseScale(every=10, parts=4, decay=0.5))),
    "9ffffeda18cc4dff": run(probes=Probes(spectrum=Spectrum())),
    "85c4e697c819a5b5": run(
        probes=Probes(
            spectrum=Spectrum(
                at=(0.5,),
                every=2,
                matrix="gauss_newton",
                top=3,
                lanczos=20,
                vectors=8,
                examples=100,
                density=False,
            )
        )
    ),
    "7ea030f9d35bc1e2": FunctionRun(trainable="a.b:c"),
    "43dce18c0dc33dce": FunctionRun(
        trainable="a.b:c", config={"lr": 0.1, "deep": {"x": [1, None]}}, seed=2
    ),
}


@pytest.mark.parametrize(("expected", "config"), RUN_IDS.items())
def test_run_ids(expected: str, config: RunConfig | FunctionRun) -> None:
    assert run_id(config) == expected


def test_a_field_at_its_default_does_not_count() -> None:
    assert run_id(run(schedule=Constant(warmup=0.0), seed=0)) == run_id(run())


def test_a_part_of_a_schedule_is_known_by_what_was_chosen() -> None:
    """A new field of a schedule renames no sequence that has one."""
    spelt = Sequence(schedules=(Constant(factor=1.0), Cosine(final=0.0)), durations=(0.5,))
    assert run_id(run(schedule=spelt)) == "0532764fd0247015"
    assert run_id(run(schedule=UserSchedule(name="a.b:c", args={"x": [1]}))) == "b89232a379b2cbba"

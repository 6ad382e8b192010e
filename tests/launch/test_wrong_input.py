"""What cannot be trained ends as one clear line and exit code 2, before anything is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orchestrator import api
from orchestrator.cli import app
from orchestrator.launch import run as launch_run
from tests.data.files import idx, write_cifar, write_idx
from trainables import trial
from trainables.configs import RunConfig
from trainables.data import DataSet

THEIRS = (Path(__file__).parent / "their_models.py").read_text()
Make = Callable[[Path], None]
SGD = "{name: sgd, lr: 0.1}"


def _nothing(_: Path) -> None:
    pass


def _idx(**files: Any) -> Make:
    """Good files, some of them replaced by these bytes or taken away."""

    def make(folder: Path) -> None:
        write_idx(folder / "d")
        for name, content in files.items():
            path = folder / "d" / f"{name.replace('_', '-')}-ubyte"
            path.unlink()
            if content is not None:
                path.write_bytes(content)

    return make


def _cifar(version: str, file: str, content: bytes | None) -> Make:
    def make(folder: Path) -> None:
        (folder / "d").mkdir()
        write_cifar(folder / "d", version, packed=False)
        (path,) = (folder / "d").rglob(file)
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return make


def _npz(**arrays: Any) -> Make:
    return lambda folder: np.savez(folder / "a.npz", **arrays)


def _cut_npz(folder: Path) -> None:
    np.savez(folder / "a.npz", x=X, y=Y)
    (folder / "a.npz").write_bytes((folder / "a.npz").read_bytes()[:-40])


def _text(folder: Path) -> None:
    (folder / "t.txt").write_text("abc" * 97)


TEXT = "{name: characters, path: t.txt, context: 5}"
X, Y = np.random.default_rng(1).normal(size=(31, 2)), np.arange(31) % 3
IMAGES = np.zeros((11, 28, 28))
ROW = bytes(1 + 3072)


def _study(
    data: str = "{name: digits}",
    model: str = "{name: mlp, hidden: [7]}",
    optimizer: str = SGD,
    train: str = "{steps: 3, batch_size: 5}",
) -> str:
    return (
        f"study: s\ndata: {data}\nmodel: {model}\noptimizer: {optimizer}\ntrain: {train}\n"
        'tracking: {wandb: "off"}\n'
    )


def _theirs(model: str, more: str = "", **parts: str) -> str:
    parts = {"data": "{name: 'theirs:data'}"} | parts
    return _study(model=f"{{name: 'theirs:{model}'{more}}}", **parts)


def _wide(batch: str, **parts: str) -> str:
    return _study(train=f"{{steps: 3, {batch}}}", **parts)


MNIST = "{name: mnist, root: d, valid: 3}"
CIFAR = "{name: cifar10, root: d, valid: 1}"
ARRAYS = "{name: arrays, path: a.npz}"
BATCH_NORM = "{name: mlp, hidden: [7], norm: batch}"

CASES: dict[str, tuple[Make, str, str]] = {
    # files
    "no folder": (_nothing, _study(MNIST), "is missing; put train-images-idx3-ubyte, train-labels"),
    "no test labels": (
        _idx(t10k_labels_idx1=None),
        _study(MNIST),
        "t10k-labels-idx1-ubyte is missing",
    ),
    "magic number": (
        _idx(train_images_idx3=b"\x00\x00\x08\x01" + idx(IMAGES)[4:]),
        _study(MNIST),
        "magic number 0x00000801, expected 0x00000803",
    ),
    "truncated images": (
        _idx(train_images_idx3=idx(IMAGES)[:-1]),
        _study(MNIST),
        "8623 bytes of data, its header says 11 × 28 × 28 = 8624; the file is damaged",
    ),
    "labels out of range": (
        _idx(train_labels_idx1=idx(np.arange(11))),
        _study(MNIST),
        "has the label 10; labels go from 0 to 9",
    ),
    "split without examples": (
        _idx(),
        _study("{name: mnist, root: d, valid: 11}"),
        "11 examples with valid 11 leave a split empty",
    ),
    "no cifar": (_nothing, _study(CIFAR), "put cifar-10-batches-py/ or cifar-10-python.tar.gz"),
    "cifar without a batch": (
        _cifar("10-binary", "data_batch_2.bin", None),
        _study(CIFAR),
        "No such file or directory",
    ),
    "truncated cifar": (
        _cifar("10-binary", "data_batch_2.bin", ROW[:-1]),
        _study(CIFAR),
        "data_batch_2.bin: 3072 bytes are not a multiple of 3073",
    ),
    "cifar's label out of range": (
        _cifar("10-binary", "data_batch_2.bin", b"\x0a" + ROW[1:]),
        _study(CIFAR),
        "has the label 10; labels go from 0 to 9",
    ),
    "damaged pickle": (
        _cifar("10-python", "data_batch_2", b"\x80\x02}q"),
        _study(CIFAR),
        "data_batch_2: ",
    ),
    "no arrays": (_nothing, _study(ARRAYS), "a.npz is missing; put an .npz file with x and y"),
    "truncated arrays": (_cut_npz, _study(ARRAYS), "is no .npz file, or its end is missing"),
    "NaN in inputs": (_npz(x=X * np.nan, y=Y), _study(ARRAYS), "x has NaN or infinite values"),
    "infinite inputs": (_npz(x=X + np.inf, y=Y), _study(ARRAYS), "x has NaN or infinite values"),
    "NaN in targets": (
        _npz(x=X, y=X * np.nan),
        _study(ARRAYS, train="{steps: 3, loss: quadratic}"),
        "y has NaN or infinite values",
    ),
    "negative labels": (_npz(x=X, y=Y - 1), _study(ARRAYS), "got int64 (31,) from -1"),
    "arrays without examples": (_npz(x=X[:0], y=Y[:0]), _study(ARRAYS), "has no examples"),
    # functions
    "no such module": (_nothing, _study("{name: 'no_such:data'}"), "No module named 'no_such'"),
    "module that raises": (
        lambda folder: (folder / "broken.py").write_text("raise ValueError('at import')") and None,
        _study("{name: 'broken:data'}"),
        "data: broken:data: ValueError: at import",
    ),
    "module with a syntax error": (
        lambda folder: (folder / "wrong.py").write_text("def f(:\n") and None,
        _study(model="{name: 'wrong:net'}"),
        "model.name: wrong:net: SyntaxError: ",
    ),
    "data function that raises": (
        _nothing,
        _study("{name: 'theirs:broken_data'}"),
        "data: theirs:broken_data: ValueError: two lines",
    ),
    "data function that returns one": (
        _nothing,
        _study("{name: 'theirs:one_array'}"),
        "theirs:one_array: must return arrays (x, y), got ndarray",
    ),
    # models of users
    "model that raises": (
        _nothing,
        _theirs("raises"),
        "model.name: theirs:raises: KeyError: 'no such width'",
    ),
    "model with an argument too many": (
        _nothing,
        _theirs("good", ", args: {width: 3}"),
        "unexpected keyword argument 'width'",
    ),
    "no module": (_nothing, _theirs("no_module"), "must return a torch.nn.Module, got int"),
    "no parameters": (_nothing, _theirs("no_parameters"), "a module without parameters"),
    "shapes that do not fit": (_nothing, _theirs("misfit"), "theirs:misfit: RuntimeError: "),
    "too many outputs": (
        _nothing,
        _theirs("too_many"),
        "theirs:too_many: gives outputs (5, 7) for 5 examples, expected (5, 5)",
    ),
    "one output for three targets": (
        _nothing,
        _theirs(
            "too_few",
            data="{name: 'theirs:reals'}",
            train="{steps: 3, loss: quadratic, batch_size: 7}",
        ),
        "gives outputs (7, 1) for 7 examples, expected (7, 3)",
    ),
    "raises in training": (
        _nothing,
        _theirs("shy"),
        "theirs:shy: RuntimeError: not while training",
    ),
    "types that do not fit": (_nothing, _theirs("twice"), "theirs:twice: RuntimeError: "),
    "batch norm of one": (
        _nothing,
        _theirs("single", train="{steps: 3, batch_size: 6, accumulate: 6}"),
        "theirs:single: ValueError: Expected more than 1 value per channel",
    ),
    "batch norm of one in a sweep": (
        _nothing,
        _theirs("single") + "sweep: {train.batch_size: [6, 1, 3]}\n",
        "theirs:single: ValueError: Expected more than 1 value per channel",
    ),
    "one prediction a text": (
        _text,
        _theirs("last_only", data=TEXT),
        "theirs:last_only: gives outputs (4, 3) for 4 examples, expected (4, 5, 3)",
    ),
    "muon without matrices": (
        _nothing,
        _theirs("vector", optimizer="{name: muon}"),
        "theirs:vector: ValueError: muon needs a model with matrices",
    ),
    "a matrix of their model": (
        _nothing,
        _theirs("vector", optimizer="{name: newton, max_parameters: 2}"),
        "theirs:vector: ValueError: newton solves with a matrix of all parameters",
    ),
    # optimizers
    "a matrix of all parameters": (
        _nothing,
        _study(optimizer="{name: gauss_newton, max_parameters: 500}"),
        "optimizer.name: gauss_newton solves with a matrix of all parameters: mlp has ",
    ),
    "examples and batch norm": (
        _nothing,
        _wide("batch_size: 7", model=BATCH_NORM, optimizer="{name: hessian_free}"),
        "optimizer.preconditioner: empirical_fisher takes gradients of single examples, which"
        " model.norm: batch has none of; use none",
    ),
    # combinations
    "accumulation": (
        _nothing,
        _wide("batch_size: 7, accumulate: 2"),
        "accumulate: 2 does not divide batch_size 7",
    ),
    "batch": (_nothing, _wide("batch_size: 5000"), "5000 exceeds digits's 1168 training examples"),
    "batch norm, one example": (
        _nothing,
        _wide("batch_size: 1", model=BATCH_NORM),
        "model.norm: batch would normalize single numbers of mlp, as train.batch_size 1 trains",
    ),
    "batch norm, parts of one example": (
        _nothing,
        _wide("batch_size: 6, accumulate: 6", model=BATCH_NORM),
        "as train.batch_size 6 in 6 parts trains one example at a time; it must be at least 2",
    ),
    "loss": (
        _nothing,
        _study(train="{steps: 3, loss: quadratic}"),
        "quadratic needs real targets, and digits has classes",
    ),
    "images": (
        _nothing,
        _study(model="{name: resnet44}"),
        "resnet44 takes images (channels, height, width)",
    ),
    "warmup": (
        _nothing,
        _study() + "schedule: {name: constant, warmup: {epochs: 1}}\n",
        "schedule.warmup: must be shorter than training (3 steps), got 233 steps",
    ),
}


@pytest.fixture(autouse=True)
def _nothing_may_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    def started(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("something was started")

    monkeypatch.setattr(launch_run, "ray_cluster", started)
    monkeypatch.setattr(api, "start_mirror", started)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in {"theirs", "broken", "wrong"} & (set(sys.modules) - modules):
        del sys.modules[name]


def _write(folder: Path, case: str) -> str:
    make, text, message = CASES[case]
    (folder / "theirs.py").write_text(THEIRS)
    (folder / "study.yaml").write_text(text)

    make(folder)
    return message


@pytest.mark.parametrize("case", CASES)
def test_is_one_line_and_exit_code_2(case: str, tmp_path: Path) -> None:
    message = _write(tmp_path, case)
    result = CliRunner().invoke(app, ["run", "study.yaml"])
    assert result.exit_code == 2, result.exception
    (line,) = result.output.splitlines()
    assert line.startswith("study.yaml:")
    assert message in line
    assert "Traceback" not in line


def test_a_good_study_would_start(tmp_path: Path) -> None:
    """Or no case above would prove anything."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    _text(tmp_path)
    for text in (
        _study(),
        _theirs("good"),
        _theirs("embeds", data=TEXT),
        _wide("batch_size: 2", model=BATCH_NORM),
    ):
        (tmp_path / "study.yaml").write_text(text)
        result = CliRunner().invoke(app, ["run", "study.yaml"])
        assert isinstance(result.exception, AssertionError)
        assert str(result.exception) == "something was started"


def test_a_cluster_may_have_what_this_machine_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.py").write_text(THEIRS)
    (tmp_path / "study.yaml").write_text(_theirs("misfit"))
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:1")
    result = CliRunner().invoke(app, ["run", "study.yaml"])
    assert isinstance(result.exception, AssertionError)


@pytest.mark.parametrize(
    ("gpu", "works", "found", "devices"),
    [
        (True, "cuda", None, ["cpu", "cuda"]),
        (True, "cpu", None, ["cpu"]),
        (True, "none", "not on cuda", ["cpu", "cuda"]),
        (False, "cuda", "not on cpu", ["cpu"]),
    ],
)
def test_a_model_that_fails_on_the_cpu_is_tried_on_a_gpu(
    gpu: bool,
    works: str,
    found: str | None,
    devices: list[str],
    monkeypatch: pytest.MonkeyPatch,
    make_run: Callable[..., RunConfig],
    small_data: DataSet,
) -> None:
    tried: list[str] = []

    def step(device: torch.device, run: RunConfig, data: DataSet) -> str | None:
        tried.append(device.type)
        return None if device.type == works else f"not on {device.type}"

    monkeypatch.setattr(trial, "_problem_on", step)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert trial.problem(make_run(), small_data) == found
    assert tried == devices


@pytest.mark.parametrize("case", ["batch norm, one example", "shapes that do not fit"])
def test_neither_ray_nor_without_need_torch_is_imported(case: str, tmp_path: Path) -> None:
    message = _write(tmp_path, case)
    script = (
        "import sys; from orchestrator.cli import app; from typer.testing import CliRunner;"
        "r = CliRunner().invoke(app, ['run', 'study.yaml']); print(r.exit_code, r.output.strip());"
        "print([m for m in ('ray', 'wandb', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    line, imported = done.stdout.splitlines()
    assert line.startswith("2 study.yaml: ")
    assert message in line
    assert imported == ("['torch']" if "theirs" in message or "misfit" in message else "[]")

"""The studies of the pages on probes and on batches in parts are as these say."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.spec import load_study
from trainables.configs import RunConfig
from trainables.configs.probes import NoiseScale, Probes, Spectrum, parts_of

DOCS = Path(__file__).parents[2] / "docs"
BASE = "study: s\noptimizer: {name: sgd, lr: 0.1}\n"


def _block(page: str, has: str) -> str:
    """The YAML of a page that has this text."""
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    (found,) = (block for block in blocks if has in block)
    return str(found)


def test_the_noise_scale_as_written_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE + "train: {epochs: 3}\n" + _block("probes.md", "noise_scale"))
    (run,) = load_study(path).runs()
    assert isinstance(run, RunConfig)
    assert run.probes is not None
    written, default = run.probes.noise_scale, NoiseScale()
    assert written is not None
    assert (written.every, written.decay) == (default.every, default.decay)
    assert written.parts == parts_of(default, accumulate=1)


def test_the_spectrum_as_written_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE + "train: {epochs: 3}\n" + _block("probes.md", "spectrum: {"))
    (run,) = load_study(path).runs()
    assert isinstance(run, RunConfig)
    assert run.probes == Probes(spectrum=Spectrum())


def test_ghost_batches_are_of_one_size(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(BASE + "train: {epochs: 3}\n" + _block("training.md", "train.accumulate"))
    trains = [run.train for run in load_study(path).runs() if isinstance(run, RunConfig)]
    sizes = [(train.batch_size, train.accumulate) for train in trains]
    assert sizes == [(128, 1), (512, 4), (2048, 16)]

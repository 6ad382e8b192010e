"""Masks beside saved runs: written whole, read without PyTorch, compared as PyTorch does."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.store.masks import (
    MasksError,
    Packed,
    layer_overlaps,
    load_all,
    load_masks,
    overlap,
)
from trainables import saved_run
from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.progress import Progress
from trainables.pruning import masks as pruning

Maker = Callable[..., RunConfig]
SHARES = (0.7, 0.3, 0.05)


def _masks(seed: int) -> dict[str, torch.Tensor]:
    """Of three lanes; a layer of 11 × 7 = 77 weights fills no byte at its end."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (3, 11, 7), "2.weight": (3, 5, 3, 2, 2), "10.weight": (3, 13, 1)}
    shares = torch.tensor(SHARES)
    return {
        name: torch.rand(shape, generator=generator) < shares.view(-1, *[1] * (len(shape) - 1))
        for name, shape in shapes.items()
    }


def _save(folder: Path, masks: dict[str, torch.Tensor], prefix: str) -> list[str]:
    names = [f"{prefix}{lane}" for lane in range(3)]
    saved_run.save_masks(folder / "runs", {n: lane for lane, n in enumerate(names)}, masks)
    return names


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    masks = _masks(0)
    for lane, name in enumerate(_save(tmp_path, masks, "a")):
        found = load_masks(tmp_path, name)
        assert list(found) == list(masks)
        for weight, packed in found.items():
            mask = masks[weight][lane].numpy()
            assert packed.shape == mask.shape
            flat = np.unpackbits(packed.bits, count=mask.size).astype(bool)
            assert np.array_equal(flat.reshape(mask.shape), mask)
    assert not list((tmp_path / "runs").glob("*.part"))


def test_overlap_is_that_of_the_tensors(tmp_path: Path) -> None:
    """With NumPy on packed bits and with PyTorch on masks: the same to the last bit."""
    masks, others = _masks(0), _masks(1)
    masks["10.weight"][2], others["10.weight"][2] = False, False  # nothing left in both: 1
    mine, theirs = _save(tmp_path, masks, "a"), _save(tmp_path, others, "b")
    expected = pruning.overlap(masks, others)
    assert len(set(expected.tolist())) == 3
    for lane in range(3):
        one, other = load_masks(tmp_path, mine[lane]), load_masks(tmp_path, theirs[lane])
        assert overlap(one, other) == overlap(other, one) == expected[lane].item()
        assert overlap(one, one) == 1
        layers = {
            name: pruning.overlap({name: masks[name]}, {name: others[name]})[lane].item()
            for name in masks
        }
        assert layer_overlaps(one, other) == layers
    assert layers["10.weight"] == 1


def test_masks_of_different_networks_have_no_overlap(tmp_path: Path) -> None:
    masks = _masks(0)
    (name, *_) = _save(tmp_path, masks, "a")
    found = load_masks(tmp_path, name)
    turned = found | {"0.weight": Packed(found["0.weight"].bits, (7, 11))}
    with pytest.raises(ValueError, match="different networks"):
        overlap(found, turned)
    with pytest.raises(ValueError, match="different networks"):
        layer_overlaps(found, {name: found[name] for name in list(found)[:2]})


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-99])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"NUMPY") + 130  # among the bits of the first weight
    content[place] ^= 0x55
    path.write_bytes(content)


def _other(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{"0.weight": np.zeros(3), "0.weight:shape": np.array([11, 7])})


def _text(path: Path) -> None:
    path.write_text("no archive at all")


DAMAGE = {"truncated": _cut, "a bit": _flip, "of another kind": _other, "a text": _text}


@pytest.mark.parametrize("damage", [*DAMAGE.values(), Path.unlink], ids=[*DAMAGE, "missing"])
def test_a_file_that_is_damaged_is_left_out_and_said(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    names = _save(tmp_path, _masks(0), "a")
    path = tmp_path / "runs" / f"{names[1]}.masks.npz"
    damage(path)
    missing = damage is Path.unlink
    with pytest.raises(MasksError, match=r"a1\.masks\.npz: (damaged|is missing)") as caught:
        load_masks(tmp_path, names[1])
    assert "\n" not in str(caught.value)
    found, said = load_all(tmp_path, [*names, "dense"])
    assert list(found) == [names[0], names[2]]
    assert said == ([] if missing else [str(caught.value)])


def test_they_are_written_with_the_final_states_of_pruned_lanes(
    make_run: Maker, small_data: DataSet, tmp_path: Path
) -> None:
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float32)
    stack = Stack([make_run(seed=seed) for seed in range(3)], arrays)
    ended = {lane: Progress(f"r{lane}", lane) for lane in (0, 2)}
    save = functools.partial(saved_run.save, tmp_path / "runs", ended=ended)
    save(stack)
    assert {path.suffix for path in (tmp_path / "runs").iterdir()} == {".pt"}
    masks = pruning.ones(stack.params, pruning.prunable(stack.network.module))
    for lane in range(3):
        masks["0.weight"][lane, :, : lane + 1] = False
    stack.load_state_dict(pruning.with_masks(stack.state_dict(), masks))
    save(stack)
    found, said = load_all(tmp_path, ["r0", "r1", "r2"])
    assert (list(found), said) == (["r0", "r2"], [])
    for lane in (0, 2):
        bits = found[f"r{lane}"]["0.weight"].bits
        assert np.unpackbits(bits).sum() == 11 * (7 - lane - 1)


def test_reading_needs_no_torch() -> None:
    code = "import orchestrator.store.masks, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

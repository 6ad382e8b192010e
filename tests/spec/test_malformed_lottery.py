"""Procedures that are wrong, in themselves and with the rest of the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, own, refused, study

TOKENS = "data: {name: characters, path: t.txt}\nmodel: {name: gpt}\n"
GROWS = "{epochs: 3, batch_growth: {milestones: [0.5]}}"


def lottery(options: str = "", more: str = "", *, train: str = "{epochs: 3}") -> str:
    """A study with a procedure in line 4; what follows ``levels: 3`` begins in column 39."""
    text = f"procedure: {{name: lottery, levels: 3{options and ', '}{options}}}\n"
    return study(text + more, train=train)


CASES: dict[str, Case] = {
    "a word": (study("procedure: lottery\n"), ("4:12", "must be a mapping", "{name: lottery}")),
    "empty": (study("procedure:\n"), ("4:11", "it is empty here", "{name: train}")),
    "unknown": (
        study("procedure: {name: lotery, levels: 3}\n"),
        ("4:19", "got lotery; did you mean lottery?", "one of train or lottery"),
    ),
    "no name": (
        study("procedure: {levels: 3}\n"),
        ("4:12", "name: is required", "one of train or lottery"),
    ),
    "options of no procedure": (
        study("procedure: {name: train, levels: 3}\n"),
        ("4:26", "procedure.levels: unknown key", "train has no options"),
    ),
    "no levels": (
        study("procedure: {name: lottery}\n"),
        ("4:12", "procedure.levels: is required", "from 1 to 100"),
    ),
    "field": (
        lottery("rewind: 0"),
        ("4:39", "procedure.rewind: unknown key", "rewind_to"),
    ),
    "no level": (
        study("procedure: {name: lottery, levels: 0}\n"),
        ("4:36", "procedure.levels: must be", "from 1 to 100, got 0"),
    ),
    "many levels": (
        study("procedure: {name: lottery, levels: 101}\n"),
        ("4:36", "procedure.levels: must be", "from 1 to 100, got 101"),
    ),
    "half a level": (
        study("procedure: {name: lottery, levels: 2.5}\n"),
        ("4:36", "procedure.levels: must be a whole number", "got 2.5"),
    ),
    "all at once": (
        lottery("rate: 1.0, output_rate: 0"),
        ("4:45", "procedure.rate: must be a number above 0 and below 1", "got 1.0"),
        ("4:63", "procedure.output_rate: must be a number above 0 and below 1", "got 0"),
    ),
    "rate of a layer": (
        lottery('layer_rates: {"0.weight": 1.5}'),
        ("4:65", "procedure.layer_rates.0.weight: must be a number above 0", "got 1.5"),
    ),
    "criterion": (
        lottery("criterion: magnitud"),
        ("4:50", "got magnitud; did you mean magnitude?", "snip, grasp or synflow"),
    ),
    "control": (
        lottery("controls: [shuffled, reinit]"),
        ("4:60", "procedure.controls.1: must be one of", "got reinit"),
    ),
    "control twice": (
        lottery("controls: [signs, signs]"),
        ("4:12", "procedure: controls must differ", "from each other"),
    ),
    "rate of the output globally": (
        lottery("scope: global, output_rate: 0.1"),
        ("4:12", "procedure: output_rate and layer_rates go with", "scope: layerwise"),
    ),
    "rates of layers globally": (
        study(
            'procedure: {name: lottery, levels: 3, layer_rates: {"0.*": 0.1}}\n'
            "sweep: {procedure.scope: [layerwise, global]}\n"
        ),
        ("5:9", "layerwise; globally", "(with procedure.scope = global)"),
    ),
    "movement at the start": (
        lottery("criterion: movement, at: start"),
        ("4:12", "movement compares trained weights", "at: end"),
    ),
    "fine-tuning what was never trained": (
        lottery("criterion: snip, after: fine_tune"),
        ("4:12", "after: fine_tune needs trained weights", "at: end"),
    ),
    "children beyond the last level": (
        lottery("children: 2, children_at: [0, 4]"),
        ("4:12", "children_at: 4 is beyond", "levels: 3"),
    ),
    "levels of no children": (
        lottery("children_at: [0]"),
        ("4:12", "children_at goes with", "children: n"),
    ),
    "rewinding to the end": (
        lottery("rewind_to: 1.0"),
        ("4:50", "procedure.rewind_to: must be shorter than training (3 epochs)", "got 1.0"),
    ),
    "rewinding beyond the end": (
        lottery("rewind_to: {steps: 50}", train="{steps: 50}"),
        ("4:50", "rewind_to: must be shorter than training (50 steps)", "got {steps: 50}"),
    ),
    "one of two rewind points": (
        lottery("", "sweep: {procedure.rewind_to: [0, {epochs: 3}], train.epochs: [3, 4]}\n"),
        ("5:34", "must be shorter than training (3 epochs)", "(with train.epochs = 3)"),
    ),
    "fine-tuning while batches grow": (
        lottery("after: fine_tune", train=GROWS),
        ("4:46", "procedure.after: fine_tune trains on at the last rate", "use rewind or"),
    ),
    "fine-tuning after a plateau": (
        lottery("after: fine_tune", "schedule: {name: plateau}\n"),
        ("4:46", "procedure.after: fine_tune trains on at the last rate", "use rewind or"),
    ),
    "ones for tokens": (
        lottery("criterion: synflow", TOKENS),
        ("4:50", "procedure.criterion: synflow feeds numbers", "characters has tokens"),
    ),
    "early stopping": (
        lottery("", "early_stopping: {name: asha}\n"),
        ("5:17", "early_stopping: does not go with the procedure lottery", "leave it out"),
    ),
    "early stopping of some": (
        study(
            "early_stopping: {name: asha}\n"
            "sweep: {procedure: [{name: train}, {name: lottery, levels: 3}]}\n"
        ),
        ("4:17", "early_stopping: does not go with the procedure lottery", "leave it out"),
    ),
    "a searcher": (
        lottery(
            "",
            "search: {name: optuna, runs: 7}\nsweep: {optimizer.lr: {uniform: [0.1, 1]}}\n",
        ),
        ("5:9", "search: optuna does not go with the procedure", "grid, random or sobol"),
    ),
    "a population": (
        lottery(
            "",
            "search: {name: pbt, population: 4, interval: {epochs: 1}}\n"
            "sweep: {optimizer.lr: {uniform: [0.1, 1]}}\n",
        ),
        ("5:9", "search: pbt does not go with the procedure", "grid, random or sobol"),
    ),
    "only the best are kept": (
        lottery("", "execution: {save: best}\n"),
        ("5:19", "execution.save: best would delete networks", "write all, or leave it out"),
    ),
    "a training of one's own": (
        own("procedure: {name: lottery, levels: 3}\n"),
        ("4:1", "procedure: goes without trainable", "which does the training"),
    ),
    "too many networks": (
        study(
            "procedure: {name: lottery, levels: 100, children: 100}\n"
            "sweep: {optimizer.lr: {linear: [0.1, 1], points: 101}}\n"
        ),
        ("4:36", "procedure: 1,040,401 networks", "at most 1,000,000"),
    ),
    "twice the same": (
        lottery("", "sweep: {procedure.rewind_to: [0, 0.0]}\n"),
        ("5:34", "gives the same runs as 0", "values must be distinct"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])

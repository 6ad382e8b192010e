"""Files that are no YAML, or none that a study can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import SpecError, load_study
from tests.spec.malformed import Case, refused, study

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, key in zip("abcde", "bcdef", strict=True)
)
CASES: dict[str, Case] = {
    # YAML
    "empty": ("", ("1:1", "is empty", "study, optimizer and train")),
    "only a comment": ("# x\n", ("1:1", "is empty", "study, optimizer and train")),
    "a list": ("[1, 2]\n", ("1:1", "got [1, 2]", "must be a mapping")),
    "a scalar": ("word\n", ("1:1", "got word", "must be a mapping")),
    "two colons": ("a: b: c\n", ("1:5", "not valid YAML", "not allowed here")),
    "a tab": ("study: s\n\ttrain: 3\n", ("2:1", "a tab", "indent with spaces")),
    "open bracket": ("study: [1\n", ("2:1", "not valid YAML", "expected ',' or ']'")),
    "open quote": ("study: 'a\n", ("2:1", "not valid YAML", "quoted scalar")),
    "two documents": (study("---\nstudy: t\n"), ("4:1", "second document", "one study a file")),
    "duplicate section": (study("study: t\n"), ("4:1", "study occurs a second time", "once")),
    "duplicate key": (
        "study: s\noptimizer:\n  name: sgd\n  lr: 0.1\n  lr: 0.2\n",
        ("5:3", "lr occurs a second time", "write it once"),
    ),
    "number as key": (study("1: x\n"), ("4:1", "got 1", "keys must be text")),
    "true as key": (study("true: x\n"), ("4:1", "got true", "keys must be text")),
    "list as key": (study("? [a]\n: b\n"), ("4:3", "got a list or", "keys must be text")),
    "python tag": ("study: !!python/name:os.system x\n", ("1:8", "os.system", "plain YAML")),
    "own tag": ("study: !mine x\n", ("1:8", "!mine", "plain YAML")),
    "set tag": (study("data: !!set {a}\n"), ("4:7", "set is not allowed", "plain YAML")),
    "false number tag": ("study: !!int x\n", ("1:8", "got x", "must be a number")),
    "false boolean tag": ("study: !!bool x\n", ("1:8", "bool is not allowed", "plain YAML")),
    "alias in itself": ("a: &a [*a]\n", ("1:4", "an alias", "must not stand inside")),
    "unknown alias": ("a: *b\n", ("1:4", "not valid YAML", "undefined alias")),
    "alias bomb": (BOMB, ("1:35", "aliases unfold", "100,000 values")),
    "merge of a scalar": (study("data: {<<: 3}\n"), ("4:12", "<<", "must name a mapping")),
    "deep": (study(f"data: {'[' * 60}{']' * 60}\n"), ("4:55", "nested", "more than 50 levels")),
    "control character": ("study: 'a\x07'\n", ("1:10", r"'\x07'", "not allowed in YAML")),
    "half a surrogate": ('study: "\\ud800"\n', ("1:8", "surrogate", "no text")),
    "beyond unicode": ('study: "\\U00110000"\n', ("1:11", "not valid YAML", "not in range")),
    "yaml of the future": ("%YAML 9.1\n---\na: b\n", ("1:1", "not valid YAML", "1.*")),
    # numbers
    "nan": (
        study(optimizer="{name: sgd, lr: .nan}"),
        ("2:28", "got .nan", "must be a finite number"),
    ),
    "infinity": (
        study(optimizer="{name: sgd, lr: .inf}"),
        ("2:28", "got .inf", "must be a finite number"),
    ),
    "overflow": (
        study(optimizer="{name: sgd, lr: 1e999}"),
        ("2:28", "got 1e999", "must be a finite number"),
    ),
    "huge integer": (study("seeds: 9223372036854775808\n"), ("4:8", "got 9223372", "2^63")),
    "endless integer": (study(f"seeds: {'9' * 5000}\n"), ("4:8", "got 9999", "must be a number")),
    "octal": (study(train="{epochs: 010}"), ("3:17", "got '010'", "number above 0")),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "none.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'none.yaml'}: cannot be read (No such file")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: cannot be read (Is a directory)")


@pytest.mark.parametrize(
    ("data", "place", "wrong"),
    [
        (b"study: s\ndata: \xff\n", "2:7", "is not UTF-8"),
        ("study: s\n".encode("utf-16"), "1:1", "is not UTF-8"),
        (b"study: s\nx: '\x00'\n", "2:5", "the character"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, place: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load_study(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:{place}: {wrong}")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"# x\n" * 2_500_001)
    with pytest.raises(SpecError, match="larger than 10 MB"):
        load_study(path)


def test_too_many_values(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(study(f"x: [{'1,' * 100_001}]\n"))
    with pytest.raises(SpecError, match=r"s\.yaml:4:4: more than 100,000 values"):
        load_study(path)

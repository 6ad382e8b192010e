"""Whatever stands in a study, ``load_study`` either returns or raises ``SpecError``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.spec import SpecError, load_study, template

DEMO = (Path(__file__).parents[2] / "sweeps" / "lr_schedules.yaml").read_text(encoding="utf-8")
SEARCHED = """study: s
data: {name: digits}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 30, batch_size: 64}
seeds: 2
sweep:
  optimizer.lr: {log_uniform: [0.001, 1.0]}
  optimizer.momentum: {uniform: [0.5, 0.9], step: 0.1, when: {schedule.name: [cosine, rex]}}
  optimizer.weight_decay: {tied: "0.01 * lr if batch_size > 32 else max(0.1, 2 ** -3)"}
  train.batch_size: {integer: [16, 64], step: 16}
  train.epochs: {log_integer: [20, 50]}
  schedule: {choice: [{name: constant}, {name: cosine, warmup: 0.1}, {name: rex}]}
  schedule.warmup: {values: [0.1, 0.2], when: {schedule.name: cosine}}
search:
  name: random
  runs: 9
  seed: 1
  first: [{lr: 0.1, schedule: {name: rex}}, {train.batch_size: 32}]
  constraints: ["lr * batch_size < 50", "not (momentum >= 0.9 and lr > 0.5)"]
objective: [{metric: valid/loss}, {metric: valid/accuracy, mode: max}]
"""
ADAPTIVE = """study: s
trainable: a:b
config: {x: 3, deep: {y: 2}}
sweep:
  config.lr: {uniform: [0, 1]}
  config.deep.z: {tied: "lr * x / deep.y"}
  config.kind: [a, b]
  config.extra: {integer: [1, 5], when: {kind: b}}
search:
  name: optuna
  runs: 40
  sampler: tpe
  options: {n_startup_trials: 5}
  constraints: ["kind == 'a' or extra > 1"]
objective: {metric: loss}
"""
SOURCES = (DEMO, template(), SEARCHED, ADAPTIVE)
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", ": ", ",", "- ", "\n", "\n  ", "\t", "#", "&a ", "*a", "!!int "),
        *(
            "'",
            '"',
            "|",
            ">",
            "? ",
            "<<: ",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "\\",
            "\x00",
            "\ud800",
        ),
        *("null", "true", "no", "1", "0", "-1", "1e999", ".nan", "9" * 30, "0.5", "name", "warmup"),
        *(
            "{steps: 3}",
            "{epochs: 1}",
            "[]",
            "{}",
            "{log: [1, 2], points: 3}",
            "a.b:c",
            "optimizer",
        ),
        *(
            "Steps",
            "Epochs",
            "constrained-float",
            "args",
            "values: ",
            "sweep:",
            "seeds: ",
            "é",
            "𝄞",
        ),
        *("{uniform: [0, 1]}", "{integer: [1, 3]}", "{choice: [1]}", "when: {", "tied: ", "step: "),
        *("{tied: lr}", "{tied: '1/0'}", "{name: sobol, runs: 5}", "{name: a:b, runs: 1}", "grid"),
        *("first: ", "constraints: ", "lr < ", " ** ", "(", ")", "lambda: ", "search:", "runs: "),
        *("[{metric: valid/loss}]", "-1e308", "1e308", "5e-324", "momentum", "optuna", "not "),
    ]
)
WORDS = st.one_of(PIECES, st.text(max_size=6))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A study with a few cuts, insertions and copies."""
    text = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(WORDS) + text[end:]
    return text


@st.composite
def revalued(draw: st.DrawFn) -> str:
    """A study in which one value is another: YAML that stays well-formed more often."""
    lines = draw(st.sampled_from(SOURCES)).splitlines()
    with_values = [i for i, line in enumerate(lines) if ":" in line.split("#")[0]]
    number = draw(st.sampled_from(with_values))
    key = lines[number].split(":")[0]
    lines[number] = f"{key}: {draw(WORDS)}"
    return "\n".join(lines) + "\n"


def refusal(path: Path, overrides: list[str]) -> SpecError | None:
    try:
        load_study(path, overrides)
    except SpecError as error:
        return error
    return None


def check(data: bytes, overrides: list[str], path: Path) -> None:
    path.write_bytes(data)
    error = refusal(path, overrides)
    if error is None:
        return
    lines = str(error).splitlines()
    assert len(lines) == len(error.problems) > 0
    assert all(line.startswith((str(path), "--set ")) for line in lines)
    str(error).encode()


QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(text=st.one_of(mutated(), revalued()))
def test_mutated_studies(text: str, tmp_path: Path) -> None:
    check(text.encode("utf-8", "surrogatepass"), [], tmp_path / "s.yaml")


@QUICK
@given(
    path=st.lists(
        st.sampled_from(
            [
                "optimizer",
                "lr",
                "schedule",
                "warmup",
                "steps",
                "sweep",
                "search",
                "runs",
                "first",
                "x",
                "",
            ]
        ),
        max_size=4,
    ),
    value=WORDS,
    study=st.sampled_from(SOURCES),
)
def test_any_override(path: list[str], value: str, study: str, tmp_path: Path) -> None:
    check(study.encode(), [f"{'.'.join(path)}={value}"], tmp_path / "s.yaml")


LEAVES = st.one_of(
    st.sampled_from(
        ["lr", "momentum", "batch_size", "schedule.name", "train.ema", "nothing", "x.y"]
    ),
    st.sampled_from(
        ["0", "1", "2.5", "1e308", "5e-324", "'a'", "True", "(1, 2)", "9" * 40, "f(1)"]
    ),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "*", "/", "//", "%", "**", "<", "==", "in", "and"])
        ).flatmap(lambda left: inner.map(lambda right: f"({left[0]} {left[1]} {right})")),
        st.tuples(st.sampled_from(["-", "not ", "log", "exp", "round", "max"]), inner).map(
            lambda pair: f"{pair[0]}({pair[1]})"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ),
    max_leaves=8,
)


@QUICK
@given(
    text=st.one_of(EXPRESSIONS, st.text(max_size=20)),
    path=st.sampled_from(["sweep.optimizer.lr", "sweep.optimizer.weight_decay", "search"]),
)
def test_any_expression(text: str, path: str, tmp_path: Path) -> None:
    quoted = json.dumps(text)
    value = f"{{tied: {quoted}}}"
    if path == "search":
        value = f"{{name: random, runs: 3, constraints: [{quoted}]}}"
    check(SEARCHED.encode(), [f"{path}={value}"], tmp_path / "s.yaml")


NUMBERS = st.one_of(st.integers(-3, 70), st.floats(allow_nan=False, allow_infinity=False))


@QUICK
@given(
    kind=st.sampled_from(["uniform", "log_uniform", "integer", "log_integer", "log", "linear"]),
    ends=st.lists(NUMBERS, min_size=2, max_size=2),
    more=st.sampled_from(["", ", step: 0.1", ", step: 3", ", points: 5", ", when: {name: rex}"]),
    name=st.sampled_from(["grid", "random, runs: 7", "sobol, runs: 7", "optuna, runs: 7"]),
    path=st.sampled_from(["optimizer.lr", "train.batch_size", "train.epochs", "schedule"]),
)
def test_any_range(
    kind: str, ends: list[float], more: str, name: str, path: str, tmp_path: Path
) -> None:
    axis = f"sweep.{path}={{{kind}: {ends}{more}}}"
    check(SEARCHED.encode(), [axis, f"search={{name: {name}}}"], tmp_path / "s.yaml")


@QUICK
@given(data=st.binary(max_size=40))
def test_bytes(data: bytes, tmp_path: Path) -> None:
    check(data, [], tmp_path / "s.yaml")


def test_the_check_sees_an_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.spec.load.parse_seeds", lambda node: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        check(DEMO.encode(), [], tmp_path / "s.yaml")


@pytest.mark.parametrize("study", [SEARCHED, ADAPTIVE])
def test_the_studies_that_are_changed_are_right(study: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(study)
    assert refusal(tmp_path / "s.yaml", []) is None

"""Whatever stands in a study, ``load_study`` either returns or raises ``SpecError``."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.spec import SpecError, load_study, template

DEMO = (Path(__file__).parents[2] / "sweeps" / "lr_schedules.yaml").read_text(encoding="utf-8")
SOURCES = (DEMO, template())
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
        st.sampled_from(["optimizer", "lr", "schedule", "warmup", "steps", "sweep", "x", ""]),
        max_size=4,
    ),
    value=WORDS,
)
def test_any_override(path: list[str], value: str, tmp_path: Path) -> None:
    check(DEMO.encode(), [f"{'.'.join(path)}={value}"], tmp_path / "s.yaml")


@QUICK
@given(data=st.binary(max_size=40))
def test_bytes(data: bytes, tmp_path: Path) -> None:
    check(data, [], tmp_path / "s.yaml")


def test_the_check_sees_an_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.spec.load.parse_seeds", lambda node: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        check(DEMO.encode(), [], tmp_path / "s.yaml")

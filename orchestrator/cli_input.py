"""What the commands share: arguments, and wrong input as lines on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from orchestrator.spec import Study

WRONG_INPUT = 2
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="the study, a YAML file")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="a study's results, e.g. results/lr-schedules")
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="where results go")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="overrides the study; may be repeated"),
]


@contextmanager
def wrong_input() -> Iterator[None]:
    """Turns what the user can mend into lines on stderr and exit code 2."""
    try:
        yield
    except Exception as error:
        message = _in_words(error)
        if message is None:
            raise
        fail(message)


def _in_words(error: Exception) -> str | None:
    """None where it is not the user's to mend. What the errors are is imported only now."""
    import sqlite3

    from orchestrator.spec import SpecError
    from orchestrator.store.repair import StoreError

    if isinstance(error, SpecError | StoreError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'input'}: {error.strerror or error}"
    if isinstance(error, sqlite3.DatabaseError):
        return f"the store is damaged ({error}); `regatta run` repairs it"
    return None


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)  # noqa: T201 - this is the command line
    raise typer.Exit(WRONG_INPUT)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is the command line


def load(spec: Path, overrides: list[str] | None) -> Study:
    from orchestrator.spec import load_study

    return load_study(spec, overrides or [])

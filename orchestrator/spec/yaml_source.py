"""YAML text → tree of nodes. Stricter than YAML 1.1 wherever that surprises.

``1e-3`` is a number; ``yes``, ``no``, ``on``, ``off`` and dates are text; ``010`` is text, not
octal; a key that occurs twice is an error, and so are tags, keys that are not text, numbers
that are not finite, and documents that unfold to very many values.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from orchestrator.spec.errors import Place, Problem, SpecError
from orchestrator.spec.tree import Node
from orchestrator.spec.yaml_loader import Loader, RefusedYamlError
from orchestrator.spec.yaml_nodes import Converter, place_at

MAX_BYTES = 10_000_000


def read_file(path: Path | str) -> tuple[str, Node]:
    """The text of a file and its tree.

    Raises:
        SpecError: there is no such file, or it is no UTF-8, or no YAML that Regatta reads.
    """
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot be read ({reason}); it must be a YAML file"
        raise SpecError([Problem(Place(source), "", message)]) from None
    if len(data) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1_000_000} MB; a study is a few kilobytes"
        raise SpecError([Problem(Place(source), "", message)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = "is not UTF-8 text; save the file as UTF-8"
        raise SpecError([Problem(Place(source, line, column), "", message)]) from None
    return text, read(text, Place(source, 1, 1))


def read(text: str, origin: Place) -> Node:
    """The tree of a YAML text that stands at ``origin``.

    Raises:
        SpecError: with one problem, the first in the text.
    """
    loader: Loader | None = None
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise RefusedYamlError("is empty; write at least study, optimizer and train", None)
        return Converter(origin).node(root, ())
    except RefusedYamlError as fault:
        message, mark = fault.args
    except yaml.reader.ReaderError as error:
        character = chr(error.character) if isinstance(error.character, int) else error.character
        message = f"the character {character!a} is not allowed in YAML"
        mark = yaml.Mark("", 0, *_line_and_column(text, error.position), None, 0)
    except yaml.MarkedYAMLError as error:
        message, mark = _in_plain_words(error), error.problem_mark or error.context_mark
    except ValueError as error:  # PyYAML lets some through, as for the escape "\U00110000"
        message = f"not valid YAML: {error}"
        mark = loader.get_mark() if loader else None
    raise SpecError([Problem(place_at(origin, mark), origin.names, message)])


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    """From 0."""
    return text.count("\n", 0, position), position - text.rfind("\n", 0, position) - 1


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "unreadable"
    if "\\t" in problem:
        return "not valid YAML: a tab; indent with spaces"
    if "another document" in problem:
        return "a second document starts here; write one study a file"
    context = f"{error.context}, " if error.context else ""
    return f"not valid YAML: {context}{problem}"

"""``module:callable`` in a study: a user's own model or data."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


class UserCodeError(Exception):
    """A user's function is missing or did not do what it should; one line says which."""


def resolve(name: str) -> Callable[..., Any]:
    """The callable that ``module:callable`` names.

    Raises:
        UserCodeError: the module raises when it is imported or has no such callable.
    """
    module_name, _, attribute = name.partition(":")
    try:
        function: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError) as error:
        raise UserCodeError(f"{name}: {' '.join(str(error).split())}") from error
    except Exception as error:  # importing runs the user's module, which may raise anything
        raise UserCodeError(f"{name}: {in_a_line(error)}") from error
    if not callable(function):
        raise UserCodeError(f"{name} is not callable")
    return function  # type: ignore[no-any-return]


def call_user_code(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Calls it; what it raises arrives as one line that names it.

    Raises:
        UserCodeError: with the user's exception as its cause.
    """
    try:
        return function(**arguments)
    except Exception as error:
        raise UserCodeError(f"{name}: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """The exception's type and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

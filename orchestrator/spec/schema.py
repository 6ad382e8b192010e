"""The study file as JSON Schema, for editors: made from the same types that validate it."""

from __future__ import annotations

from typing import Any

import pydantic
import pydantic.json_schema

from orchestrator.spec.axes import GRIDS, LISTS, MAX_RUNS, RANGES
from orchestrator.spec.expressions import MAX_LENGTH
from orchestrator.spec.load import STUDY_NAME
from orchestrator.spec.searches import RAY_SEARCHERS
from orchestrator.spec.sections import CLASSES, FIXED, OWN, SWEPT, TABLES, USER, USER_NAME
from trainables.configs import to_plain
from trainables.configs.function_run import OWN_KEYS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BESIDE = (*FIXED, "early_stopping")
"""The sections that studies of both kinds have."""
VARIABLE = r"^let\.[A-Za-z_][A-Za-z0-9_]*$"
_REQUIRED_UNLESS_SWEPT = ("optimizer", "train")


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a study.

    More lenient than ``load_study``: an axis may supply what a section leaves out, and what
    depends on several values together is not expressed. Stricter in one thing: a section's
    ``name`` is written in the section, even where an axis ``<section>.name`` sets it.
    """
    sections, own_sections, definitions = _sections()
    names = (*SWEPT, "config", *_BESIDE)
    search = sections.pop("search")
    return {
        "$schema": DIALECT,
        "title": "Regatta study",
        "type": "object",
        "additionalProperties": False,
        "required": ["study"],
        "if": {"required": ["trainable"]},
        "then": _own_training(own_sections),
        "else": _trained(sections),
        "properties": {
            "study": {
                "description": "The study's name; its results stand in a folder of that name.",
                "type": "string",
                "pattern": f"^{STUDY_NAME}$",
            },
            "trainable": {
                "description": "Your own training instead of Regatta's: module:callable, a Ray"
                " Tune function or a tune.Trainable class beside the study.",
                "type": "string",
                "pattern": f"^{USER_NAME}$",
            },
            **dict.fromkeys(names, True),
            "seeds": _seeds(),
            "sweep": True,
            "search": search,
        },
        "$defs": definitions,
    }


def _trained(sections: dict[str, Any]) -> dict[str, Any]:
    """What holds where Regatta trains."""
    return {
        "allOf": [
            {"anyOf": [{"required": [name]}, {"required": ["sweep"]}]}
            for name in _REQUIRED_UNLESS_SWEPT
        ],
        "properties": {**sections, "config": False, "sweep": _sweep()},
    }


def _own_training(sections: dict[str, Any]) -> dict[str, Any]:
    """What holds with a ``trainable``."""
    reserved = dict.fromkeys(OWN_KEYS, False)
    config = {
        "description": "What the function gets, with the seed added.",
        "type": "object",
        "properties": reserved,
    }
    key = rf"(?!(?:{'|'.join(OWN_KEYS)})(?:\.|$))[^.]+"
    sweep = {
        "description": "Axes by dotted path; every combination of their values is run.",
        "type": "object",
        "patternProperties": {rf"^config\.{key}(\.[^.]+)*$": _axis({}), VARIABLE: _axis({})},
        "additionalProperties": False,
    }
    return {
        "required": ["objective"],
        "properties": {
            **dict.fromkeys(SWEPT, False),
            **{name: sections[name] for name in _BESIDE},
            "config": config,
            "sweep": sweep,
        },
    }


def _sections() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Each section's schema, as it is with a ``trainable``, and what both refer to."""
    classes = {("section", name): cls for name, cls in CLASSES.items()}
    classes |= {("own", name): cls for name, cls in OWN.items()}
    for section, table in TABLES.items():
        classes |= {(section, name): cls for name, cls in table.items()}
    classes |= {(section, "module:callable"): cls for section, cls in USER.items()}
    references, rest = pydantic.TypeAdapter.json_schemas(
        [((*key,), "validation", pydantic.TypeAdapter(cls)) for key, cls in classes.items()],
        schema_generator=_Generator,
    )
    definitions: dict[str, Any] = rest["$defs"]
    for section, name in classes:
        definition = definitions[references[(section, name), "validation"]["$ref"].split("/")[-1]]
        needed = definition.pop("required", None)  # an axis may supply it
        if section == "own" and needed:
            definition["required"] = [key for key in needed if key != "mode"]
        if section in TABLES:
            definition["required"] = ["name"]
        if section == "search":
            definition["required"] = ["name", *(k for k in needed if k != "name")] if needed else []
        if name == "module:callable":
            _named(definition, RAY_SEARCHERS if section == "search" else ())
    schemas = {name: references[("section", name), "validation"] for name in CLASSES}
    for section in TABLES:
        members = [references[key, "validation"] for key in classes if key[0] == section]
        schemas[section] = {"oneOf": [m for i, m in enumerate(members) if m not in members[:i]]}
    rule = schemas["early_stopping"]
    rules = {"type": "array", "items": rule, "minItems": 1}
    schemas["early_stopping"] = {"oneOf": [*rule["oneOf"], rules]}
    own = {name: references[("own", name), "validation"] for name in OWN}
    for made in (schemas, own):
        several = {"type": "array", "items": made["objective"], "minItems": 1}
        made["objective"] = {"anyOf": [made["objective"], several]}
    chosen = {name: schemas[name] for name in (*SWEPT, *_BESIDE, "search")}
    return chosen, schemas | own, definitions


def _named(definition: dict[str, Any], also: tuple[str, ...]) -> None:
    """What a user's code may be called, and what else has the same form."""
    pattern = "|".join([USER_NAME, *also])
    definition["properties"]["name"]["pattern"] = f"^({pattern})$"


class _Generator(pydantic.json_schema.GenerateJsonSchema):
    """Pydantic's, except that defaults are written by our own ``to_plain``."""

    def encode_default(self, dft: Any) -> Any:
        return to_plain(dft)


def _seeds() -> dict[str, Any]:
    seed = {"type": "integer", "minimum": 0}
    return {
        "description": "How many seeds (0 … n − 1), or which.",
        "oneOf": [
            {"type": "integer", "minimum": 1, "maximum": MAX_RUNS},
            {"type": "array", "items": seed, "minItems": 1, "uniqueItems": True},
        ],
        "default": 1,
    }


def _sweep() -> dict[str, Any]:
    whole = {name: _axis({"$ref": f"#/else/properties/{name}"}) for name in SWEPT}
    return {
        "description": "Axes by dotted path; every combination of their values is run.",
        "type": "object",
        "properties": whole,
        "patternProperties": {
            rf"^({'|'.join(SWEPT)})(\.[^.]+)+$": _axis({}),
            VARIABLE: _axis({}),
        },
        "additionalProperties": False,
    }


def _axis(item: dict[str, Any]) -> dict[str, Any]:
    values = {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}
    tied = {"type": "string", "maxLength": MAX_LENGTH}
    return {
        "oneOf": [
            values,
            *(_mapping({name: values}) for name in LISTS),
            *(_grid(scale) for scale in GRIDS),
            *(_range(kind) for kind in RANGES),
            _mapping({"tied": tied}, {"values": {"type": "object", "minProperties": 1}}),
        ]
    }


def _grid(scale: str) -> dict[str, Any]:
    points = {"type": "integer", "minimum": 1, "maximum": MAX_RUNS}
    return _mapping({scale: _ends(scale), "points": points})


def _range(kind: str) -> dict[str, Any]:
    step = {"type": "integer" if kind.endswith("integer") else "number", "exclusiveMinimum": 0}
    return _mapping({kind: _ends(kind)}, {"step": step})


def _ends(scale: str) -> dict[str, Any]:
    end: dict[str, Any] = {"type": "integer" if scale.endswith("integer") else "number"}
    if scale.startswith("log"):
        end["exclusiveMinimum"] = 0
    return {"type": "array", "items": end, "minItems": 2, "maxItems": 2}


def _mapping(properties: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """An axis with these keys; ``more``, and the condition, may be left out."""
    scalar = {"type": ["string", "number", "boolean", "null"]}
    several = {"type": "array", "items": scalar, "minItems": 1}
    when = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [scalar, several]},
    }
    return {
        "type": "object",
        "properties": {**properties, **(more or {}), "when": when},
        "required": [*properties],
        "additionalProperties": False,
    }

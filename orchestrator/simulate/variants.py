"""The searches and rules that are compared: the study's own, or by name as a study writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.spec import load_study
from orchestrator.spec.errors import SpecError
from orchestrator.spec.searches import Random, Sobol
from orchestrator.spec.stopping_rules import StoppingRule
from orchestrator.spec.study import Study


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedRules:
    name: str
    rules: tuple[StoppingRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedSearch:
    name: str
    study: Study
    """The study with this search."""


def named_rules(study: Study, texts: Sequence[str]) -> list[NamedRules]:
    """The rules of ``texts``, or the study's own.

    Args:
        texts: ``none``, a name, or what a study writes: ``{name: asha, reduction: 4}``. A name
            alone is the study's own rule of this name where it has one.

    Raises:
        SpecError: a text is no rule.
    """
    if not texts:
        return [NamedRules(name=_rule_names(study), rules=study.early_stopping)]
    return [_named_rule(study, text) for text in dict.fromkeys(texts)]


def _named_rule(study: Study, text: str) -> NamedRules:
    if text == "none":
        return NamedRules(name="none", rules=())
    own = tuple(rule for rule in study.early_stopping if rule.name == text)
    if own:
        return NamedRules(name=text, rules=own)
    found = _overridden(study, "early_stopping", text, _as_mapping(text), "--rule").early_stopping
    return NamedRules(name=text, rules=found)


def _rule_names(study: Study) -> str:
    return "+".join(rule.name for rule in study.early_stopping) or "none"


def named_searches(study: Study, texts: Sequence[str]) -> list[NamedSearch]:
    """The study with each search of ``texts``, or with its own.

    Args:
        texts: a name, or what a study writes: ``{name: random, runs: 100}``. A name alone has as
            many runs as the study's own search.

    Raises:
        SpecError: a text is no search, or does not go with the study.
    """
    if not texts:
        return [NamedSearch(name=study.search.name, study=study)]
    return [_named_search(study, text) for text in dict.fromkeys(texts)]


def _named_search(study: Study, text: str) -> NamedSearch:
    if text == study.search.name:
        return NamedSearch(name=text, study=study)
    runs = "" if text == "grid" else f", runs: {study.size}"
    value = text if text.lstrip().startswith("{") else f"{{name: {text!r}{runs}}}"
    return NamedSearch(name=text, study=_overridden(study, "search", text, value, "--search"))


def _as_mapping(text: str) -> str:
    return text if text.lstrip().startswith(("{", "[")) else f"{{name: {text!r}}}"


def _overridden(study: Study, section: str, text: str, value: str, option: str) -> Study:
    """The study with a section in place of its own; errors name the option."""
    try:
        return load_study(study.path, [*study.overrides, f"{section}={value}"])
    except SpecError as error:
        problems = [
            dataclasses.replace(
                problem,
                place=dataclasses.replace(
                    problem.place, source=f"{option} {text}", line=None, column=None
                ),
            )
            if problem.path.split(".")[0] == section
            else problem
            for problem in error.problems
        ]
        raise SpecError(problems) from None


def seeded(search: NamedSearch, repeat: int) -> Study:
    """The study of a repeat: designs that are drawn are drawn anew."""
    study = search.study
    if repeat == 0 or not isinstance(study.search, Random | Sobol):
        return study
    return load_study(study.path, [*study.overrides, f"search.seed={study.search.seed + repeat}"])

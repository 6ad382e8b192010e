"""What varies in a study, and readable labels made of just that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.report.text import distinct_numbers
from orchestrator.report.value_texts import UNITS, is_number, value_texts, written_fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Something that varies from configuration to configuration."""

    path: str
    """Dotted path in the configuration."""
    name: str
    """Short name: the end of the path, as long as it must be to be unique."""
    numeric: bool
    texts: dict[Any, str]
    """Value → label. Numbers ascending, others in the order of the study."""
    gaps: bool = False
    """A numeric axis that is not there in every configuration (NaN): it depends on another."""

    @property
    def column(self) -> str:
        """The column of the runs that holds the value: a number, or the label itself."""
        return f"axis/{self.path}"

    @property
    def log(self) -> bool:
        """Whether a logarithmic axis suits: positive numbers over more than one decade."""
        values = list(self.texts)
        return self.numeric and min(values) > 0 and max(values) > 10 * min(values)


def find_axes(
    configs: pd.DataFrame, declared: Mapping[str, Any], conditional: Collection[str] = ()
) -> tuple[list[Axis], pd.DataFrame]:
    """The axes along which the configurations vary, and their values in every run.

    Args:
        configs: one row a run, one column a dotted path, without the seed.
        declared: the study's axes, path → values as written; they come first. What varies
            beyond them (or where none are known) is found in the columns.
        conditional: those that are there in some configurations only.

    Returns:
        The axes, and one column an axis, named ``axis.column``, in the order of ``configs``.
    """
    varying = [str(c) for c in configs if configs[c].nunique(dropna=False) > 1]
    paths = _paths(_by_themselves(configs, varying, declared), [str(path) for path in declared])
    values = {
        path: _values(configs, path, paths, declared.get(path), gaps=path in conditional)
        for path in paths
    }
    names = _short_names(paths)
    axes = []
    for path, column in values.items():
        numeric = pd.api.types.is_numeric_dtype(column)
        found = column.drop_duplicates().dropna().tolist()
        texts = distinct_numbers(found) if numeric else {text: text for text in found}
        gaps = bool(numeric and column.isna().any())
        axes.append(Axis(path=path, name=names[path], numeric=numeric, texts=texts, gaps=gaps))
    columns = {axis.column: values[axis.path] for axis in axes}
    return axes, pd.DataFrame(columns, index=configs.index)


def long_name(axis: Axis) -> str:
    """The axis in words, for titles of figures."""
    return "peak learning rate" if axis.path == "optimizer.lr" else axis.name


def in_words(text: str, group: Axis | None) -> str:
    """A value of an axis in words: ``cosine``, ``momentum 0.9``."""
    return f"{group.name} {text}" if group and not text[:1].isalpha() else text


def configuration_labels(axes: Sequence[Axis], values: pd.DataFrame) -> pd.Series:
    """One label a run, of its axes alone: ``cosine (warmup 0.05), lr 0.0654``."""
    if not axes:
        return pd.Series("the configuration", index=values.index, dtype=object)
    ordered = sorted(axes, key=lambda axis: axis.numeric)
    parts = [
        values[axis.column]
        .map({value: f", {_part(axis, text)}" for value, text in axis.texts.items()})
        .fillna("")
        for axis in ordered
    ]
    label = parts[0]
    for part in parts[1:]:
        label = label + part
    return label.str.removeprefix(", ")


def _by_themselves(
    configs: pd.DataFrame, varying: Sequence[str], declared: Mapping[str, Any]
) -> list[str]:
    """The columns without those that follow from a name beside them, as ``optimizer.beta1`` does
    from an axis ``optimizer.name``: which fields there are, and their defaults."""
    kept = []
    for column in varying:
        name = f"{column.rpartition('.')[0]}.name"
        if name in declared and column not in declared and name in configs:
            by_name = configs.groupby(name, dropna=False)[column]
            if by_name.nunique(dropna=False).max() == 1:
                continue
        kept.append(column)
    return kept


def _part(axis: Axis, text: str) -> str:
    # Texts such as "cosine" speak for themselves; "64" and "True" need their name.
    bare = not axis.numeric and text[:1].isalpha() and text not in ("True", "False", "none")
    return text if bare else f"{axis.name} {text}"


def _paths(varying: Sequence[str], declared: Sequence[str]) -> list[str]:
    """Declared paths that vary, then the rest; ``x.name`` that varies makes ``x`` an axis.

    So does a duration: ``x.y.steps`` makes ``x.y`` one.
    """
    covered = {path: [c for c in varying if _within(c, path)] for path in declared}
    paths = [path for path in declared if covered[path]]
    for column in varying:
        if column.split(".")[-1] in UNITS and column.count(".") > 1:
            column = column.rpartition(".")[0]
        parent = column.rpartition(".")[0]
        while parent and f"{parent}.name" not in varying:
            parent = parent.rpartition(".")[0]
        if not any(_within(column, path) for path in paths):
            paths.append(parent or column)
    return paths


def _within(column: str, path: str) -> bool:
    return column == path or column.startswith(f"{path}.")


def _values(
    configs: pd.DataFrame, path: str, paths: Sequence[str], written: Any, *, gaps: bool
) -> pd.Series:
    """The axis in every run: numbers as they are, all else as text.

    Args:
        gaps: where there is no number, the axis is not there.
    """
    inner = [other for other in paths if other != path and _within(other, path)]
    fields = {
        c[len(path) + 1 :]: configs[c]
        for c in map(str, configs)
        if _within(c, path) and not any(_within(c, other) for other in inner)
    }
    if list(fields) == [""]:
        column = fields[""]
        known = column.dropna() if gaps else column
        if len(known) and known.notna().all() and all(map(is_number, known.tolist())):
            return column.astype(float)
    fields = {key or "name": column for key, column in fields.items()}
    rows = pd.DataFrame(fields).astype(object)
    rows = rows.where(rows.notna(), None)
    keys = [tuple(row) for row in rows.itertuples(index=False, name=None)]
    texts = value_texts(list(rows.columns), list(dict.fromkeys(keys)), written_fields(written))
    return pd.Series([texts[key] for key in keys], index=configs.index, dtype=object)


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Path → its last components, as few as make it unique among the paths."""
    names = {}
    for path in paths:
        parts = path.split(".")
        for take in range(1, len(parts) + 1):
            name = ".".join(parts[-take:])
            if sum(other == name or other.endswith(f".{name}") for other in paths) == 1:
                break
        names[path] = name.replace("_", " ")
    for path in paths:
        # "name" says nothing: which optimizer it is, is the optimizer.
        parent = path.rpartition(".")[0].rpartition(".")[2].replace("_", " ")
        if names[path] == "name" and parent not in names.values():
            names[path] = parent
    return names

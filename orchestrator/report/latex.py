"""A table of the report for LaTeX (packages ``booktabs`` and ``inputenc``, as every paper has)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.report.sections.model import Table

ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "△": r"$\triangle$",
    "▽": r"$\nabla$",
    "†": r"\dag{}",
    "–": "--",
    "…": r"\ldots{}",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "λ": r"$\lambda$",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
    "→": r"$\rightarrow$",
}
"""What LaTeX would take for an order, or has no letter for; all else stays as it is."""
_SPECIAL = re.compile("|".join(re.escape(character) for character in ESCAPES))
_INVISIBLE = re.compile(r"\s+|[\x00-\x1f\x7f]")


def escape(text: str) -> str:
    """The text as LaTeX prints it, in one line."""
    one_line = _INVISIBLE.sub(" ", text)
    return _SPECIAL.sub(lambda found: ESCAPES[found[0]], one_line)


def latex_table(table: Table, *, caption: str, label: str) -> str:
    """A floating table with the caption above it, to be read in with ``\\input``."""
    rows = [_row(row) for row in table.rows]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(caption)}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{{table.align}}}",
        r"    \toprule",
        f"    {_row(table.head)}",
        r"    \midrule",
        *(f"    {row}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    # A bracket after \\ would be read as its argument: a cell in braces is not.
    texts = [escape(cell) for cell in cells]
    if texts and texts[0].startswith(("[", "*")):
        texts[0] = f"{{{texts[0]}}}"
    return " & ".join(texts) + r" \\"

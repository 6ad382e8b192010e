"""Reasons of runs that were lost, told once each."""

from __future__ import annotations

import pandas as pd
import pytest

from orchestrator.report.sections.failures import _reason, _table


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["batch loss 4e+09"], "batch loss 4e+09"),
        (
            ["batch loss 4e+09", "batch loss 1.5e+06", "batch loss 7e7"],
            "batch loss 1.5e+06 to 4e+09",
        ),
        (["loss 3 above 1e6", "loss 2 above 1e6"], "loss 2 to 3 above 1e6"),
        (["loss 3 at step 7", "loss 2 at step 5"], "loss … at step …"),
        (["loss above 1e6", "loss above 1e6"], "loss above 1e6"),
        (["", ""], ""),
    ],
)
def test_reasons_that_differ_in_a_number(reasons: list[str], told: str) -> None:
    assert _reason(pd.Series(reasons)) == told


def test_a_row_a_reason() -> None:
    """Diverged runs are one row; stopped ones at several rungs are not."""
    lost = pd.DataFrame(
        {
            "status": ["diverged", "diverged", "diverged", "stopped", "stopped"],
            "reason": ["batch loss 2e6", "batch loss 3e6", "loss nan", "asha at 2", "asha at 4"],
            "configuration": list("abcde"),
        }
    )
    assert [row[:3] for row in _table(lost).rows] == [
        ["diverged", "batch loss 2e6 to 3e6", "2"],
        ["diverged", "loss nan", "1"],
        ["stopped", "asha at 2", "1"],
        ["stopped", "asha at 4", "1"],
    ]

"""Store → statistics → figures → one HTML file that needs no network.

The page is imported when it is first used: what reads statistics alone does not wait for figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.report.page import write_report as write_report


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module 'orchestrator.report' has no attribute {name!r}")
    from orchestrator.report.page import write_report

    return write_report

"""From one YAML study to a report: specs, plans, Ray, the store, reports.

``from orchestrator import load_study, run_study`` in a notebook; the names are imported when
they are first used, so that ``import orchestrator`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "load_study": "orchestrator.spec",
    "SpecError": "orchestrator.spec",
    "LaunchError": "orchestrator.launch",
    "plan_study": "orchestrator.api",
    "run_study": "orchestrator.api",
    "simulate_study": "orchestrator.api",
    "SimulateError": "orchestrator.simulate",
    "advise": "orchestrator.report.large_batch.advice",
    "export_figures": "orchestrator.exports",
    "export_latex": "orchestrator.exports",
    "export_results": "orchestrator.exports",
    "compare_studies": "orchestrator.api",
    "CompareError": "orchestrator.report.compare",
    "replay_study": "orchestrator.api",
    "sync_study": "orchestrator.api",
    "write_report": "orchestrator.report",
    "Store": "orchestrator.store",
    "StoreError": "orchestrator.store",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)

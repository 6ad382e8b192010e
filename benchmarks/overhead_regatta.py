"""Regatta's side of the overhead benchmark: runs the study, and says what it took."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from orchestrator import run_study
from orchestrator.store import Store
from orchestrator.store.schema import FILE


def main(spec: Path) -> None:
    result = run_study(spec, spec.parent / "results", report=False)
    with Store.open(result.finish.folder) as store:
        outcomes, slots = store.outcomes(), store.meta()["slots"]
    if any(outcome.status == "failed" for outcome in outcomes):
        raise RuntimeError("runs failed")
    said = {
        "training": sum(outcome.wall_seconds for outcome in outcomes),
        "processes": slots,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "results_mb": (result.finish.folder / FILE).stat().st_size / 1e6,
    }
    (spec.parent / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

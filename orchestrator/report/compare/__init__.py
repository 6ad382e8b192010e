"""Several studies in one report: ``regatta compare``."""

from orchestrator.report.compare.page import write_comparison as write_comparison
from orchestrator.report.compare.studies import CompareError as CompareError

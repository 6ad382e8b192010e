"""Store → statistics → figures → one HTML file that needs no network."""

from orchestrator.report.page import write_report as write_report

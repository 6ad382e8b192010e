"""Which runs are trained next: the runs of a fixed design, or what a search asks for."""

from orchestrator.search.source import DesignSource as DesignSource
from orchestrator.search.source import Source as Source

"""Every figure as a plain function: data frame → Altair chart. Colours come from the theme."""

from orchestrator.report.figures.basin import draw_basin as draw_basin
from orchestrator.report.figures.curves import draw_curves as draw_curves
from orchestrator.report.figures.front import draw_front as draw_front
from orchestrator.report.figures.heat_map import draw_heat_map as draw_heat_map
from orchestrator.report.figures.parts import Chart as Chart
from orchestrator.report.figures.population import COPY as COPY
from orchestrator.report.figures.population import LINEAGE as LINEAGE
from orchestrator.report.figures.population import MEMBER as MEMBER
from orchestrator.report.figures.population import draw_population as draw_population
from orchestrator.report.figures.scatter import draw_scatter as draw_scatter

"""Every figure as a plain function: data frame → Altair chart. Colours come from the theme."""

from orchestrator.report.figures.bars import draw_bars as draw_bars
from orchestrator.report.figures.basin import draw_basin as draw_basin
from orchestrator.report.figures.curves import draw_curves as draw_curves
from orchestrator.report.figures.forest import draw_forest as draw_forest
from orchestrator.report.figures.front import draw_front as draw_front
from orchestrator.report.figures.heat_map import draw_heat_map as draw_heat_map
from orchestrator.report.figures.learning_rates import draw_best_rates as draw_best_rates
from orchestrator.report.figures.learning_rates import (
    draw_rate_sensitivity as draw_rate_sensitivity,
)
from orchestrator.report.figures.lines import draw_lines as draw_lines
from orchestrator.report.figures.lines import x_count as x_count
from orchestrator.report.figures.lines import x_log as x_log
from orchestrator.report.figures.lines import x_share as x_share
from orchestrator.report.figures.lines import x_steps as x_steps
from orchestrator.report.figures.lines import x_weights_left as x_weights_left
from orchestrator.report.figures.noise import draw_noise as draw_noise
from orchestrator.report.figures.parts import Chart as Chart
from orchestrator.report.figures.population import COPY as COPY
from orchestrator.report.figures.population import LINEAGE as LINEAGE
from orchestrator.report.figures.population import MEMBER as MEMBER
from orchestrator.report.figures.population import draw_population as draw_population
from orchestrator.report.figures.range_test import draw_range_test as draw_range_test
from orchestrator.report.figures.ratios import draw_profile as draw_profile
from orchestrator.report.figures.ratios import draw_ratios as draw_ratios
from orchestrator.report.figures.scaling import draw_scaling as draw_scaling
from orchestrator.report.figures.scatter import draw_scatter as draw_scatter
from orchestrator.report.figures.spectrum import draw_density as draw_density
from orchestrator.report.figures.spectrum import draw_sharpness as draw_sharpness
from orchestrator.report.figures.trade_off import draw_trade_off as draw_trade_off

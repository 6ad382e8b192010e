"""From a study to packs: which runs train together, and what that will take of time and memory."""

from orchestrator.plan.estimate import Estimate as Estimate
from orchestrator.plan.estimate import estimate as estimate
from orchestrator.plan.estimate import estimate_own as estimate_own
from orchestrator.plan.estimate import lane_cost as lane_cost
from orchestrator.plan.memory import Memory as Memory
from orchestrator.plan.memory import expected_memory as expected_memory
from orchestrator.plan.memory import limit_a_pack as limit_a_pack
from orchestrator.plan.networks import Networks as Networks
from orchestrator.plan.networks import networks_planned as networks_planned
from orchestrator.plan.packs import Pack as Pack
from orchestrator.plan.packs import by_kind as by_kind
from orchestrator.plan.packs import cpus_a_pack as cpus_a_pack
from orchestrator.plan.packs import first_lanes as first_lanes
from orchestrator.plan.packs import make_packs as make_packs
from orchestrator.plan.packs import unique_runs as unique_runs
from orchestrator.plan.trees import lanes_at_once as lanes_at_once

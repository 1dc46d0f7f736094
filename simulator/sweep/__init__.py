"""The grid: what it names, plan, run, and who computes it. It knows no figure."""

from simulator.results.outputs import ROWS_ONLY, Outputs
from simulator.results.provenance import PROVENANCE
from simulator.sweep.inputs import SweepConfig
from simulator.sweep.plan import PlannedRow, plan, tasks
from simulator.sweep.run import choose_executor, run_sweep

__all__ = [
    "PROVENANCE",
    "ROWS_ONLY",
    "Outputs",
    "PlannedRow",
    "SweepConfig",
    "choose_executor",
    "plan",
    "run_sweep",
    "tasks",
]

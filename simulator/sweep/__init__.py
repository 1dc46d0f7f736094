"""The grid: what it names, plan, run, and who computes it."""

from simulator.sweep.run import (
    FIGURES,
    PROVENANCE,
    SUMMARY,
    Outputs,
    PlannedRow,
    choose_executor,
    plan,
    run_sweep,
    tasks,
)

__all__ = ["FIGURES", "PROVENANCE", "SUMMARY", "Outputs", "PlannedRow", "choose_executor", "plan", "run_sweep", "tasks"]

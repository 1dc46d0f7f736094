"""The grid: what it names, plan, run, and who computes it. It knows no figure."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

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


class _Callable(ModuleType):
    """Lets `from simulator import sweep` be both this folder and the function of `simulator.front` of the same name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return import_module("simulator.front").sweep(*args, **options)


sys.modules[__name__].__class__ = _Callable

"""Where the grid runs: in this process, in processes of this machine, or on a Ray cluster.

An executor receives a factory of workers (run once per process; it loads what is expensive) and tasks, and yields
results as they arrive, in any order. Parallelism comes from processes alone: every worker computes with one thread, so
that sums are formed in the same order and results are bit-identical with any number of workers anywhere.
"""

from simulator.sweep.executors.base import Executor, Task, Work, single_threaded
from simulator.sweep.executors.local import InProcess, LocalProcesses, cores
from simulator.sweep.executors.ray import RayCluster

__all__ = ["Executor", "InProcess", "LocalProcesses", "RayCluster", "Task", "Work", "cores", "single_threaded"]

"""Where the grid runs: in this process, in processes of this machine, or on a Ray cluster.

An executor gets a way to make a worker (run once per process: it loads what is expensive) and tasks, and yields results
as they come, in any order. Parallelism comes from processes alone: every worker computes with one thread, so that
sums are formed in the same order, and results are the same bits, however many workers there are and wherever they run.
"""

from simulator.sweep.executors.base import Executor, Task, Work, single_threaded
from simulator.sweep.executors.local import InProcess, LocalProcesses, cores
from simulator.sweep.executors.ray import RayCluster

__all__ = ["Executor", "InProcess", "LocalProcesses", "RayCluster", "Task", "Work", "cores", "single_threaded"]

"""How benchmarks are timed: things that are compared take turns, so that background load affects all of them."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from simulator.phy.kernels import limited_threads


def take_turns(
    works: Iterable[Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of the fastest of `repeats` calls of each, called in turns after one that does not count.

    Args:
        works: what is compared.
        repeats: calls that count.
        clock: seconds.
    """
    works = list(works)
    for work in works:
        work()
    turns = []
    for _ in range(repeats):
        turn = []
        for work in works:
            begin = clock()
            work()
            turn.append(clock() - begin)
        turns.append(turn)
    return [min(column) for column in zip(*turns, strict=True)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and the compiled kernels compute on one thread, as the workers of a sweep do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with limited_threads(1):
            yield
    finally:
        torch.set_num_threads(before)

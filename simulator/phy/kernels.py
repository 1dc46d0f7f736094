"""Compiled kernels: one decorator for all of them, and their spreading over threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numba

_limit = 1024


def kernel(function: Callable) -> Any:
    """Compile with Numba, without the GIL, and keep the machine code on disk if possible."""
    with suppress(RuntimeError):  # neither the package's folder nor the user's cache is writable
        if os.path.isabs(os.path.expanduser("~")):  # without a home folder Numba makes one called "~" in the current
            return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return numba.njit(nogil=True, error_model="numpy")(function)


def num_threads() -> int:
    """Threads that kernels run on: NUMBA_NUM_THREADS, else one per core; fewer within `limited_threads`.

    `numba.get_num_threads()` would start Numba's threading layer, which resets the thread count of OpenMP and with
    it that of torch.
    """
    return min(numba.config.NUMBA_NUM_THREADS, _limit)  # type: ignore[attr-defined]


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Run kernels on at most `count` threads inside the `with` block."""
    global _limit
    before, _limit = _limit, count
    try:
        yield
    finally:
        _limit = before


def for_chunks(work: Callable[[int, int], None], items: int, chunk: int) -> None:
    """Call ``work(start, stop)`` over ``range(items)`` in chunks, on `num_threads` threads.

    Plain threads around kernels that release the GIL stay safe after a fork and when several threads decode at
    once, which Numba's own threading layers are not. The work must write only what belongs to its own items: then
    results depend on neither threads nor chunks.
    """
    starts = range(0, items, chunk)
    threads = min(num_threads(), len(starts))
    if threads <= 1:
        work(0, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, start, min(start + chunk, items)) for start in starts]:
            done.result()

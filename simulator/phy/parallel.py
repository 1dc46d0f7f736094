"""Spread a compiled kernel over threads without a Numba threading layer.

Kernels compiled with ``nogil=True`` and called from Python threads stay safe after a fork and when several
threads decode at once, which Numba's own layers are not.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def for_chunks(kernel: Callable[[int, int], None], items: int, chunk: int) -> None:
    """Call ``kernel(start, stop)`` over ``range(items)`` in chunks, on ``numba.get_num_threads()`` threads.

    The kernel must write only what belongs to its own items: results then do not depend on threads or chunks.
    """
    starts = range(0, items, chunk)
    threads = min(numba.get_num_threads(), len(starts))
    if threads <= 1:
        kernel(0, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(kernel, start, min(start + chunk, items)) for start in starts]:
            done.result()

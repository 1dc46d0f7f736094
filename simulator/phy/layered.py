"""The compiled kernel of the layered offset-min-sum decoder. It works on the shifts of the base graph.

Arrays are addressed by unsigned offsets instead of slices: slices cost reference counting and signed indices a
wrap-around test, and either keeps the inner loops from becoming vector instructions.
"""

import numpy as np

from simulator.phy.kernels import kernel

_at = np.uint64


@kernel
def decode_blocks(llrs, row_start, edge_column, edge_shift, size, offset, max_iterations, bits, iterations):
    """Decode code blocks one by one until the syndrome is zero or the iterations are used up.

    ``llrs``: float32 ``[B, columns * size]``, log p(0) / p(1), punctured bits 0, filler bits large.
    ``row_start``: int32 ``[rows + 1]`` into ``edge_column`` and ``edge_shift`` (int32 ``[edges]``).
    ``bits``: uint8 ``[B, k]`` and ``iterations``: int16 ``[B]`` are written.
    An LLR of exactly 0 is decided as a 1, as in Sionna: a block of erasures must not look like the all-zero word.
    """
    rows = row_start.size - 1
    degree = 0
    for row in range(rows):
        degree = max(degree, row_start[row + 1] - row_start[row])
    posterior = np.empty(llrs.shape[1], np.float32)
    messages = np.empty(row_start[rows] * size, np.float32)
    extrinsic = np.empty(degree * size, np.float32)
    smallest = np.empty(size, np.float32)
    second = np.empty(size, np.float32)
    sign = np.empty(size, np.float32)
    parity = np.empty(size, np.uint8)
    for block in range(llrs.shape[0]):
        for i in range(posterior.size):
            posterior[i] = llrs[block, i]
        messages[:] = 0
        iterations[block] = max_iterations
        for iteration in range(max_iterations):
            for row in range(rows):
                first, last = row_start[row], row_start[row + 1]
                smallest[:] = np.inf
                second[:] = np.inf
                sign[:] = 1
                for edge in range(first, last):
                    # A cyclic shift is two straight runs: [shift, size) and [0, shift).
                    here, shift = edge_column[edge] * size, edge_shift[edge]
                    run = size - shift
                    old, own = edge * size, (edge - first) * size
                    _collect(
                        posterior, messages, extrinsic, smallest, second, sign,
                        _at(here + shift), _at(old), _at(own), _at(0), _at(run),
                    )  # fmt: skip
                    _collect(
                        posterior, messages, extrinsic, smallest, second, sign,
                        _at(here), _at(old + run), _at(own + run), _at(run), _at(shift),
                    )  # fmt: skip
                for edge in range(first, last):
                    here, shift = edge_column[edge] * size, edge_shift[edge]
                    run = size - shift
                    new, own = edge * size, (edge - first) * size
                    _spread(
                        posterior, messages, extrinsic, smallest, second, sign, offset,
                        _at(here + shift), _at(new), _at(own), _at(0), _at(run),
                    )  # fmt: skip
                    _spread(
                        posterior, messages, extrinsic, smallest, second, sign, offset,
                        _at(here), _at(new + run), _at(own + run), _at(run), _at(shift),
                    )  # fmt: skip
            if _is_codeword(posterior, parity, row_start, edge_column, edge_shift, size):
                iterations[block] = iteration + 1
                break
        for k in range(bits.shape[1]):
            bits[block, k] = posterior[k] <= 0


@kernel
def _collect(posterior, messages, extrinsic, smallest, second, sign, p, m, e, s, length):
    """Take the old messages out of the posteriors; gather the two smallest magnitudes and the sign of each check."""
    for i in range(length):
        value = posterior[p + i] - messages[m + i]
        extrinsic[e + i] = value
        magnitude = abs(value)
        low = smallest[s + i]
        higher = magnitude if magnitude > low else low
        second[s + i] = higher if higher < second[s + i] else second[s + i]
        smallest[s + i] = magnitude if magnitude < low else low
        sign[s + i] = -sign[s + i] if value < 0 else sign[s + i]


@kernel
def _spread(posterior, messages, extrinsic, smallest, second, sign, offset, p, m, e, s, length):
    """Send each check's new messages and put them into the posteriors."""
    for i in range(length):
        value = extrinsic[e + i]
        low = smallest[s + i]
        magnitude = (second[s + i] if abs(value) == low else low) - offset
        magnitude = magnitude if magnitude > 0 else np.float32(0)
        signed = sign[s + i] * magnitude
        message = -signed if value < 0 else signed
        messages[m + i] = message
        posterior[p + i] = value + message


@kernel
def _is_codeword(posterior, parity, row_start, edge_column, edge_shift, size):
    for row in range(row_start.size - 1):
        for i in range(size):
            parity[i] = 0
        for edge in range(row_start[row], row_start[row + 1]):
            here, shift = edge_column[edge] * size, edge_shift[edge]
            _add_parity(posterior, parity, _at(here + shift), _at(0), _at(size - shift))
            _add_parity(posterior, parity, _at(here), _at(size - shift), _at(shift))
        failed = np.uint8(0)
        for i in range(size):
            failed |= parity[i]
        if failed:
            return False
    return True


@kernel
def _add_parity(posterior, parity, p, s, length):
    for i in range(length):
        parity[s + i] ^= np.uint8(posterior[p + i] <= 0)

"""Block error rates of the digital link over AWGN, and the SNR at which a code reaches a given one."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import log_ndtr, ndtri

from simulator.phy.ldpc import LayeredDecoder, LdpcCode, encode, ldpc_code
from simulator.phy.mcs import Mcs
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import base_graph_for

_BATCH = 64
_MAX_ERRORS = 200  # at one point of a waterfall


@dataclass(frozen=True)
class Point:
    """Decoding trials at one Es/N0."""

    snr_db: float
    blocks: int
    errors: int


@dataclass(frozen=True)
class Waterfall:
    """BLER(SNR) = Q((SNR - middle) / width), the finite-length scaling law of LDPC codes, fitted to `points`."""

    points: tuple[Point, ...]
    middle_db: float
    width_db: float
    covariance: np.ndarray  # of (middle_db, width_db), [2, 2]

    def snr_db(self, bler: float) -> float:
        """Es/N0 in dB at which the fitted block error rate is ``bler``."""
        return float(self.middle_db - self.width_db * ndtri(bler))

    def standard_error_db(self, bler: float) -> float:
        """One standard deviation of `snr_db`, in dB."""
        gradient = np.array([1.0, -ndtri(bler)])
        return float(np.sqrt(gradient @ self.covariance @ gradient))


def reference_code(mcs: Mcs, info_bits: int) -> LdpcCode:
    """The reference code block of ``info_bits`` at an MCS; base graph 2 caps it at 3840 bits for rates up to 1/4."""
    graph = base_graph_for(info_bits, mcs.code_rate)
    info_bits = min(info_bits, 3840) if graph == 2 else info_bits
    symbols = ceil(info_bits / (mcs.code_rate * mcs.bits_per_symbol))
    return ldpc_code(info_bits, symbols * mcs.bits_per_symbol, graph)


def received_blocks(
    code: LdpcCode, bits_per_symbol: int, snr_db: float, blocks: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random code blocks through interleaver, QAM, AWGN and demapper.

    Returns the info bits, uint8 ``[blocks, K']``, and the de-interleaved LLRs, float32 ``[blocks, E]``.
    """
    bits = np.unpackbits(generator.integers(0, 256, (blocks, code.info_bits // 8), dtype=np.uint8), axis=1)
    coded = encode(code, bits).reshape(blocks, bits_per_symbol, -1).swapaxes(1, 2).reshape(blocks, -1)
    symbols = map_bits(coded, bits_per_symbol)
    noise_variance = 10 ** (-snr_db / 10)
    noise = generator.standard_normal((*symbols.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    received = symbols + np.float32(np.sqrt(noise_variance / 2)) * noise
    llrs = demap(received, noise_variance, bits_per_symbol)
    rows = llrs.reshape(blocks, -1, bits_per_symbol).swapaxes(1, 2)
    return bits, np.ascontiguousarray(rows).reshape(blocks, -1)


def count_errors(code: LdpcCode, bits_per_symbol: int, snr_db: float, max_blocks: int, max_errors: int) -> Point:
    """Decode random blocks until ``max_errors`` are wrong or ``max_blocks`` are done."""
    decoder = LayeredDecoder()
    key = (code.info_bits, code.coded_bits, bits_per_symbol, round(snr_db * 1000) % 2**32)
    generator = np.random.default_rng(key)
    done = errors = 0
    while done < max_blocks and errors < max_errors:
        bits, llrs = received_blocks(code, bits_per_symbol, snr_db, min(_BATCH, max_blocks - done), generator)
        errors += int((decoder.decode(code, llrs).bits != bits).any(axis=1).sum())
        done += len(bits)
    return Point(snr_db, done, errors)


def measure_waterfall(mcs: Mcs, info_bits: int, max_blocks: int) -> Waterfall:
    """Find an MCS's waterfall over AWGN: walk to it, then measure at fitted BLERs of 0.3 down to 0.001."""
    code = reference_code(mcs, info_bits)
    points: list[Point] = []

    def trial(snr_db: float, blocks: int) -> Point:
        points.append(count_errors(code, mcs.bits_per_symbol, snr_db, blocks, _MAX_ERRORS))
        return points[-1]

    snr_db = 10 * float(np.log10(2**mcs.spectral_efficiency - 1)) + 1.5
    step = 0.5
    point = trial(snr_db, _BATCH)
    rising = point.errors > _BATCH // 2
    while (point.errors > _BATCH // 2) == rising:
        snr_db += step if rising else -step
        point = trial(snr_db, _BATCH)
    points = sorted(points, key=lambda p: p.snr_db)[-2:] if rising else points[-2:]
    middle = (points[0].snr_db + points[1].snr_db) / 2
    for bler, share in ((0.3, 0.05), (0.1, 0.1), (0.03, 0.2), (0.01, 0.4), (0.001, 1.0)):
        middle_db, width_db, _ = fit_waterfall(points, middle)
        trial(round(middle_db - width_db * float(ndtri(bler)), 3), int(share * max_blocks))
    return Waterfall(tuple(points), *fit_waterfall(points, middle))


def fit_waterfall(points: list[Point], start_db: float) -> tuple[float, float, np.ndarray]:
    """Maximum-likelihood (middle, width, covariance) of BLER = Q((SNR - middle) / width), by Fisher scoring.

    A weak prior on the width (0.2 dB within a factor of about 2) keeps the fit finite while there are few points.
    """
    snr = np.array([p.snr_db for p in points])
    wrong = np.array([p.errors for p in points], dtype=float)
    total = np.array([p.blocks for p in points], dtype=float)
    middle, log_width = start_db, np.log(0.2)
    for _ in range(100):
        width = np.exp(log_width)
        z = (snr - middle) / width
        log_p, log_q = log_ndtr(-z), log_ndtr(z)
        density = np.exp(-z * z / 2 - log_p - log_q) / np.sqrt(2 * np.pi)  # phi / (P (1 - P))
        slope = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        score = (wrong - total * np.exp(log_p)) * density  # d loglik / d(-z)
        jacobian = np.stack([np.full_like(z, 1 / width), z])  # d(-z) / d(middle, log width)
        information = (jacobian * (total * slope * density)) @ jacobian.T
        information[1, 1] += 1 / 0.7**2
        gradient = jacobian @ score
        gradient[1] -= (log_width - np.log(0.2)) / 0.7**2
        step = np.linalg.solve(information, gradient)
        step *= min(1.0, 0.3 / abs(step).max())
        middle, log_width = middle + step[0], log_width + step[1]
        if abs(step).max() < 1e-6:
            break
    scale = np.diag([1.0, np.exp(log_width)])
    return float(middle), float(np.exp(log_width)), scale @ np.linalg.inv(information) @ scale

"""Channel estimation from pilots: one precomputed linear filter per slot, least squares or Wiener."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch

from simulator.channels.grid import PILOT_SYMBOLS, SLOT_SYMBOLS, ResourceGrid
from simulator.channels.paths import Covariance, PathModel

Method = Literal["ls", "lmmse"]

# A filter sees the pilots of one slot in a window of at most 24 resource blocks, as receivers of NR see a group of
# bundled resource blocks; wider grids are estimated window by window.
WINDOW = 288


@dataclass(frozen=True)
class Filter:
    """Turns received pilots into estimates of all gains of a window.

    Attributes:
        weights: complex64 [14 W, pilots of the window].
        error_variance: float32 [14 W], E|estimate - gain|^2 in theory.
    """

    weights: torch.Tensor
    error_variance: torch.Tensor


def design(
    covariance: Covariance, grid: ResourceGrid, noise_variance: float, method: Method, antenna: int = 0
) -> Filter:
    """Design the filter of a window for the pilots of an antenna.

    "ls" divides by the pilots and interpolates linearly, first in frequency and then in time, holding the outermost
    values; "lmmse" is the Wiener filter R_dp (R_pp + no I)^-1. Either one's error is
    R_dd - 2 Re(W R_dp^H) + W (R_pp + no I) W^H on the diagonal.
    """
    width = covariance.frequency.shape[-1]
    symbols, carriers = list(grid.pilot_symbols(antenna)), grid.pilot_carriers(antenna)
    to_pilots = _kron(covariance.time[:, :, symbols], covariance.frequency[:, :, carriers])
    pilots = _kron(covariance.time[:, symbols][:, :, symbols], covariance.frequency[:, carriers, carriers])
    pilots = pilots + noise_variance * torch.eye(len(pilots))
    if method == "lmmse":
        weights = torch.linalg.solve(pilots, to_pilots.mH).mH  # both sides are Hermitian
    else:
        in_time = _interpolation(np.arange(SLOT_SYMBOLS), np.array(symbols))
        in_frequency = _interpolation(np.arange(width), np.arange(width)[carriers])
        weights = torch.kron(in_time, in_frequency).to(torch.complex128)
    power = torch.einsum("rtt,rff->tf", covariance.time, covariance.frequency).real.flatten()
    cross = (weights * to_pilots.conj()).sum(1).real
    error = power - 2 * cross + ((weights @ pilots) * weights.conj()).sum(1).real
    return Filter(weights.to(torch.complex64), error.clamp(min=0).float())


def _kron(time: torch.Tensor, frequency: torch.Tensor) -> torch.Tensor:
    """sum_r time[r] (x) frequency[r], complex128 [T F, T' F']."""
    (_, rows, columns), (_, high, wide) = time.shape, frequency.shape
    product = time.flatten(1).T @ frequency.flatten(1)
    return product.reshape(rows, columns, high, wide).transpose(1, 2).reshape(rows * high, columns * wide)


def _interpolation(at: np.ndarray, known: np.ndarray) -> torch.Tensor:
    """Matrix float64 [len(at), len(known)] of linear interpolation that holds the outermost values."""
    return torch.from_numpy(np.stack([np.interp(at, known, unit) for unit in np.eye(len(known))], axis=1))


class Estimator:
    """Estimates the gains of data symbols from the pilots of their slot."""

    def __init__(self, model: PathModel, grid: ResourceGrid, method: Method) -> None:
        """model: of the paths between one transmit and one receive antenna."""
        self._model = model
        self._grid = grid
        self._method: Method = method
        self._width = min(WINDOW, grid.subcarriers)
        self._filter = lru_cache(maxsize=16)(self._design)

    @cached_property
    def _covariance(self) -> Covariance:
        frequencies = self._grid.frequencies[: self._width]
        return self._model.covariance(SLOT_SYMBOLS, self._grid.symbol_s, frequencies)

    def _design(self, noise_variance: float, antenna: int) -> Filter:
        return design(self._covariance, self._grid, noise_variance, self._method, antenna)

    def estimate(
        self, pilots: torch.Tensor, noise_variance: float, antenna: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate gains out of the received pilots of an antenna, of unit power, complex64 [S, pilots of a slot].

        Returns:
            Gains complex64 [S, data of a slot] in the order of the data, and their error variance, float32
            [data of a slot], the same in each slot.
        """
        grid, width = self._grid, self._width
        window = self._filter(noise_variance, antenna)
        pilots = pilots.reshape(len(pilots), len(PILOT_SYMBOLS), -1)
        gains = torch.empty((len(pilots), SLOT_SYMBOLS, grid.subcarriers), dtype=torch.complex64)
        error = torch.empty((SLOT_SYMBOLS, grid.subcarriers))
        for start in self._starts():
            seen = pilots[:, :, start // grid.pilot_spacing : (start + width) // grid.pilot_spacing]
            estimated = seen.reshape(len(pilots), -1) @ window.weights.T
            gains[:, :, start : start + width] = estimated.reshape(len(pilots), SLOT_SYMBOLS, width)
            error[:, start : start + width] = window.error_variance.reshape(SLOT_SYMBOLS, width)
        return gains.flatten(1)[:, grid.data_positions], error.flatten()[grid.data_positions]

    def _starts(self) -> list[int]:
        """First subcarriers of the windows; the last window ends with the grid."""
        last = self._grid.subcarriers - self._width
        return [*range(0, last, self._width), last]

"""The receiver's analog-to-digital converter: uniform quantisation of I and Q behind an ideal gain control."""

from functools import cached_property

import torch

from simulator.channels.grid import ResourceGrid
from simulator.channels.radio.waveform import Waveform
from simulator.phy.constellation import gaussian_quantiser
from simulator.randomness import derive_key


class Converter:
    """Quantises to b bits per real dimension, with the full scale that is best for Gaussian samples.

    By Bussgang's theorem the output is (1 - D) y + d with E|d|^2 = D (1 - D) E|y|^2, D the quantiser's distortion.
    Division by 1 - D is part of the converter here.
    """

    def __init__(self, bits: int, grid: ResourceGrid | None) -> None:
        """grid: on which an OFDM waveform is sampled, at its bandwidth; None quantises the symbols themselves."""
        self._quantiser = gaussian_quantiser(2**bits)
        self._waveform = None if grid is None else Waveform(grid, oversampling=1)
        distortion = self._quantiser.distortion
        in_band = 1.0 if grid is None or self._waveform is None else grid.subcarriers / self._waveform.size
        self.noise = in_band * distortion / (1 - distortion)

    @cached_property
    def _others(self) -> torch.Tensor:
        assert self._waveform is not None
        return self._waveform.others(derive_key("other users at a converter"))

    def symbols(self, received: torch.Tensor, power: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantise complex64 [K] symbols, each scaled by its expected power [K].

        Returns:
            The symbols, complex64 [K], and the variance of the quantisation noise on each, float32 [K].
        """
        scale = power.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
        return self._quantise(received / scale) * scale, self.noise * power

    def waveform(
        self, received: torch.Tensor, pilots: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Quantise the samples of the slots on which data symbols [K] and pilots over their known values [S, P] arrive.

        The gain control sets each slot to the mean power that it has. As at the transmitter, the free part of the last
        slot carries another user's symbols, here as strong as `received` on average.

        Returns:
            Data symbols, pilots (None where none were given), and the quantisation noise on the resource
            elements of each slot, float32 [S].
        """
        assert self._waveform is not None
        others = self._others * received.abs().square().mean().sqrt()
        samples = self._waveform.modulate(self._waveform.place(received, others, pilots))
        power = samples.abs().square().mean((1, 2))
        scale = power.clamp(min=torch.finfo(torch.float32).tiny).sqrt()[:, None, None]
        resources, _ = self._waveform.demodulate(self._quantise(samples / scale) * scale)
        data, quantised = self._waveform.take(resources, len(received))
        return data, None if pilots is None else quantised, self.noise * power

    def _quantise(self, samples: torch.Tensor) -> torch.Tensor:
        quantised = torch.from_numpy(self._quantiser(torch.view_as_real(samples).contiguous().numpy()))
        return torch.view_as_complex(quantised) / (1 - self._quantiser.distortion)

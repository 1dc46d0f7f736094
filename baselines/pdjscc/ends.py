"""What both ends of a DeepJSCC net add to it where its encoder learns with the generator.

The net itself stays as it is. Its additions are small: one of each kind that changes what goes on the air.
"""

import torch
from torch import Tensor, nn

from simulator.baselines.deepjscc.net import Decoder, Encoder, centred, grid
from simulator.models import spectrum
from simulator.models.spectrum import KNOTS


class Ends(nn.Module):
    """Additions to the encoder's last layer, to the mixture of latents, and to the power of each by frequency and SNR.

    They start at zero, where both ends do exactly what those of the net do.
    """

    def __init__(self, latents: int, features: int) -> None:
        """latents: of the net, 2 per channel use; features: channels that the encoder's last layer sees."""
        super().__init__()
        self.head = nn.Conv2d(features, latents, 3, stride=2, padding=1)
        self.mix, self.unmix = (nn.Conv2d(latents, latents, 1) for _ in range(2))
        # Logarithms of the amplitude sent and of the power expected, and their change per 10 dB.
        self.amplitude, self.power = (nn.Parameter(torch.zeros(2, latents, KNOTS)) for _ in range(2))
        for layer in (self.head, self.mix, self.unmix):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def encode(self, encoder: Encoder, images: Tensor, snr_db: Tensor) -> Tensor:
        """As `Encoder.forward`, with the additions."""
        snr = centred(snr_db)[:, None, None, None]
        features = encoder.features(images, snr)
        latents = encoder.linear(images).float() + (encoder.head(features) + self.head(features)).float()
        latents = latents + self.mix(latents).float()
        latents, size = latents * torch.exp(encoder.snr_gain[:, None, None] * snr), grid(latents)
        return spectrum.transform(latents) * encoder.spectrum.gain(size) * _factor(self.amplitude, size, snr)

    def estimate(self, decoder: Decoder, noisy: Tensor, variance: Tensor, snr_db: Tensor) -> tuple[Tensor, Tensor]:
        """As `Decoder.estimate`, with the additions undone."""
        snr, size = centred(snr_db)[:, None, None, None], grid(noisy)
        factors = (_factor(table, size, snr) for table in (self.amplitude, self.power))
        latents, reliability = decoder.estimate(noisy, variance, snr_db, *factors)
        return latents + self.unmix(latents).float(), reliability


def _factor(table: Tensor, size: tuple[int, int], snr: Tensor) -> Tensor:
    """Factors [B, C, h, w] for each frequency of a grid, of a table [2, C, KNOTS] and SNRs [B, 1, 1, 1]."""
    level, slope = (spectrum.between_knots(one, size) for one in table)
    return torch.exp(level + slope * snr)

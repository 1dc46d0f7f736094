"""DeepJSCC's encoder and decoder (Bourtsoulatze, Kurka and Gunduz 2019): convolutions, PReLU, and a linear start.

Encoder and decoder are convolutional with PReLU, trained together for MSE through AWGN with per-image power, one pair
per bandwidth ratio. Four things differ from the paper, all in the baseline's favour:

- Each side is a *linear codec plus a convolutional branch*. The linear part starts as the Karhunen-Loeve transform of
  16x16 blocks with SoftCast's power allocation (gain ~ variance^-1/4) and a Wiener decoder, the branch starts at zero;
  everything is trained. From random weights the same quality takes many hours.
- Latents cross the channel as a DCT over the block grid, with power by frequency (spectrum.py).
- One net serves 0..20 dB: both ends know the average SNR, and the decoder knows the noise level of every symbol.
- Per-image power hides an image's contrast from the receiver; a short amplitude reference among the symbols tells it.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from simulator.models import spectrum
from simulator.models.spectrum import KNOTS, Spectrum
from simulator.spec.configuration import check_sizes

BLOCK = 16
BLOCK_VALUES = 3 * BLOCK * BLOCK
RELIABILITY_LATENTS = 32  # the most important ones, which every bandwidth ratio sends


@dataclass(frozen=True)
class NetConfig:
    """Sizes of one model.

    Attributes:
        uses: complex channel uses per 16x16 block; CBR = uses / 768.
        encoder_width, decoder_width: channels at stride 8.
        detail_width: channels at stride 4 of the decoder.
        encoder_blocks, decoder_blocks, detail_blocks: residual blocks at these places.
    """

    uses: int = 48
    encoder_width: int = 64
    encoder_blocks: int = 2
    decoder_width: int = 80
    decoder_blocks: int = 3
    detail_width: int = 48
    detail_blocks: int = 2

    def __post_init__(self) -> None:
        check_sizes(self, "'model'")


class Residual(nn.Module):
    """x + conv(PReLU(conv(x))) with 3x3 kernels; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.act(self.first(x)))


class Encoder(nn.Module):
    """Images [B, 3, H, W] -> coefficients to send [B, 2 uses, H/16, W/16], real, mean power 1/2 over training data."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        width, latents = config.encoder_width, 2 * config.uses
        self.linear = nn.Conv2d(3, latents, BLOCK, stride=BLOCK)
        self.stem = nn.Conv2d(3, 48, 5, stride=4, padding=2)
        self.stem_act = nn.PReLU(48)
        self.down = nn.Conv2d(48 + 1, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(config.encoder_blocks)))
        self.act = nn.PReLU(width)
        self.head = nn.Conv2d(width, latents, 3, stride=2, padding=1)
        self.snr_gain = nn.Parameter(torch.zeros(latents))
        self.spectrum = Spectrum(latents)

    def forward(self, images: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """Encode; `snr_db` [B] is the average SNR that both ends know."""
        latents = self.latents(images, snr_db)
        return spectrum.transform(latents) * self.spectrum.gain(grid(latents))

    def latents(self, images: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """Latents [B, 2 uses, H/16, W/16], one per 16x16 block and channel."""
        snr = centred(snr_db)[:, None, None, None]
        latents = self.linear(images).float() + self.head(self.features(images, snr)).float()
        return latents * torch.exp(self.snr_gain[:, None, None] * snr)

    def features(self, images: torch.Tensor, snr: torch.Tensor) -> torch.Tensor:
        """What the head sees, [B, encoder_width, H/8, W/8]; `snr` as `centred` gives it, [B, 1, 1, 1]."""
        x = self.stem_act(self.stem(images))
        x = self.down(torch.cat([x, snr.to(x).expand(-1, 1, *x.shape[2:])], 1))
        return self.act(self.blocks(x))


class Decoder(nn.Module):
    """Noisy coefficients, their noise variance, both [B, 2 uses, h, w] -> images [B, 3, 16 h, 16 w] (not clamped)."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        width, detail, latents = config.decoder_width, config.detail_width, 2 * config.uses
        self.spectrum = Spectrum(latents)
        self.log_power = nn.Parameter(torch.zeros(latents))
        self.snr_power = nn.Parameter(torch.zeros(latents))
        self.linear = nn.ConvTranspose2d(latents, 3, BLOCK, stride=BLOCK)
        self.up = nn.Conv2d(latents + 1, 4 * width, 1)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(config.decoder_blocks)))
        self.act = nn.PReLU(width)
        self.up_detail = nn.Conv2d(width, 4 * detail, 1)
        self.look = nn.Conv2d(48, detail, 3, padding=1)
        self.detail_blocks = nn.Sequential(*(Residual(detail) for _ in range(config.detail_blocks)))
        self.detail_act = nn.PReLU(detail)
        self.head = nn.Conv2d(detail, 48, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, noisy: torch.Tensor, variance: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """Decode; where a coefficient was not sent `variance` is huge (`air.NOT_SENT`) and `noisy` zero."""
        return self.paint(*self.estimate(noisy, variance, snr_db))[0]

    def estimate(
        self,
        noisy: torch.Tensor,
        variance: torch.Tensor,
        snr_db: torch.Tensor,
        amplified: torch.Tensor | float = 1.0,
        stronger: torch.Tensor | float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [B, 2 uses, h, w] behind noisy coefficients, and their reliability in [-1, 1], [B, 1, 1, 1].

        Of each coefficient, `amplified` is the factor on its amplitude that this net's encoder did not give it, and
        `stronger` a factor on its expected power.
        """
        snr = centred(snr_db)[:, None, None, None]
        size = grid(noisy)
        gain, prior = self.spectrum.gain(size) * amplified, self.spectrum.variance(size) * stronger
        power = prior * gain.square() * torch.exp(self.log_power[:, None, None] + self.snr_power[:, None, None] * snr)
        weight = power / (power + variance)  # Wiener filter of each coefficient
        reliability = weight[:, :RELIABILITY_LATENTS].mean(dim=(1, 2, 3), keepdim=True)
        return spectrum.inverse(weight * noisy / gain), 2 * reliability - 1

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Scale every latent to unit variance over training images."""
        prior = self.spectrum.variance(grid(latents))
        return latents / prior.mean(dim=(1, 2), keepdim=True).sqrt()

    def paint(self, latents: torch.Tensor, reliability: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images of what `estimate` returns, and the features [B, detail_width, 4 h, 4 w] from which they are made."""
        image = self.linear(latents)
        seen = torch.cat([self.normalise(latents), reliability.expand(-1, -1, *latents.shape[2:])], 1)
        x = self.act(self.blocks(functional.pixel_shuffle(self.up(seen), 2)))
        detail = functional.pixel_shuffle(self.up_detail(x), 2)
        detail = detail + self.look(functional.pixel_unshuffle(image, 4))
        detail = self.detail_act(self.detail_blocks(detail))
        return image.float() + functional.pixel_shuffle(self.head(detail), 4).float(), detail


class DeepJsccNet(nn.Module):
    """Encoder and decoder of one bandwidth ratio."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def start_linear(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """Start both linear parts as a KLT with SoftCast's gains, and silence the convolutional branches.

        Args:
            mean: float64 [3], of the colours.
            covariance: float64 [768, 768], of 16x16 blocks flattened as (3, 16, 16).
        """
        latents = 2 * self.config.uses
        variances, vectors = torch.linalg.eigh(covariance)
        variances, basis = variances.flip(0)[:latents], vectors.flip(1)[:, :latents].T  # [latents, 768]
        gains = variances.pow(-0.25)
        gains = gains * (0.5 / (gains.square() * variances).mean()).sqrt()
        encode, decode = self.encoder.linear, self.decoder.linear
        encode.weight.copy_((gains[:, None] * basis).reshape(encode.weight.shape))
        encode.bias.copy_(-gains * (basis @ mean.repeat_interleave(BLOCK * BLOCK)))  # type: ignore[union-attr]
        decode.weight.copy_((basis / gains[:, None]).reshape(decode.weight.shape))
        decode.bias.copy_(mean)  # type: ignore[union-attr]
        for end in (self.encoder, self.decoder):
            end.spectrum.log_variance.copy_((gains.square() * variances).log()[:, None].expand(-1, KNOTS))
        for head in (self.encoder.head, self.decoder.head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def fit_spectrum(self, images: list[torch.Tensor]) -> None:
        """Measure how each latent varies from block to block, at 10 dB.

        Args:
            images: float32 [3, H, W] in [0, 1].
        """
        snr_db = torch.tensor([10.0])
        cropped = (image[:, : image.shape[1] // BLOCK * BLOCK, : image.shape[2] // BLOCK * BLOCK] for image in images)
        self.encoder.spectrum.fit([self.encoder.latents(image[None], snr_db)[0] for image in cropped])
        self.decoder.spectrum.log_variance.copy_(self.encoder.spectrum.log_variance)


def block_statistics(images: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean colour [3] and covariance [768, 768] of 16x16 blocks, float64, of float images [3, H, W]."""
    total, outer, count = torch.zeros(BLOCK_VALUES).double(), torch.zeros(BLOCK_VALUES, BLOCK_VALUES).double(), 0
    for image in images:
        blocks = functional.unfold(image[None], BLOCK, stride=BLOCK)[0].T  # [blocks, 768]
        total += blocks.double().sum(0)
        outer += (blocks.T @ blocks).double()
        count += len(blocks)
    mean = total / count
    return mean.reshape(3, -1).mean(1), outer / count - mean[:, None] * mean


def grid(latents: torch.Tensor) -> tuple[int, int]:
    """How many blocks an image has, (rows, columns), from its latents [B, 2 uses, h, w]."""
    return latents.shape[2], latents.shape[3]


def centred(snr_db: torch.Tensor) -> torch.Tensor:
    """Map 0..20 dB to -1..1."""
    return snr_db.float().clamp(-5, 25) / 10 - 1

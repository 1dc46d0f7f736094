"""The generator: a U-Net on folded pixels that paints over what DeepJSCC's decoder shows.

A generator that sees only what was received can answer a loss for textures with one pattern alone, locked to the grid
of blocks. Noise among its inputs gives it grain that no grid shapes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.baselines.deepjscc.air import Observation
from simulator.baselines.deepjscc.net import BLOCK_VALUES, DeepJsccNet, Residual, centred
from simulator.baselines.deepjscc.scheme import RATIOS
from simulator.baselines.pdjscc.ends import Ends
from simulator.spec.configuration import check_sizes

FOLD = 4
FOLDED = 3 * FOLD * FOLD
GRAIN_CHANNELS = 16  # one value per pixel, at stride 4
GRAIN_SEED = 0x6A5C
GRAIN_REVISION = 1  # of the noise that a received picture is made with
STATE_CHANNELS = 3  # reliability, average SNR, bandwidth ratio
USES = tuple(int(ratio * BLOCK_VALUES) for ratio in RATIOS)  # channel uses per 16x16 block of the nets in front


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the generator, and what learns with it.

    Attributes:
        features: channels of the decoder's features at stride 4, `detail_width` of the nets in front.
        widths: channels at strides 4, 8 and 16.
        blocks: residual blocks at strides 4, 8 and 16 on the way down, then at stride 4 on the way up.
        ends: whether both ends of the nets in front have additions of their own.
        encoder_features: channels of the encoder's features at stride 8, `encoder_width` of the nets in front.
    """

    features: int = 48
    widths: tuple[int, int, int] = (56, 104, 128)
    blocks: tuple[int, int, int, int] = (1, 2, 1, 2)
    ends: bool = False
    encoder_features: int = 64

    def __post_init__(self) -> None:
        check_sizes(self, "'model'")


class Generator(nn.Module):
    """What DeepJSCC decodes -> images [B, 3, H, W]; starts as the identity.

    `encode`, `estimate` and `forward` are the way of an image, around the DeepJSCC net of its bandwidth ratio.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        (fine, middle, coarse), blocks = config.widths, config.blocks
        self.enter = nn.Conv2d(FOLDED + config.features + STATE_CHANNELS + GRAIN_CHANNELS, fine, 3, padding=1)
        self.fine, self.fine_act = _residuals(fine, blocks[0]), nn.PReLU(fine)
        self.down_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle, self.middle_act = _residuals(middle, blocks[1]), nn.PReLU(middle)
        self.down_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse, self.coarse_act = _residuals(coarse, blocks[2]), nn.PReLU(coarse)
        self.up_middle = nn.Conv2d(coarse, 4 * middle, 1)
        self.up_act = nn.PReLU(middle)
        self.up_fine = nn.Conv2d(middle, 4 * fine, 1)
        self.last, self.last_act = _residuals(fine, blocks[3]), nn.PReLU(fine)
        self.leave = nn.Conv2d(fine, FOLDED, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        ends = {str(uses): Ends(2 * uses, config.encoder_features) for uses in USES if config.ends}
        self.ends = nn.ModuleDict(ends)

    def encode(self, net: DeepJsccNet, images: Tensor, snr_db: Tensor) -> Tensor:
        """What goes on the air, as `deepjscc.net.Encoder.forward`."""
        ends = self._ends(net)
        return net.encoder(images, snr_db) if ends is None else ends.encode(net.encoder, images, snr_db)

    def estimate(self, net: DeepJsccNet, seen: Observation, snr_db: Tensor) -> tuple[Tensor, Tensor]:
        """Received latents and their reliability, as `deepjscc.net.Decoder.estimate`."""
        ends, seen_by = self._ends(net), (seen.noisy, seen.variance, snr_db)
        return net.decoder.estimate(*seen_by) if ends is None else ends.estimate(net.decoder, *seen_by)

    def _ends(self, net: DeepJsccNet) -> Ends | None:
        return self.ends[str(net.config.uses)] if self.config.ends else None  # type: ignore[return-value]

    def forward(self, image: Tensor, detail: Tensor, reliability: Tensor, snr_db: Tensor, uses: int) -> Tensor:
        """Paint.

        Args:
            image, detail: as `Decoder.paint` gives them, [B, 3, H, W] and [B, features, H/4, W/4].
            reliability: as `Decoder.estimate` gives it, [B, 1, 1, 1].
            snr_db: average Es/N0 that both ends know, [B].
            uses: channel uses per 16x16 block.
        """
        size = detail.shape[2:]
        ratio = torch.full_like(snr_db, 16 * uses / BLOCK_VALUES).log2()  # 0 at CBR 1/16
        state = torch.stack([reliability.flatten(), centred(snr_db), ratio.to(reliability)], 1)[:, :, None, None]
        folded = functional.pixel_unshuffle(image, FOLD)
        inputs = [2 * folded - 1, detail, state.expand(-1, -1, *size), self._grain(detail)]
        fine = self.fine(self.enter(torch.cat([one.to(detail) for one in inputs], 1)))
        middle = self.middle(self.down_middle(self.fine_act(fine)))
        coarse = self.coarse(self.down_coarse(self.middle_act(middle)))
        middle = middle + functional.pixel_shuffle(self.up_middle(self.coarse_act(coarse)), 2)
        fine = fine + functional.pixel_shuffle(self.up_fine(self.up_act(middle)), 2)
        painted = self.leave(self.last_act(self.last(fine)))
        return image.float() + functional.pixel_shuffle(painted, FOLD).float()

    def _grain(self, detail: Tensor) -> Tensor:
        """Noise: new for every training batch, otherwise fixed by the picture's size."""
        batch, _, height, width = detail.shape
        if self.training:
            return torch.randn(batch, GRAIN_CHANNELS, height, width, device=detail.device)
        fixed = torch.Generator().manual_seed(GRAIN_SEED)
        return torch.randn(1, GRAIN_CHANNELS, height, width, generator=fixed).to(detail).expand(batch, -1, -1, -1)


def _residuals(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width) for _ in range(count)))

"""SwinJSCC (Yang et al., TCCN 2024) and WITT (Yang et al., ICASSP 2023), which is SwinJSCC in two of its four modes.

images -> patch_embed -> stages (merging + Swin blocks) -> norm -> by mode:

| mode | encoder, behind the norm | decoder, before its stages |
|---|---|---|
| base | head_list | head_list |
| sa | SNR ModNet, head_list | head_list, SNR ModNet |
| ra | rate ModNet, mask of the `rate` channels that score highest | |
| sa-ra | SNR ModNet, rate ModNet, mask | SNR ModNet |

Module names are those of the authors' checkpoints. Conditions are raw: the SNR in dB, the rate in channels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simulator.baselines.published.legacy_sort import index_order, legacy_order
from simulator.baselines.published.modnet import gates, mixers, modulation
from simulator.baselines.published.swin import DownStage, PatchEmbed, shuffle_up, swin_blocks, up_stage
from simulator.errors import UserError

MODES = ("base", "sa", "ra", "sa-ra")
TIES = ("legacy", "index")
Ties = Literal["legacy", "index"]


@dataclass(frozen=True)
class SwinConfig:
    """Sizes of a network.

    Attributes:
        mode: one of `MODES`.
        channels: C of the heads; None in the rate-adaptive modes, which have none.
        widths, depths, heads: per encoder stage; the decoder mirrors them.
        window: side of a window in tokens; every second block shifts by half of it.
    """

    mode: str = "sa-ra"
    channels: int | None = None
    widths: tuple[int, ...] = (128, 192, 256, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 6, 8, 10)
    window: int = 8

    def __post_init__(self) -> None:
        if self.mode not in MODES or self.rate_adaptive == (self.channels is not None):
            raise UserError(
                f"mode '{self.mode}' with channels {self.channels} is none of SwinJSCC's: modes are "
                f"{', '.join(MODES)}, and base and sa alone have channels"
            )
        if not 0 < len(self.widths) == len(self.depths) == len(self.heads):
            raise UserError("'widths', 'depths' and 'heads' of SwinJSCC must have one entry per stage each")

    @property
    def stride(self) -> int:
        """Pixels per latent token and side."""
        return 2 ** len(self.widths)

    @property
    def multiple(self) -> int:
        """What both sides of an image must be multiples of."""
        return self.stride * self.window

    @property
    def rate_adaptive(self) -> bool:
        """Whether channels are chosen per image."""
        return self.mode in ("ra", "sa-ra")

    @property
    def snr_adaptive(self) -> bool:
        """Whether the networks receive the SNR."""
        return self.mode in ("sa", "sa-ra")


@dataclass(frozen=True)
class Encoded:
    """What the encoder hands to the channel.

    Attributes:
        feature: [B, h, w, N], zero where nothing is sent; not yet of unit power.
        kept: bool [B, N], the channels that are sent.
        scores: [B, N] by which they were chosen; None where all are.
    """

    feature: Tensor
    kept: Tensor
    scores: Tensor | None = None


class Encoder(nn.Module):
    """Images to features."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        widths, last = config.widths, config.widths[-1]
        self.patch_embed = PatchEmbed(widths[0])
        sizes = zip((None, *widths), widths, config.depths, config.heads, strict=False)
        self.layers = nn.Sequential(*(DownStage(*size, config.window, config.window // 2) for size in sizes))
        self.norm = nn.LayerNorm(last)
        if not config.rate_adaptive:
            self.head_list = nn.Linear(last, config.channels or 0)
        self.bm_list, self.sm_list = gates(3 * last // 2), mixers(last, 3 * last // 2)
        if config.mode == "sa-ra":
            self.bm_list1, self.sm_list1 = gates(3 * last // 2), mixers(last, 3 * last // 2)

    def forward(self, images: Tensor, snr_db: Tensor, rate: int, ties: Ties = "legacy") -> Encoded:
        """Encode images [B, 3, H, W] in [0, 1].

        Args:
            images: both sides multiples of `config.multiple`.
            snr_db: [B], input of the SNR ModNet.
            rate: channels to keep, of the last width; ignored in the modes with a head.
            ties: which of equal scores are kept.
        """
        x = self.norm(self.layers(self.patch_embed(images)))
        mode = self.config.mode
        if mode == "sa":
            x = x * modulation(x, snr_db, self.sm_list, self.bm_list)
        if mode == "sa-ra":
            x = x * modulation(x, snr_db, self.sm_list1, self.bm_list1)
        if not self.config.rate_adaptive:
            feature = self.head_list(x)
            return Encoded(feature, torch.ones(len(x), feature.shape[-1], dtype=torch.bool, device=x.device))
        return self.select(x, rate, ties)

    def select(self, x: Tensor, rate: int, ties: Ties) -> Encoded:
        """Gate tokens [B, h, w, N] by the rate ModNet and keep the channels whose gates sum up highest.

        The gates are computed in float32 at least: many saturate at exactly 1, and only then are their sums equal.
        """
        with torch.autocast(x.device.type, enabled=False):
            exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            condition = torch.full((len(x),), float(rate), device=x.device)
            m = modulation(exact, condition, self.sm_list, self.bm_list)
            scores = m.sum((1, 2))
        kept = top_channels(scores, rate, ties)
        return Encoded(exact * m * kept[:, None, None], kept, scores)


def top_channels(scores: Tensor, rate: int, ties: Ties) -> Tensor:
    """bool [B, N]: the `rate` largest of each row of scores [B, N], equal ones in an explicit order."""
    order = legacy_order if ties == "legacy" else index_order
    kept = torch.zeros(scores.shape, dtype=torch.bool)
    for row, keys in zip(kept, scores.detach().cpu().numpy(), strict=True):
        row[torch.from_numpy(order(keys)[:rate])] = True
    return kept.to(scores.device)


class Upsample(nn.Module):
    """Double both sides: layer norm, Linear C -> 4 C_next, shuffle."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm, self.increment = nn.LayerNorm(width), nn.Linear(width, 4 * out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return shuffle_up(self.increment(self.norm(x)))


class Decoder(nn.Module):
    """Received features to images."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        widths, last, window = config.widths[::-1], config.widths[-1], config.window
        sizes = zip(widths, (*widths[1:], 3), config.depths[::-1], config.heads[::-1], strict=True)
        self.layers = nn.Sequential(
            *(
                up_stage(swin_blocks(width, depth, heads, window, window // 2), Upsample(width, out))
                for width, out, depth, heads in sizes
            )
        )
        if not config.rate_adaptive:
            self.head_list = nn.Linear(config.channels or 0, last)
        if config.mode != "ra":
            self.bm_list, self.sm_list = gates(3 * last // 2), mixers(last, 3 * last // 2)

    def forward(self, feature: Tensor, snr_db: Tensor) -> Tensor:
        """Images [B, 3, H, W], not clamped, of features [B, h, w, N] as received; snr_db is [B]."""
        x = feature if self.config.rate_adaptive else self.head_list(feature)
        if self.config.snr_adaptive:
            x = x * modulation(x, snr_db, self.sm_list, self.bm_list)
        return self.layers(x).permute(0, 3, 1, 2)


class SwinJscc(nn.Module):
    """Encoder and decoder of SwinJSCC or WITT."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)

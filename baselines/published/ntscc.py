"""NTSCC (Dai et al., JSAC 2022) with a hyperprior: as many symbols for each token of y as it has information.

images -> ga -> y -> fe -> s -> channel -> fd -> y_hat -> gs -> images
               |-> ha -> z -> hs -> what y costs -> index of a rate, per token

Module names are those of the authors' checkpoints. Maps are [B, h, w, C] here; the channel sees them channel by
channel, [B, C, h, w].
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator.baselines.published.hyperprior import (
    EntropyBottleneck,
    bits,
    hyper_analysis,
    hyper_synthesis,
    rate_probability,
)
from simulator.baselines.published.swin import DownStage, Mlp, PatchEmbed, shuffle_up, swin_blocks, up_stage

RATES = (16, 32, 48, 64, 80, 96, 102, 118, 134, 160, 186, 192, 208, 224, 240, 256)  # of the release; files bring theirs
STRIDE, MULTIPLE = 16, 64  # pixels per token and side; what both sides of an image must be multiples of
WIDTH, HEADS, HYPER = 256, 8, 192


@dataclass(frozen=True)
class NtsccConfig:
    """Sizes of a network.

    Attributes:
        width: of every map.
        heads: of every attention.
        hyper: channels of z.
        depths: blocks per stage of ga; gs mirrors them.
        coder_depth: blocks of fe and of fd.
        window, coder_window: of ga and gs, and of fe and fd, which never shift it.
        side_info: whether the receiver refines y by what z says.
    """

    width: int = WIDTH
    heads: int = HEADS
    hyper: int = HYPER
    depths: tuple[int, ...] = (1, 1, 2, 4)
    coder_depth: int = 4
    window: int = 8
    coder_window: int = 16
    side_info: bool = False


class Analysis(nn.Module):
    """ga: images [B, 3, H, W] -> y [B, H/16, W/16, width]."""

    def __init__(self, config: NtsccConfig) -> None:
        super().__init__()
        width = config.width
        self.patch_embed = PatchEmbed(width, norm=True)
        self.layers = nn.Sequential(
            *(
                DownStage(width if i else None, width, depth, config.heads, config.window, config.window // 2)
                for i, depth in enumerate(config.depths)
            )
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.layers(self.patch_embed(images)))


class Upsample(nn.Module):
    """Double both sides: shuffle, layer norm over a quarter of the channels, Linear back to all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.increment = nn.LayerNorm(width // 4), nn.Linear(width // 4, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.increment(self.norm(shuffle_up(x)))


class Synthesis(nn.Module):
    """gs: y_hat [B, H/16, W/16, width] -> images [B, 3, H, W], not clamped."""

    def __init__(self, config: NtsccConfig) -> None:
        super().__init__()
        width, heads, window = config.width, config.heads, config.window
        self.layers = nn.Sequential(
            *(
                up_stage(swin_blocks(width, depth, heads, window, window // 2), Upsample(width))
                for depth in config.depths[::-1]
            )
        )
        self.outconv = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        return self.outconv(self.layers(y).permute(0, 3, 1, 2))


class RateAdaption(nn.Module):
    """A matrix and a bias per rate, applied token by token."""

    rate_choice_tensor: Tensor

    def __init__(self, width: int, table: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(RATES), width, width))
        nn.init.trunc_normal_(self.weight, std=width**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(RATES), width))
        if table:
            self.register_buffer("rate_choice_tensor", torch.tensor(RATES))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """x [B, h, w, C] times the matrix that index [B, h, w] names, plus its bias."""
        out = torch.empty_like(x)
        for rate in index.unique().tolist():
            chosen = index == rate
            out[chosen] = (x[chosen] @ self.weight[rate] + self.bias[rate]).to(out.dtype)
        return out


def coder_layers(config: NtsccConfig) -> nn.Sequential:
    """The blocks of fe and fd, whose windows never shift: they cover the maps that they were made for."""
    return nn.Sequential(DownStage(None, config.width, config.coder_depth, config.heads, config.coder_window, shift=0))


class ChannelEncoder(nn.Module):
    """fe: tokens and their probabilities to as many channel inputs as each token's rate says."""

    rate_choice_tensor: Tensor

    def __init__(self, config: NtsccConfig) -> None:
        super().__init__()
        width = config.width
        self.rate_token = nn.Parameter(torch.zeros(len(RATES), width))
        self.register_buffer("rate_choice_tensor", torch.tensor(RATES))
        self.layers = coder_layers(config)
        self.rate_adaption = RateAdaption(width, table=True)
        self.refine = Mlp(2 * width, 8 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, y: Tensor, probability: Tensor, index: Tensor) -> Tensor:
        """y and its probabilities [B, h, w, C], index [B, h, w] -> s [B, h, w, C], not yet masked."""
        x = y + self.refine(torch.cat([1 - probability, y], -1))
        x = self.layers(x + self.rate_token[index])
        return self.rate_adaption(self.norm(x), index)

    def active(self, index: Tensor) -> Tensor:
        """bool [B, h, w, C]: of every token the first channels, as many as its rate."""
        rates = self.rate_adaption.rate_choice_tensor[index]
        return torch.arange(self.norm.normalized_shape[0], device=index.device) < rates[..., None]


class ChannelDecoder(nn.Module):
    """fd: received channel inputs to y_hat."""

    rate_choice_tensor: Tensor

    def __init__(self, config: NtsccConfig) -> None:
        super().__init__()
        self.rate_token = nn.Parameter(torch.zeros(len(RATES), config.width))
        self.register_buffer("rate_choice_tensor", torch.tensor(RATES))
        self.layers = coder_layers(config)
        self.rate_adaption = RateAdaption(config.width, table=False)

    def forward(self, s: Tensor, index: Tensor) -> Tensor:
        """s [B, h, w, C], zero where nothing was sent, index [B, h, w] -> y_hat [B, h, w, C]."""
        return self.layers(self.rate_adaption(s, index) + self.rate_token[index])


@dataclass(frozen=True)
class Latent:
    """y and what the hyperprior says of it: [B, h, w, C] each, z_hat [B, hyper, h/4, w/4]."""

    y: Tensor
    z_hat: Tensor
    scales: Tensor
    means: Tensor
    probability: Tensor


class Ntscc(nn.Module):
    """The whole network."""

    def __init__(self, config: NtsccConfig) -> None:
        super().__init__()
        self.config = config
        self.ga, self.gs = Analysis(config), Synthesis(config)
        self.ha = hyper_analysis(config.width, config.hyper)
        self.hs = hyper_synthesis(config.width, config.hyper)
        self.entropy_bottleneck = EntropyBottleneck(config.hyper)
        self.fe, self.fd = ChannelEncoder(config), ChannelDecoder(config)
        if config.side_info:
            self.hyprior_refinement = Mlp(3 * config.width, 6 * config.width, config.width)

    def analyse(self, images: Tensor) -> Latent:
        """Images [B, 3, H, W] in [0, 1], both sides multiples of 64, to y and its probabilities.

        The hyperprior computes in float32 or better at any surrounding precision, because rates depend on its tails.
        """
        y = self.ga(images)
        with torch.autocast(y.device.type, enabled=False):
            y = y.float() if y.dtype in (torch.bfloat16, torch.float16) else y
            z_hat = self.entropy_bottleneck.quantise(self.ha(y.permute(0, 3, 1, 2)))
            scales, means = self.hyper(z_hat)
            return Latent(y, z_hat, scales, means, rate_probability(y, scales, means))

    def hyper(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of y, [B, h, w, C] each."""
        scales, means = self.hs(z_hat).permute(0, 2, 3, 1).chunk(2, -1)
        return scales, means

    def wanted(self, latent: Latent) -> Tensor:
        """Bits of information of every token, [B, h, w]; times eta: the channel inputs that it asks for."""
        return bits(latent.probability).sum(-1)

    def index(self, inputs: Tensor) -> Tensor:
        """Index of the smallest rate that is not below `inputs`, or of the largest: int64 of the same shape."""
        table = self.fe.rate_choice_tensor.to(inputs.dtype)
        return torch.searchsorted(table, inputs.contiguous()).clamp_max(len(RATES) - 1)

    def encode(self, latent: Latent, index: Tensor) -> tuple[Tensor, Tensor]:
        """s [B, C, h, w], zero where nothing is sent, and what is sent: bool of the same shape."""
        active = self.fe.active(index)
        s = self.fe(latent.y, latent.probability, index) * active
        return s.permute(0, 3, 1, 2), active.permute(0, 3, 1, 2)

    def decode(self, s: Tensor, index: Tensor, z_hat: Tensor | None = None) -> Tensor:
        """Images [B, 3, H, W], not clamped, of s [B, C, h, w] as received; z_hat only where `side_info` is set."""
        y = self.fd(s.permute(0, 2, 3, 1).contiguous(), index)
        if self.config.side_info:
            if z_hat is None:
                raise ValueError("a network with side information decodes with z_hat")
            scales, means = self.hyper(z_hat)
            y = y + self.hyprior_refinement(torch.cat([y, means, scales], -1))
        return self.gs(y)

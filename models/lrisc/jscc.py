"""f_e and f_d (Fig. 2): transformer blocks, rate tokens, one FC layer per rate, and the SNR-adaptive module.

Both networks see latent vectors divided by their channel deviations, as grids [B, h, w, C]. What f_e emits has V
real columns per vector, of which the first v_q are sent. Both know rate, SNR and fidelity (`Aim`): the least squared
error wants other components, and other powers, than LPIPS. Both start as truncated identities around the linear codec
of `allocation.py`.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.allocation import Power, PowerAllocation
from simulator.models.lrisc.config import LriscConfig
from simulator.models.lrisc.layers import FidelityAdapter, zeroed
from simulator.models.lrisc.signals import Aim
from simulator.models.lrisc.snr import FIDELITY_UNIT, SilentSnrAdaptation, SnrAdaptation

WEAKEST = 1e-6  # |h|^2 below which a symbol is as good as lost; keeps the noise after equalisation finite
TOKEN_SNR_DB = (-10.0, 25.0)  # range of the receiver's SNR module's input


class WindowAttention(nn.Module):
    """Multi-head attention within square windows, with learnt relative position biases (Swin)."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        channels, self.heads, self.window = config.latent_channels, config.jscc_heads, config.jscc_window
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = zeroed(nn.Linear(channels, channels))
        side = torch.arange(self.window)
        rows, columns = torch.meshgrid(side, side, indexing="ij")
        offset_rows = rows.reshape(-1, 1) - rows.reshape(1, -1) + self.window - 1
        offset_columns = columns.reshape(-1, 1) - columns.reshape(1, -1) + self.window - 1
        index = offset_rows * (2 * self.window - 1) + offset_columns
        self.index: Tensor  # [window^2, window^2]
        self.register_buffer("index", index, persistent=False)
        self.bias = nn.Parameter(torch.zeros((2 * self.window - 1) ** 2, self.heads))

    def forward(self, x: Tensor, shift: int) -> Tensor:
        """[B, h, w, C] -> same; windows start `shift` vectors outside the grid."""
        batch, height, width, channels = x.shape
        side = self.window
        below, right = -(height + shift) % side, -(width + shift) % side
        x = F.pad(x, (0, 0, shift, right, shift, below))
        inside = F.pad(x.new_ones(height, width), (shift, right, shift, below))
        rows, columns = x.shape[1] // side, x.shape[2] // side

        def split(grid: Tensor) -> Tensor:  # [n, rows * side, columns * side, c] -> [n * windows, side^2, c]
            grid = grid.reshape(-1, rows, side, columns, side, grid.shape[-1])
            return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, grid.shape[-1])

        windows = split(x)
        keys = split(inside[None, :, :, None]).repeat(batch, 1, 1)[:, None, None, :, 0]  # [n, 1, 1, side^2]
        bias = self.bias[self.index].permute(2, 0, 1)  # [heads, side^2, side^2]
        qkv = self.qkv(windows).reshape(len(windows), side * side, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mask = (bias + (keys - 1) * 1e4).to(qkv.dtype)
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=mask)
        out = self.project(out.transpose(1, 2).reshape(len(windows), side * side, channels))
        out = out.reshape(batch, rows, columns, side, side, channels).permute(0, 1, 3, 2, 4, 5)
        out = out.reshape(batch, rows * side, columns * side, channels)
        return out[:, shift : shift + height, shift : shift + width]


class TransformerBlock(nn.Module):
    """Window attention and a two-layer perceptron, both residual and silent at the start, an adapter after each."""

    def __init__(self, config: LriscConfig, shifted: bool) -> None:
        super().__init__()
        channels = config.latent_channels
        self.shift = config.jscc_window // 2 if shifted else 0
        self.norm1, self.attention = nn.LayerNorm(channels), WindowAttention(config)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), zeroed(nn.Linear(2 * channels, channels))
        )
        self.faithful = nn.ModuleList(_adapter(config) for _ in range(2))

    def forward(self, x: Tensor, fidelity: Tensor | None) -> Tensor:
        """[B, h, w, C] -> same; fidelity as adapters take it (`Aim.faithful`)."""
        attended, transformed = self.faithful
        x = attended(x + self.attention(self.norm1(x), self.shift), fidelity)
        return transformed(x + self.mlp(self.norm2(x)), fidelity)


class RateLayers(nn.Module):
    """One FC layer per rate level; each vector goes through the layer of its level."""

    def __init__(self, layers: Iterable[nn.Linear]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def __iter__(self) -> Iterator[nn.Linear]:
        return (layer for layer in self.layers if isinstance(layer, nn.Linear))

    def forward(self, x: Tensor, levels: Tensor, width: int) -> Tensor:
        """x [n, in], levels int64 [n] -> [n, width]; a layer narrower than its input reads the first columns."""
        order = levels.argsort(stable=True)
        parts = x[order].split(torch.bincount(levels, minlength=len(self.layers)).tolist())
        outputs = [layer(part[:, : layer.in_features]) for part, layer in zip(parts, self, strict=True)]
        padded = torch.cat([F.pad(out, (0, width - out.shape[1])) for out in outputs])
        return padded[order.argsort()]


class JsccEncoder(nn.Module):
    """f_e: z_i fused with its rate token -> N_e transformer blocks -> SNR module -> FC of its rate -> power -> s_i."""

    def __init__(self, config: LriscConfig, adaptive: bool = True) -> None:
        super().__init__()
        channels = config.latent_channels
        self.tokens = nn.Embedding(len(config.rate_levels), channels)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.fidelity_token = nn.Parameter(torch.zeros(channels))
        self.blocks = nn.ModuleList(TransformerBlock(config, i % 2 == 1) for i in range(config.jscc_blocks))
        self.snr = _snr_module(config, adaptive)
        self.faithful = _adapter(config)
        self.widest = config.rate_levels[-1]
        self.rates = RateLayers(nn.Linear(channels, v) for v in config.rate_levels)
        self.start(torch.ones(channels))

    @torch.no_grad()
    def start(self, deviations: Tensor) -> None:
        """Let component j be channel j of z in its own units: truncated identities times `deviations` [C]."""
        for layer in self.rates:
            layer.weight.copy_(torch.diag(deviations)[: layer.out_features])
            layer.bias.zero_()

    def components(self, features: Tensor, levels: Tensor, aim: Aim) -> Tensor:
        """What each vector sends, before power: [B, h * w, V_max], zero beyond its v_q columns."""
        own = aim.faithful
        x = features + self.tokens(levels) + _fidelity_token(aim, self.fidelity_token)
        for block in self.blocks:
            x = block(x, own)
        x = x.flatten(1, 2)  # [B, L, C]
        if aim.adapt:
            x = self.snr(x, aim.snr_db[:, None], aim.fidelity)
        x = self.faithful(x, own)
        return self.rates(x.flatten(0, 1), levels.flatten(), self.widest).unflatten(0, x.shape[:2])

    def forward(self, features: Tensor, levels: Tensor, allocation: PowerAllocation, power: Power, aim: Aim) -> Tensor:
        """Map features to unnormalised symbol components.

        Args:
            features: z over channel deviations, [B, h, w, C].
            levels: index into V per vector, int64 [B, h, w].
            allocation: spreads the common columns over the grid.
            power: what it allots to these levels at this SNR.
            aim: of the images.

        Returns:
            float32 [B, h * w, V_max], zero where nothing is sent; mean power about one where something is.
        """
        grid = (levels.shape[1], levels.shape[2])
        return allocation.spread(self.components(features, levels, aim), grid) * power.gain


class JsccDecoder(nn.Module):
    """f_d, after `mmse`: FC of each rate -> SNR module -> rate tokens and transformer blocks -> estimate of z."""

    def __init__(self, config: LriscConfig, adaptive: bool = True) -> None:
        super().__init__()
        channels = config.latent_channels
        self.rates = RateLayers(nn.Linear(v, channels) for v in config.rate_levels)
        self.faithful = _adapter(config)
        self.snr = _snr_module(config, adaptive)
        self.tokens = nn.Embedding(len(config.rate_levels), channels)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.fidelity_token = nn.Parameter(torch.zeros(channels))
        self.blocks = nn.ModuleList(TransformerBlock(config, i % 2 == 1) for i in range(config.jscc_blocks))
        self.start(torch.ones(channels))

    @torch.no_grad()
    def start(self, deviations: Tensor) -> None:
        """Undo `JsccEncoder.start`."""
        for layer in self.rates:
            layer.weight.copy_(torch.diag(1 / deviations)[:, : layer.in_features])
            layer.bias.zero_()

    def forward(
        self, estimate: Tensor, levels: Tensor, allocation: PowerAllocation, token_snr_db: Tensor, aim: Aim
    ) -> Tensor:
        """Estimate the features from linear estimates of what was sent.

        Args:
            estimate: of each component in f_e's own scale, [B, h * w, V_max], zero where nothing was sent.
            levels: int64 [B, h, w].
            allocation: that of the transmitter.
            token_snr_db: Es/N0 of the symbols of each vector, [B, h * w] or [B, 1].
            aim: of the images.

        Returns:
            Estimate of z over channel deviations, [B, h, w, C].
        """
        own = aim.faithful
        x = allocation.gather(estimate, (levels.shape[1], levels.shape[2]))
        x = self.rates(x.flatten(0, 1), levels.flatten(), self.tokens.embedding_dim)
        x = self.faithful(x.unflatten(0, estimate.shape[:2]), own)
        if aim.adapt:
            x = self.snr(x, token_snr_db, aim.fidelity)
        x = x.unflatten(1, levels.shape[1:]) + self.tokens(levels)
        x = x + _fidelity_token(aim, self.fidelity_token)
        for block in self.blocks:
            x = block(x, own)
        return x


def _adapter(config: LriscConfig) -> FidelityAdapter:
    def layer() -> nn.Linear:
        return nn.Linear(config.latent_channels, config.latent_channels, bias=False)

    return FidelityAdapter(layer(), layer() if config.own_adapters else None)


def _snr_module(config: LriscConfig, adaptive: bool) -> SnrAdaptation:
    kind = SnrAdaptation if adaptive else SilentSnrAdaptation
    return kind(config.latent_channels, config.snr_expansion, config.snr_hidden)


def _fidelity_token(aim: Aim, token: Tensor) -> Tensor:
    """The part of a token [C] that each image's fidelity adds to all of its vectors, [B, 1, 1, C]."""
    return (aim.fidelity * FIDELITY_UNIT)[:, None, None, None] * token


def mmse(noise: Tensor, mask: Tensor, power: Power) -> Tensor:
    """The linear receiver: what to multiply each received component by for the least expected squared error.

    Args:
        noise: variance of the error on each component after equalisation, broadcastable to `mask`.
        mask: columns that are sent, bool [B, L, V_max].
        power: what the transmitter allotted.

    Returns:
        g v / (g^2 v + noise), float32 [B, L, V_max]; 0 for components that were not sent or have no power.
    """
    variance, gain = power.variance, power.gain
    return gain * variance / (gain.square() * variance + noise).clamp_min(1e-12) * mask


def expected_error(weight: Tensor, common: int, power: Power) -> Tensor:
    """Share of each component's variance that the linear receiver leaves unknown: what f_d has to work with.

    Args:
        weight: that of the receiver (`mmse`), [B, L, V_max].
        common: first columns, which cross as frequencies of the grid: an error there affects all vectors.
        power: what the transmitter allotted.

    Returns:
        float32 [B, L, V_max] in [0, 1]: 0 where a component is known exactly, 1 where nothing of it arrived.
    """
    error = (1 - power.gain * weight).clamp_min(0)
    variance = power.variance[..., :common]
    shared = (error[..., :common] * variance).sum(dim=1, keepdim=True) / variance.sum(dim=1, keepdim=True)
    return torch.cat([shared.expand(-1, error.shape[1], -1), error[..., common:]], dim=2)


def sent_mask(levels: Tensor, values: Tensor) -> Tensor:
    """Which columns are sent: levels int64 [B, L], values V float [2^n] -> bool [B, L, V_max]."""
    columns = torch.arange(int(values[-1]), device=levels.device)
    return columns < values.to(levels.device)[levels][..., None]


def effective_snr_db(noise_variance: Tensor, mask: Tensor) -> Tensor:
    """Es/N0 over AWGN with the mean MMSE of each vector's symbols: 1 / mean(1 / (1 + snr)) - 1, in dB.

    A mean of 1 / snr would be dominated by the symbol in the deepest fade: over Rayleigh fading it diverges.

    Args:
        noise_variance: relative to the symbol's power, of every component, [B, L, V].
        mask: components that are sent, bool [B, L, V], true somewhere in every vector.

    Returns:
        float [B, L], within TOKEN_SNR_DB.
    """
    error = (mask * noise_variance / (1 + noise_variance)).sum(dim=2) / mask.sum(dim=2)
    return (10 * ((1 - error).clamp_min(1e-9) / error).log10()).clamp(*TOKEN_SNR_DB)

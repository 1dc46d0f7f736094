"""Building blocks shared by the transforms and the U-Net. Spatial sizes are kept."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class ChannelNorm(nn.Module):
    """Layer normalisation over channels at each pixel, so that a crop and a whole image are treated the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return normed.permute(0, 3, 1, 2)


class FidelityAdapter(nn.Module):
    """x + f W x + (1 - f) V x with f = fidelity: residual adapters (Rebuffi et al. 2018) that start at zero.

    W is what the PSNR end adds, V (where there is one) what the perception end adds.
    """

    def __init__(self, layer: Layer, perceptual: Layer | None = None) -> None:
        super().__init__()
        self.layer: nn.Module = zeroed(layer)
        self.perceptual: nn.Module | None = None if perceptual is None else zeroed(perceptual)

    def forward(self, x: Tensor, fidelity: Tensor | None) -> Tensor:
        """x [B, ...], fidelity [B] or None (`Aim.faithful`) -> as x."""
        if fidelity is None:
            return x if self.perceptual is None else x + self.perceptual(x)
        share = fidelity.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        adapted = x + share * self.layer(x)
        return adapted if self.perceptual is None else adapted + (1 - share) * self.perceptual(x)


class ResBlock(nn.Module):
    """x + conv(silu(conv(norm(x)) scaled and shifted by the time embedding)); starts as the identity.

    Adapters precede the second nonlinearity and follow the sum; a network that serves one end alone has none.
    """

    def __init__(self, channels: int, embedding: int = 0, adapters: bool = True) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = zeroed(nn.Linear(embedding, 2 * channels)) if embedding else None
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        kernels = [nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2 if adapters else 0)]
        self.faithful = nn.ModuleList(FidelityAdapter(kernel) for kernel in kernels)

    def forward(self, x: Tensor, embedding: Tensor | None = None, fidelity: Tensor | None = None) -> Tensor:
        h = self.conv1(self.norm(x))
        if self.modulation is not None:
            scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
            h = torch.addcmul(shift, h, 1 + scale)
        if not self.faithful:
            return x + self.conv2(F.silu(h))
        inside, after = self.faithful
        return after(x + self.conv2(F.silu(inside(h, fidelity))), fidelity)


class _Attention(nn.Module):
    """What the two kinds of attention share: pre-norm, projections, and an end that starts at zero."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zeroed(nn.Conv2d(channels, channels, 1))


class SpatialAttention(_Attention):
    """Residual multi-head attention over all pixels of a feature map; starts as the identity."""

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)  # [B, HW, 3C]
        qkv = qkv.reshape(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])  # [B, heads, HW, C / heads]
        out = out.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return x + self.project(out)


class LinearAttention(_Attention):
    """Attention with cost linear in the pixels (Shen et al. 2021), for the levels of high resolution."""

    def forward(self, x: Tensor) -> Tensor:  # [B, C, H, W]
        batch, channels, height, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, -1, height * width).unbind(1)
        context = torch.einsum("bhdn,bhen->bhde", k.softmax(dim=-1), v)  # [B, heads, d, d]
        out = torch.einsum("bhde,bhdn->bhen", context, q.softmax(dim=-2))
        return x + self.project(out.reshape(batch, channels, height, width))


def zeroed(module: Layer) -> Layer:
    """Zero a layer's weights, so that the branch it ends adds nothing at the start."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module

"""Swin transformer layers that SwinJSCC, WITT and NTSCC share (Liu et al. 2021). Maps are [B, H, W, C] throughout."""

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OTHER_REGION = -100.0  # added to the logit of two tokens that are neighbours only because the map was rolled


class Mlp(nn.Module):
    """fc2(GELU(fc1(x))) over the last axis."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class WindowAttention(nn.Module):
    """Self-attention inside windows of `window` x `window` tokens, with a learned bias per relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows of [B, H, W, C], already rolled; H and W are multiples of the window."""
        batch, height, width, channels = x.shape
        rows, columns, side = height // self.window, width // self.window, self.window
        qkv = self.qkv(x).view(batch, rows, side, columns, side, 3 * channels)
        mixed = qkv.new_empty(batch, rows, side, columns, side, channels)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)  # [heads, w^2, w^2]
        for part, down, across in _window_groups(rows, columns, bool(self.shift)):
            index = (slice(None), part[0], slice(None), part[1])
            group = qkv[index].permute(0, 1, 3, 2, 4, 5)  # [B, r, c, w, w, 3C]
            shape = group.shape[:5]
            tokens = group.reshape(-1, side * side, 3, self.heads, channels // self.heads)
            q, k, v = tokens.permute(2, 0, 3, 1, 4)  # each [windows, heads, w^2, C / heads]
            allowed = bias + region_mask(side, self.shift, down, across).to(bias)
            out = attend(q, k, v, allowed[None].to(q.dtype)).transpose(1, 2).reshape(*shape, channels)
            mixed[index] = out.permute(0, 1, 3, 2, 4, 5)
        return self.proj(mixed.view(batch, height, width, channels))


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k / sqrt(d) + bias) v for [windows, heads, tokens, d]; the bias is broadcast over windows."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def relative_positions(window: int) -> Tensor:
    """Row of the bias table for every (query, key) pair of a window: int64 [window^2, window^2]."""
    axis = torch.arange(window)
    row, column = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    down = row[:, None] - row[None, :] + window - 1
    across = column[:, None] - column[None, :] + window - 1
    return down * (2 * window - 1) + across


def region_mask(window: int, shift: int, down: bool, across: bool) -> Tensor:
    """What a rolled map's last row (`down`) or column (`across`) of windows adds to its logits: [w^2, w^2]."""
    axis = torch.arange(window)
    late_row, late_column = ((axis >= window - shift) & bool(shift and edge) for edge in (down, across))
    region = (2 * late_row[:, None] + late_column[None, :]).flatten()
    return OTHER_REGION * (region[:, None] != region[None, :])


def _window_groups(rows: int, columns: int, shifted: bool) -> list[tuple[tuple[slice, slice], bool, bool]]:
    """Windows that share one mask: of a rolled map the inner ones, its last row, its last column, its last corner."""
    if not shifted:
        return [((slice(None), slice(None)), False, False)]
    vertical, horizontal = (((slice(0, n - 1), False), (slice(n - 1, n), True)) for n in (rows, columns))
    groups = [((r, c), down, across) for r, down in vertical for c, across in horizontal]
    return [one for one in groups if one[0][0].stop and one[0][1].stop]


def _in_autocast(x: Tensor) -> Tensor:
    """x in the precision that autocast multiplies in; unchanged outside of autocast."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def lowered(net: nn.Module, exact: tuple[str, ...]) -> nn.Module:
    """A copy whose layers hold bfloat16 weights, so that autocast need not round them at every call.

    Args:
        net: in float32.
        exact: names of modules that keep float32, as they compute in it.
    """
    net = copy.deepcopy(net)
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not any(part in exact for part in name.split(".")):
            module.to(torch.bfloat16)
    return net


class SwinBlock(nn.Module):
    """Window attention and an MLP, each behind a layer norm and around a residual sum."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window, shift)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H, W, C]; a map that no windows tile is filled up with zeros behind the norm."""
        height, width = x.shape[1:3]
        window, shift = self.attn.window, self.attn.shift
        t = _in_autocast(self.norm1(x))  # rolled and cut at half the size
        if height % window or width % window:
            t = F.pad(t, (0, 0, 0, -width % window, 0, -height % window))
        if shift:
            t = torch.roll(t, (-shift, -shift), (1, 2))
        t = self.attn(t)
        if shift:
            t = torch.roll(t, (shift, shift), (1, 2))
        x = x + t[:, :height, :width]
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Images [B, 3, H, W] -> [B, H/2, W/2, C] by a 2x2 convolution, with a layer norm if asked for."""

    def __init__(self, width: int, norm: bool = False) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 2, stride=2)
        self.norm = nn.LayerNorm(width) if norm else None

    def forward(self, images: Tensor) -> Tensor:
        x = self.proj(images).permute(0, 2, 3, 1).contiguous()
        return x if self.norm is None else self.norm(x)


class PatchMerging(nn.Module):
    """Halve both sides: 2x2 neighbours side by side (column by column), layer norm, Linear."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(x.reshape(batch, height // 2, width // 2, 4 * channels)))


def shuffle_up(x: Tensor) -> Tensor:
    """[B, H, W, 4C] -> [B, 2H, 2W, C]: channel 4c + 2 dy + dx goes to channel c at (2h + dy, 2w + dx)."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height, width, channels // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, 2 * height, 2 * width, channels // 4)


def swin_blocks(width: int, depth: int, heads: int, window: int, shift: int) -> nn.Sequential:
    """`depth` blocks, of which every second one rolls its map by `shift`."""
    return nn.Sequential(*(SwinBlock(width, heads, window, shift if k % 2 else 0) for k in range(depth)))


def up_stage(blocks: nn.Sequential, upsample: nn.Module) -> nn.Sequential:
    """Blocks, then upsampling."""
    return nn.Sequential(OrderedDict(blocks=blocks, upsample=upsample))


class DownStage(nn.Module):
    """Patch merging unless `before` (its input's width) is None, then blocks."""

    def __init__(self, before: int | None, width: int, depth: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.downsample = None if before is None else PatchMerging(before, width)
        self.blocks = swin_blocks(width, depth, heads, window, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x if self.downsample is None else self.downsample(x))

"""The published systems by name: how sizes of a network are read off a checkpoint, and what else a file may hold."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from simulator.baselines.published.adjscc import Adjscc, AdjsccConfig
from simulator.baselines.published.ntscc import Ntscc, NtsccConfig
from simulator.baselines.published.swinjscc import MODES, SwinConfig, SwinJscc
from simulator.errors import UserError
from simulator.spec.configuration import MAX_SIZE

State = Mapping[str, Tensor]
_STAGE = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight")


@dataclass(frozen=True)
class Family:
    """One published system.

    Attributes:
        title: of the system and its paper.
        config: dataclass of a network's sizes, as cards hold it under "model".
        make: builds the network.
        infer: sizes of the network that a state dict is of, given the mode that a user names or None.
        signature: a key that only this system's checkpoints have.
        extra: pattern of keys that a file may hold beside the network's: buffers that depend on a resolution, metrics.
    """

    title: str
    config: type[Any]
    make: Callable[[Any], nn.Module]
    infer: Callable[[State, str | None], Any]
    signature: str
    extra: re.Pattern[str]


def _row(state: State, key: str, axis: int = 0) -> int:
    """One size of a tensor that a network of this kind must have."""
    tensor = state.get(key)
    if tensor is None or tensor.dim() <= axis or not 0 < tensor.shape[axis] <= MAX_SIZE:
        raise UserError(f"'{key}' is missing or of a shape that no such network has")
    return int(tensor.shape[axis])


def _stages(state: State, prefix: str) -> list[tuple[int, int, int, int]]:
    """(width, depth, heads, window) of every stage under `prefix`."""
    depths: dict[int, int] = {}
    for key in state:
        if key.startswith(prefix) and (found := _STAGE.fullmatch(key[len(prefix) :])):
            stage, block = int(found[1]), int(found[2])
            depths[stage] = max(depths.get(stage, 0), block + 1)
    if sorted(depths) != list(range(len(depths))) or not 0 < len(depths) <= 8 or max(depths.values()) > 64:
        raise UserError(f"it has no sound list of stages '{prefix}layers'")
    stages = []
    for stage, depth in sorted(depths.items()):
        first = f"{prefix}layers.{stage}.blocks.0."
        table = f"{first}attn.relative_position_bias_table"
        side = round(_row(state, table) ** 0.5)
        stages.append((_row(state, f"{first}norm1.weight"), depth, _row(state, table, 1), (side + 1) // 2))
    return stages


def swin_mode(state: State, mode: str | None) -> str:
    """Which of SwinJSCC's modes a state dict is of; keys tell all but `base` from `sa`.

    Raises:
        UserError: neither keys nor the user say which of the two it is, or they disagree.
    """
    if "encoder.bm_list1.0.fc.0.weight" in state:
        told: tuple[str, ...] = ("sa-ra",)
    elif "decoder.bm_list.0.fc.0.weight" not in state:
        told = ("ra",)
    else:
        told = ("base", "sa")
    if mode is not None and mode not in MODES:
        raise UserError(f"there is no mode '{mode}'; modes are {', '.join(MODES)}")
    if mode is None and len(told) > 1:
        raise UserError("its keys fit both mode base and mode sa; add :mode=base or :mode=sa, as in its file name")
    if mode is not None and mode not in told:
        raise UserError(f"its keys are those of mode {' or '.join(told)}, not of {mode}; name that mode or none")
    return mode or told[0]


def _infer_swin(state: State, mode: str | None) -> SwinConfig:
    mode = swin_mode(state, mode)
    stages = _stages(state, "encoder.")
    widths, depths, heads, windows = (tuple(column) for column in zip(*stages, strict=True))
    channels = _row(state, "encoder.head_list.weight") if mode in ("base", "sa") else None
    return SwinConfig(mode, channels, widths, depths, heads, windows[0])


def _infer_witt(state: State, mode: str | None) -> SwinConfig:
    config = _infer_swin(state, mode)
    if config.rate_adaptive:
        raise UserError(f"its keys are those of SwinJSCC in mode {config.mode}; import it --as swinjscc")
    return config


def _infer_ntscc(state: State, mode: str | None) -> NtsccConfig:
    if mode is not None:
        raise UserError("ntscc has no modes; leave out mode=")
    stages, coder = _stages(state, "ga."), _stages(state, "fe.")[0]
    _check_rates(state)
    return NtsccConfig(
        width=_row(state, "ga.norm.weight"),
        heads=stages[0][2],
        hyper=_row(state, "entropy_bottleneck.quantiles"),
        depths=tuple(depth for _, depth, _, _ in stages),
        coder_depth=coder[1],
        window=stages[0][3],
        coder_window=coder[3],
        side_info=any(key.startswith("hyprior_refinement.") for key in state),
    )


def _check_rates(state: State) -> None:
    names = ("fe.rate_choice_tensor", "fe.rate_adaption.rate_choice_tensor", "fd.rate_choice_tensor")
    tables = [state[name].tolist() for name in names if name in state]
    if not tables or any(table != tables[0] for table in tables):
        raise UserError("its tables of rates are missing or differ; the file is damaged")
    if any(rate % 2 for rate in tables[0]) or sorted(tables[0]) != tables[0] or tables[0][0] < 0:
        raise UserError(f"its rates {tables[0]} are not even and rising, so that they make no complex symbols")


def _infer_adjscc(state: State, mode: str | None) -> AdjsccConfig:
    if mode is not None:
        raise UserError("adjscc has no modes; leave out mode=")
    return AdjsccConfig(_row(state, "Encoder.conv_block5.0.weight"), _row(state, "Encoder.conv_block1.0.weight"))


_SWIN_EXTRA = re.compile(
    r".*\.attn_mask|.*\.relative_position_index|distortion_loss\.dist\.(window|weights)|(en|de)coder\.head_list\..*"
)
_NTSCC_EXTRA = re.compile(
    r".*\.attn_mask|.*\.relative_position_index|fe\.rate_adaption\.mask|gaussian_conditional\..*"
    r"|entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound\.bound)"
)
_ADJSCC_EXTRA = re.compile(
    r"distortion_loss.*|MS_SSIM\.(window|weights)|Discriminator\.(latent|d_conv_(head|0|1|a|b))"
    r"\.(weight|bias|weight_orig|weight_u|weight_v)"
)

FAMILIES = {
    "swinjscc": Family(
        "SwinJSCC (Yang et al., TCCN 2024)", SwinConfig, SwinJscc, _infer_swin, "encoder.patch_embed.proj.weight",
        _SWIN_EXTRA,
    ),
    "witt": Family(
        "WITT (Yang et al., ICASSP 2023)", SwinConfig, SwinJscc, _infer_witt, "encoder.patch_embed.proj.weight",
        _SWIN_EXTRA,
    ),
    "ntscc": Family(
        "NTSCC (Dai et al., JSAC 2022)", NtsccConfig, Ntscc, _infer_ntscc, "ga.patch_embed.proj.weight", _NTSCC_EXTRA
    ),
    "adjscc": Family(
        "ADJSCC (Xu et al., TCSVT 2022)", AdjsccConfig, Adjscc, _infer_adjscc, "Encoder.conv_block1.0.weight",
        _ADJSCC_EXTRA,
    ),
    "pdjscc-published": Family(
        "PDJSCC's generator (Wang et al., GLOBECOM 2022)", AdjsccConfig, Adjscc, _infer_adjscc,
        "Encoder.conv_block1.0.weight", _ADJSCC_EXTRA,
    ),
}  # fmt: skip


def looks_like(state: State) -> list[str]:
    """The systems whose checkpoints have such keys."""
    return [name for name, family in FAMILIES.items() if family.signature in state]

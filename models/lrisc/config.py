"""The numbers that turn one set of classes into the paper's network or the compact one that ships."""

from dataclasses import dataclass

from simulator.errors import UserError
from simulator.spec.configuration import check_sizes

STRIDE = 16  # of g_e: one latent vector z_i per 16 x 16 pixels
MAX_WINDOW = 32  # attention between all pairs of its vectors
RATES = ("entropy", "fixed")


@dataclass(frozen=True)
class Variant:
    """Which parts an ablation leaves out; the default is all of LRISC. No network changes its size.

    Attributes:
        snr_module: whether f_e and f_d pass through the SNR module (Fig. 3). The power allocation of the linear codec
            knows the SNR either way.
        rates: "entropy" guides each vector's rate (eq. 3); "fixed" gives all the same rate and needs no rate map.
    """

    snr_module: bool = True
    rates: str = "entropy"

    def __post_init__(self) -> None:
        if self.rates not in RATES:
            raise UserError(f"'rates' of 'variant' must be one of {', '.join(RATES)}, not '{self.rates}'")


@dataclass(frozen=True)
class LriscConfig:
    """Sizes of every network of LRISC.

    Attributes:
        latent_channels: C, the length of a latent vector z_i.
        latent_scale: step size of z relative to pixels in [-1, 1] at the linear start.
        transform_channels: channels of g_e after each of its downsamplings.
        transform_patch: side of the pixel blocks that g_e folds into channels before its first convolution.
        hyper_channels: channels of the hyper-latent y.
        rate_levels: V, real dimensions that each of the 2^n rate tokens stands for; even, ascending.
        jscc_blocks: N_e, transformer blocks in f_e and in f_d.
        jscc_heads: attention heads.
        jscc_window: side of an attention window, in latent vectors.
        snr_expansion: hidden width of the SNR module over C (1.5 in SwinJSCC).
        snr_hidden: hidden width of its modulations, functions of one number.
        unet_patch: side of the pixel blocks folded into channels before the U-Net (1 = full resolution).
        unet_channels: channels of every U-Net level.
        unet_blocks: ResNet blocks per level and direction.
        unet_attention: which levels have an attention block.
        conditioned_levels: how many of the first levels receive a conditional map of z.
        condition_channels: channels of these maps.
        own_denoiser: whether the perception end has a separate U-Net; otherwise one serves both ends.
        own_adapters: whether the perception end has adapters of its own in f_e and f_d, as the PSNR end has.
    """

    latent_channels: int = 192
    latent_scale: float = 2.5
    transform_channels: tuple[int, ...] = (64, 96, 128)
    transform_patch: int = 4
    hyper_channels: int = 32
    rate_levels: tuple[int, ...] = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 144, 168, 192)
    jscc_blocks: int = 2
    jscc_heads: int = 6
    jscc_window: int = 8
    snr_expansion: float = 0.75
    snr_hidden: int = 32
    unet_patch: int = 4
    unet_channels: tuple[int, ...] = (80, 128, 160)
    unet_blocks: int = 2
    unet_attention: tuple[bool, ...] = (False, False, True)
    conditioned_levels: int = 3
    condition_channels: int = 48
    own_denoiser: bool = False
    own_adapters: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "'model'")
        levels = self.rate_levels
        if list(levels) != sorted(set(levels)) or any(v % 2 or v < 2 for v in levels):
            raise UserError(f"rate_levels must be ascending even numbers, got {levels}")
        if levels[-1] > self.latent_channels:
            raise UserError(f"the largest rate level {levels[-1]} exceeds latent_channels {self.latent_channels}")
        if self.jscc_window > MAX_WINDOW:
            raise UserError(f"jscc_window must be at most {MAX_WINDOW}, got {self.jscc_window}")
        if len(self.unet_attention) != len(self.unet_channels):
            raise UserError("unet_attention needs one entry per entry of unet_channels")
        if self.unet_patch not in (1, 2, 4, 8, 16):
            raise UserError(f"unet_patch must be 1, 2, 4, 8 or 16, got {self.unet_patch}")
        if self.latent_channels % self.jscc_heads:
            raise UserError(
                f"latent_channels {self.latent_channels} must be a multiple of jscc_heads {self.jscc_heads}"
            )
        if (stride := self.transform_patch * 2 ** (len(self.transform_channels) - 1)) != STRIDE:
            raise UserError(
                f"transform_patch {self.transform_patch} and {len(self.transform_channels)} transform_channels make "
                f"a stride of {stride}; it must be {STRIDE}: each channel after the first doubles the patch"
            )

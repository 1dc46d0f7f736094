"""Perceptual DeepJSCC as a scheme: one net for all bandwidth ratios, one image at a time."""

from fractions import Fraction

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.net import BLOCK_VALUES, NetConfig
from simulator.baselines.deepjscc.scheme import RATIOS
from simulator.baselines.pdjscc.net import GRAIN_REVISION, PdjsccNet
from simulator.errors import UserError
from simulator.models.pretrained import Weights, find_weights
from simulator.spec.options import Declaration, Text

RELEASED = "pdjscc"


class Pdjscc(DeepJscc):
    """`pdjscc`, or `pdjscc:weights=FOLDER` with your own weights.

    On the air it is DeepJSCC (`DeepJscc`), with one difference: the net for the highest bandwidth ratio serves the
    lower ones, too, and sends as many of its latents, the most important first, as the budget allows.
    """

    declaration = Declaration(
        "pdjscc",
        "perceptual DeepJSCC: a generator in place of the decoder, trained for LPIPS and against a discriminator",
        {
            "weights": Text(
                "FOLDER", "weights of your own: a folder that `train pdjscc --export` wrote, or a file in it"
            )
        },
    )
    title = "perceptual DeepJSCC"
    net_kind = PdjsccNet

    def fingerprint(self) -> str:
        """Hash of the weights, how they are brought on the air, and the noise of the generator."""
        return f"{super().fingerprint()}-grain{GRAIN_REVISION}"

    def _find(self, text: str | None) -> dict[Fraction, Weights]:
        return dict.fromkeys(RATIOS, find_weights(text or RELEASED, "pdjscc"))

    def _check(self, config: NetConfig, ratio: Fraction, name: str) -> None:
        if config.uses < max(RATIOS) * BLOCK_VALUES:
            raise UserError(
                f"the weights '{name}' send {config.uses} symbols a block; CBR {max(RATIOS)} needs "
                f"{int(max(RATIOS) * BLOCK_VALUES)}; train with that number among 'uses'"
            )

"""Perceptual DeepJSCC as a scheme: DeepJSCC on the air, and a generator behind its decoder."""

from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.air import Observation
from simulator.baselines.deepjscc.net import DeepJsccNet
from simulator.baselines.deepjscc.scheme import RATIOS, weights_name
from simulator.baselines.pdjscc.net import GRAIN_REVISION, Generator, GeneratorConfig
from simulator.errors import UserError
from simulator.models.pretrained import Weights, build_network, find_weights
from simulator.spec.configuration import build
from simulator.spec.options import Declaration, Text

RELEASED = "pdjscc"


class Pdjscc(DeepJscc):
    """`pdjscc`, or `pdjscc:weights=FOLDER` with your own weights.

    The bill is that of `deepjscc` at the same bandwidth ratio. The card of the weights names the DeepJSCC
    nets that the generator was trained behind; they are taken from its folder, or else from those that ship.
    """

    declaration = Declaration(
        "pdjscc",
        "perceptual DeepJSCC: a generator behind DeepJSCC's decoder, trained on perceptual distances",
        {"weights": Text("FOLDER", "your own weights: a folder that `train pdjscc --export` wrote, or a file in it")},
    )
    title = "perceptual DeepJSCC"

    def fingerprint(self) -> str:
        """Hashes of all weights, how they are brought on the air, and the noise of the generator."""
        return f"{super().fingerprint()}-{self._own.card()['sha256'][:16]}-grain{GRAIN_REVISION}"

    def to(self, device: str) -> "Pdjscc":
        """Compute on another torch device; returns the scheme."""
        super().to(device)
        self._generator.to(self._device)
        return self

    def _find(self, text: str | None) -> dict[Fraction, Weights]:
        self._own = find_weights(text or RELEASED, "pdjscc")
        return nets_in_front(self._own)

    @cached_property
    def _generator(self) -> Generator:
        return load_generator(self._own).to(self._device)

    def _latents(self, net: DeepJsccNet, images: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        return self._generator.encode(net, images, snr_db)

    def _paint(self, net: DeepJsccNet, seen: Observation, snr_db: torch.Tensor) -> torch.Tensor:
        latents, reliability = self._generator.estimate(net, seen, snr_db)
        image, detail = net.decoder.paint(latents, reliability)
        if detail.shape[1] != self._generator.config.features:
            raise UserError(f"the weights '{self._own.name}' and the nets that their card names do not fit together")
        return self._generator(image, detail, reliability, snr_db, net.config.uses)


def load_generator(weights: Weights) -> Generator:
    """The generator of some weights, ready to run."""
    state, card = weights.load()
    config = build(GeneratorConfig, card.get("model") or {}, f"the model card of '{weights.name}'")
    return build_network(lambda: Generator(config), state, weights.name).eval().requires_grad_(False)


def nets_in_front(weights: Weights) -> dict[Fraction, Weights]:
    """The DeepJSCC weights behind which a generator was trained, for each bandwidth ratio.

    Raises:
        UserError: they are missing, or differ from those that its card names.
    """
    hashes = weights.card().get("in_front")
    if not isinstance(hashes, dict) or set(hashes) != {weights_name(ratio) for ratio in RATIOS}:
        raise UserError(f"the model card of '{weights.name}' does not name four nets of DeepJSCC; export it again")
    return {ratio: _in_front(weights_name(ratio), weights, hashes) for ratio in RATIOS}


def _in_front(name: str, weights: Weights, hashes: dict[str, Any]) -> Weights:
    folder: Path | None = weights.folder
    beside = folder is not None and (folder / f"{name}.json").is_file()
    found = Weights(name, folder if beside else None)
    if found.card()["sha256"] != hashes[name]:
        raise UserError(f"the weights '{weights.name}' were trained behind another version of '{name}'; train again")
    return found

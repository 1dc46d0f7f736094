"""DeepJSCC as a scheme: one net per bandwidth ratio, one image at a time."""

from fractions import Fraction
from functools import cached_property
from typing import Any

import torch

from simulator.baselines.deepjscc.air import REVISION, Observation, demodulate, modulate, reference_uses
from simulator.baselines.deepjscc.net import BLOCK, BLOCK_VALUES, DeepJsccNet, NetConfig
from simulator.channels import Received
from simulator.disk import user_path
from simulator.errors import UserError
from simulator.images.pixels import pad_to_multiple
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, channel_uses
from simulator.models.pretrained import Weights, build_network
from simulator.spec.configuration import build
from simulator.spec.options import Declaration, Text
from simulator.spec.shown import Named

RATIOS = (Fraction(1, 48), Fraction(1, 24), Fraction(1, 16), Fraction(1, 12))


class DeepJscc(Named):
    """`deepjscc`, or `deepjscc:weights=FOLDER` with your own weights.

    A net sends exactly the channel uses that its ratio allows, of which one in 256 is the amplitude reference (billed
    as side information). An image whose sides are no multiples of 16 is padded at its right and bottom edge; as the
    budget grows only with the true size, the tail of the least important latents is then not sent.
    """

    declaration = Declaration(
        "deepjscc",
        "SNR-adaptive DeepJSCC: one convolutional net per bandwidth ratio",
        {"weights": Text("FOLDER", "folder with your own weights, of one ratio or more (default: the released ones)")},
        standard=2,
        opening=3,
    )
    title = "DeepJSCC"  # in messages

    def __init__(self, *options: str) -> None:
        """Options: those of `declaration`. Raises UserError for others, and where weights are missing."""
        chosen = self.declaration.read(options)
        self.name = self.declaration.spell(chosen)
        self._weights = self._find(chosen["weights"])
        self._device = torch.device("cpu")
        self._nets: dict[Weights, DeepJsccNet] = {}
        self._cards  # noqa: B018 - reports missing weights before a sweep starts

    def _find(self, text: str | None) -> dict[Fraction, Weights]:
        """The weights of each bandwidth ratio, given the value of the option `weights`."""
        folder = user_path(text) if text else None
        every = {ratio: Weights(weights_name(ratio), folder) for ratio in RATIOS}
        trained = {ratio: one for ratio, one in every.items() if one.exists()}
        return trained or every  # of none, reading the first says what is missing

    @cached_property
    def _cards(self) -> dict[Weights, dict[str, Any]]:
        return {weights: weights.card() for weights in self._weights.values()}

    def to(self, device: str) -> "DeepJscc":
        """Compute on another torch device; returns the scheme."""
        self._device = torch.device(device)
        for net in self._nets.values():
            net.to(self._device)
        return self

    def fingerprint(self) -> str:
        """Hashes of the weights, and how they are brought on the air."""
        return "-".join([*(card["sha256"][:16] for card in self._cards.values()), f"air{REVISION}"])

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        if cbr in self._weights:
            return None
        trained = f"CBR {', '.join(map(str, self._weights))}"
        if cbr in RATIOS:
            return f"the weights of '{self.name}' are for {trained} alone; choose it, or train the net of {cbr} too"
        return f"{self.title} is trained for {trained} and no other; choose one of them"

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Encode float32 images [B, 3, H, W] into exactly `budget` complex symbols each, of mean power 1.

        Raises:
            UserError: `budget` is not what one of the trained ratios allows for this size.
        """
        size = (images.shape[-2], images.shape[-1])
        net = self._net(size, budget)
        symbols = [self._encode_one(net, image, budget, state) for image in images]
        return Transmission(symbols, [_bill(budget, size) for _ in symbols])

    def decode(self, reception: Reception) -> Decoded:
        """Rebuild the images from received symbols, channel state and image size."""
        images = [self._decode_one(received, reception) for received in reception.received]
        return Decoded(torch.stack(images), [False] * len(images))

    @torch.no_grad()
    def _encode_one(self, net: DeepJsccNet, image: torch.Tensor, budget: int, state: LinkState) -> torch.Tensor:
        padded = pad_to_multiple(image[None].to(self._device), BLOCK)
        latents = self._latents(net, padded, torch.tensor([state.snr_db], device=self._device))
        return modulate(latents, budget)[0].cpu()

    @torch.no_grad()
    def _decode_one(self, received: Received, reception: Reception) -> torch.Tensor:
        size = reception.image_size
        net = self._net(size, len(received.symbols))
        shape = (2 * net.config.uses, *_blocks(size))
        parts = (received.symbols, received.gain, received.noise_variance)
        symbols, gain, noise_variance = (part[None].to(self._device) for part in parts)
        seen = demodulate(symbols, gain, noise_variance, shape)
        snr_db = torch.tensor([reception.state.snr_db], device=self._device)
        image = self._paint(net, seen, snr_db)[0]
        return image[:, : size[0], : size[1]].clamp(0, 1).float().cpu()

    def _latents(self, net: DeepJsccNet, images: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        """What is sent of images [B, 3, H, W] whose sides are multiples of 16."""
        return net.encoder(images, snr_db)

    def _paint(self, net: DeepJsccNet, seen: Observation, snr_db: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W], not clamped, of what the decoder sees."""
        return net.decoder(seen.noisy, seen.variance, snr_db)

    def _net(self, size: tuple[int, int], num_uses: int) -> DeepJsccNet:
        """The net that spends `num_uses` on an image of this size; both ends derive the same one."""
        fitting = [ratio for ratio in self._weights if channel_uses(ratio, size) == num_uses]
        if not fitting:
            raise UserError(
                f"{self.title} has no model for {num_uses} channel uses at {size[1]}x{size[0]}; "
                f"its bandwidth ratios are {', '.join(map(str, self._weights))}"
            )
        weights = self._weights[fitting[0]]
        if weights not in self._nets:
            self._nets[weights] = load_net(weights, fitting[0]).to(self._device)
        return self._nets[weights]


def load_net(weights: Weights, ratio: Fraction) -> DeepJsccNet:
    """The net of one bandwidth ratio, ready to run.

    Raises:
        UserError: the weights are missing, damaged, or of another ratio.
    """
    state, card = weights.load()
    config = build(NetConfig, card.get("model") or {}, f"the model card of '{weights.name}'")
    if config.uses != ratio * BLOCK_VALUES:
        raise UserError(f"the weights '{weights.name}' send {config.uses} symbols a block; export them again")
    return build_network(lambda: DeepJsccNet(config), state, weights.name).eval().requires_grad_(False)


def weights_name(ratio: Fraction) -> str:
    """Name of the released weights of a bandwidth ratio."""
    return f"deepjscc-{ratio.numerator}-{ratio.denominator}"


def _blocks(size: tuple[int, int]) -> tuple[int, int]:
    """16x16 blocks that cover an image of (H, W)."""
    return -(-size[0] // BLOCK), -(-size[1] // BLOCK)


def _bill(budget: int, size: tuple[int, int]) -> SymbolLedger:
    """Reference as side information; of the rest, the share of pixels that only padding added is padding."""
    reference = reference_uses(budget)
    rows, columns = _blocks(size)
    true_share = 3 * size[0] * size[1] / (rows * columns * BLOCK_VALUES)
    shares = SymbolLedger.apportion(budget - reference, payload=true_share, padding=1 - true_share)
    return shares + SymbolLedger(side_information=reference)

"""A codec whose decoder ends with the learned receiver: its files, and so everything that is sent, are unchanged."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from simulator.errors import UserError
from simulator.images.pixels import to_float, to_uint8
from simulator.models.pretrained import build_network, find_weights
from simulator.models.receiver.net import PERCEPTION_GAMMA, Receiver, ReceiverConfig, restore
from simulator.randomness import derive_key
from simulator.source import DamagedFile, QuantisedCodec, SourceCodec
from simulator.spec.configuration import build
from simulator.spec.options import Choice, Number, Option, Text

WEIGHTS = "bpg-receiver"
GAMMA, STEPS, MAX_STEPS = 0.4, 1, 100
_REVISION = 2  # of how pictures enter and leave the network

# The options that put the learned receiver behind a codec.
RECEIVER_OPTIONS: Mapping[str, Option] = {
    "receiver": Choice(("plain", "diffusion"), "what follows the codec's decoder: nothing, or a diffusion decoder"),
    "gamma": Number(
        GAMMA,
        0,
        PERCEPTION_GAMMA,
        help="size of x_N of the diffusion decoder; 0 is the PSNR end",
        slider=(0, 0.8, 0.05),
    ),
    "steps": Number(STEPS, 1, MAX_STEPS, whole=True, help="DDIM steps of the diffusion decoder", slider=(1, 10, 1)),
    "weights": Text("NAME or FOLDER", f"of the diffusion decoder: released, or your own (default: {WEIGHTS})"),
}


class RestoringCodec(SourceCodec):
    """Restores the picture that a codec decoded with a diffusion decoder, on the CPU in float32."""

    def __init__(self, codec: QuantisedCodec, chosen: Mapping[str, Any]) -> None:
        """Put the receiver behind a codec.

        Args:
            codec: writes and reads the files.
            chosen: value of each of `RECEIVER_OPTIONS`; other keys are ignored.

        Raises:
            UserError: there are no such weights.
        """
        weights = (chosen["weights"] or WEIGHTS).rstrip("/")
        state, card = find_weights(weights, "receiver").load()
        sizes = build(ReceiverConfig, _card_model(card, weights), "'model'")
        self.name = codec.name
        self.net = build_network(lambda: Receiver(sizes), state, weights)
        self.net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._codec, self._gamma, self._steps = codec, float(chosen["gamma"]), int(chosen["steps"])
        self._digest = card["sha256"]

    def version(self) -> str:
        """The codec's, the hash of the weights, and the sampler's settings."""
        parts = (self._codec.version(), self._digest, _REVISION, self._gamma, self._steps)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """The codec's own file."""
        return self._codec.encode(rgb, max_bytes)

    def plain(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The codec's own picture."""
        return self._codec.decode(data, size)

    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The codec's picture, restored."""
        return self.restored(data, size, None)

    @torch.inference_mode()
    def restored(self, data: bytes, size: tuple[int, int], beside: torch.Tensor | None) -> npt.NDArray[np.uint8]:
        """The codec's picture, restored with the help of another estimate of it. x_N depends on the size alone.

        Args:
            data: the codec's file.
            size: (H, W) of the picture.
            beside: float32 [3, H, W] in [0, 1], or None.

        Raises:
            DamagedFile: `data` is no file of the codec, or of a picture of another size.
        """
        decoded = self._codec.decode(data, size)
        if decoded.shape[:2] != size:
            raise DamagedFile(
                f"the file shows {decoded.shape[1]} x {decoded.shape[0]} pixels, not {size[1]} x {size[0]}"
            )
        generator = torch.Generator().manual_seed(derive_key("x_N of the receiver", *size))
        qp = torch.tensor([float(self._codec.qp(data))])
        other = None if beside is None else _for_network(beside)
        shown = restore(self.net, _for_network(to_float(decoded)), qp, self._gamma, self._steps, generator, other)
        return to_uint8((shown[0] / 2 + 0.5).clamp(0, 1))


def _for_network(image: torch.Tensor) -> torch.Tensor:
    """float32 [3, H, W] in [0, 1] -> a batch of one in [-1, 1]."""
    return (image[None] * 2 - 1).contiguous(memory_format=torch.channels_last)


def behind(codec: QuantisedCodec, chosen: Mapping[str, Any]) -> SourceCodec:
    """The codec with the receiver that was chosen.

    Args:
        codec: writes and reads the files.
        chosen: value of each of `RECEIVER_OPTIONS`; other keys are ignored.

    Raises:
        UserError: there are no such weights, or options of a receiver that was not chosen.
    """
    if chosen["receiver"] == "diffusion":
        return RestoringCodec(codec, chosen)
    if given := [key for key, one in RECEIVER_OPTIONS.items() if key != "receiver" and chosen[key] != one.default]:
        raise UserError(f"{given[0]}= belongs to receiver=diffusion; add it, or leave out {given[0]}")
    return codec


def _card_model(card: Mapping[str, Any], weights: str) -> Mapping[str, Any]:
    match card.get("config"):
        case {"model": dict(model)}:
            return model
    raise UserError(f"the model card of '{weights}' describes no receiver; export it again")

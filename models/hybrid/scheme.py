"""The scheme `lrisc-hybrid`: a BPG base through the digital link, then LRISC's latents, and one decoder for both.

| part | content | protection |
|---|---|---|
| base | a BPG file in one transport block, as `bpg-ldpc` sends it | NR LDPC code and QAM, for the SNR less the margin |
| latents | header, rate map and latents, as `lrisc` sends them | header and map like the base; latents analog |

Both ends know the base's share of the uses from a table. A share of 1 is `bpg-ldpc:receiver=diffusion`, a share of 0 is
`lrisc`. In between, a lost base leaves the picture of the latents, and lost latents leave the restored base.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor

from simulator.baselines.bpg.source import BpgCodec
from simulator.channels import Received
from simulator.images.pixels import pad_to_multiple, to_float
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission
from simulator.link.ledger import bandwidth_ratio
from simulator.models.hybrid.latent import missing_bits
from simulator.models.hybrid.shares import ROBUST_SHARE, best_share, table
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.scheme import LriscScheme
from simulator.models.lrisc.signals import Aim, Latent
from simulator.models.receiver.codec import RECEIVER_OPTIONS, RestoringCodec
from simulator.separation import LINK_OPTIONS, DigitalChain
from simulator.source import DamagedFile
from simulator.spec.options import Declaration, Number, Option
from simulator.spec.shown import Named

_REVISION = 1  # of how the two parts share the symbols

_OPTIONS: Mapping[str, Option] = {
    "share": Number(
        None, 0, 1, help="of the channel uses, for the base (default: a measured table)", slider=(0, 1, 0.05)
    ),
    "margin": Number(0, 0, 12, help="dB that the SNR may fall short before digital parts are lost", slider=(0, 12, 1)),
    "gamma": RECEIVER_OPTIONS["gamma"],
    "steps": RECEIVER_OPTIONS["steps"],
    "weights": RECEIVER_OPTIONS["weights"],
}


class HybridScheme(Named):
    """LRISC with a digital base layer. Images are processed one at a time: a batch never changes a result."""

    declaration = Declaration(
        "lrisc-hybrid",
        "a BPG base and LRISC's latents share the channel, and one diffusion decoder sees both",
        _OPTIONS,
    )

    def __init__(self, *options: str) -> None:
        """Options: `share=R`, `margin=DB`, `gamma=G` (0 is the PSNR end of both parts), `steps=N`, `weights=W` (of the
        receiver, as for `bpg-ldpc:receiver=diffusion`; the latents are those of `lrisc`).

        Raises:
            UserError: an option or value it does not know, or no such weights.
        """
        chosen = self.declaration.read(options)
        self.name = self.declaration.spell(chosen)
        self._share, self._margin = chosen["share"], float(chosen["margin"])
        self._faithful = chosen["gamma"] == 0
        self._latents = LriscScheme(*(f"{key}={chosen[key]}" for key in ("gamma", "steps")))
        link = {key: option.default for key, option in LINK_OPTIONS.items()}
        self._codec = RestoringCodec(BpgCodec(), chosen)
        self._chain = DigitalChain(self._codec, self.name, link, among_analog=self._share != 1)

    def fingerprint(self) -> str:
        """Hash of both parts and the table."""
        rules = [table()[key] for key in ("cbr", "snr_db", "share")] + [ROBUST_SHARE] if self._share is None else None
        parts = (self._latents.fingerprint(), self._chain.fingerprint(), rules, _REVISION)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        if self._share is None or self._share == 1:
            return None
        left = cbr * (1 - Fraction(self._share))
        reason = self._latents.supports(left)
        return reason and f"a share of {self._share:g} leaves the latents CBR {float(left):.2g}; {reason}"

    @torch.inference_mode()
    def encode(self, images: Tensor, budget: int, state: LinkState) -> Transmission:
        """Send float32 images [B, 3, H, W] in `budget` symbols each: first the base, then the latents."""
        sent = [self._send(image, budget, state) for image in images]
        return Transmission([symbols for symbols, _ in sent], [bill for _, bill in sent])

    def _send(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
        size = (image.shape[-2], image.shape[-1])
        uses = self._base_uses(budget, size, state)
        if uses == 0:
            return self._latents.send_image(image, budget, state, None, self._margin)
        file, base, bill = self._chain.send_file(image, uses, state.lowered(self._margin))
        if uses == budget:
            return base, bill
        unused = uses - len(base)  # all of them where no transport block is so short
        worth = self._worth(file, size)
        latents, other = self._latents.send_image(image, budget - uses, state, worth, self._margin)
        silence = torch.zeros(unused, dtype=torch.complex64)
        return torch.cat([base, silence, latents]), bill + SymbolLedger(padding=unused) + other

    def _worth(self, file: bytes, size: tuple[int, int]) -> Callable[[Latent, Aim], Tensor] | None:
        """The bits that guide the latents' rates beside a file; None where none fitted."""
        if not file:
            return None
        base = pad_to_multiple(to_float(self._codec.plain(file, size))[None] * 2 - 1, STRIDE)
        return lambda latent, aim: missing_bits(self._latents.model, latent.z, base, aim)

    @torch.inference_mode()
    def decode(self, reception: Reception) -> Decoded:
        """Rebuild each image from what arrived of base and latents; an outage lost both."""
        size = reception.image_size
        return Decoded.of([self._show(one, size, reception.state) for one in reception.received], size)

    def _show(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None:
        uses = self._base_uses(len(received.symbols), size, state)
        base, latents = part(received, slice(None, uses)), part(received, slice(uses, None))
        beside = self._latents.show_image(latents, size, state, self._margin) if len(latents.symbols) else None
        file = b""
        if uses:
            [file] = self._chain.read_files(Reception([base], size, state.lowered(self._margin)))
        if not file:
            return beside
        try:
            return to_float(self._codec.restored(file, size, beside))
        except DamagedFile:  # behind CRCs that held by accident
            return beside

    def _base_uses(self, count: int, size: tuple[int, int], state: LinkState) -> int:
        """Channel uses of the base out of `count`, as both ends derive them."""
        share, cbr = self._share, bandwidth_ratio(count, size)
        if share is None and count:
            known = state.channel == "awgn" and not self._margin
            share = best_share(cbr, state.snr_db, self._faithful) if known else ROBUST_SHARE
            if share < 1 and self._latents.supports(Fraction((1 - share) * cbr)):
                share = 1.0
        return round((share or 0) * count)


def part(received: Received, symbols: slice) -> Received:
    """Some of the received symbols."""
    return replace(
        received,
        symbols=received.symbols[symbols],
        gain=received.gain[symbols],
        noise_variance=received.noise_variance[symbols],
    )

"""`adjscc` and `pdjscc-published` as schemes: nothing but payload, as their decoder needs no power factor."""

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from simulator.baselines.published import frame
from simulator.baselines.published.adjscc import STRIDE, Adjscc, AdjsccConfig
from simulator.baselines.published.channel import Pairing, pair, unpair
from simulator.baselines.published.scheme import SNR, PublishedScheme, nothing, shown, weights_of
from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.spec.options import Declaration


class AdjsccScheme(PublishedScheme):
    """ADJSCC at the bandwidth ratio of its weights."""

    declaration = Declaration("adjscc", "ADJSCC with imported weights", {"weights": weights_of("adjscc"), "snr": SNR})
    pad_mode = "reflect"
    multiple = stride = STRIDE
    pairing: Pairing = "neighbours"
    net: Adjscc
    config: AdjsccConfig

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        own = Fraction(self.config.channels, 2 * 3 * STRIDE**2)
        return None if cbr >= own else f"these weights send CBR {own}; request that or more"

    def _encode_one(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
        size = (image.shape[-2], image.shape[-1])
        if budget <= 0:
            return nothing(budget)
        with self.arithmetic():
            feature = self.net.Encoder(self.padded(image), self.told(None, state))
        symbols = self._symbols(feature[0].float().cpu())
        worth = self._worth(size)
        sent = frame.kept_symbols(worth, budget)
        chosen = symbols[torch.from_numpy(sent)]
        power = chosen.abs().square().double().mean().clamp_min(1e-24)
        return (chosen / (power.sqrt() * (1 + 1e-7))).to(torch.complex64), frame.payload_bill(worth[sent])

    def _decode_one(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None:
        if not len(received.symbols):
            return None
        cells = self.cells(size)
        worth = self._worth(size)
        sent = frame.kept_symbols(worth, len(received.symbols))
        symbols = torch.zeros(len(worth), dtype=torch.complex64)
        symbols[torch.from_numpy(sent)] = frame.equalise(received, slice(0, len(sent)))
        values = unpair(symbols, self.pairing)[: self.config.channels * cells[0] * cells[1]]
        feature = values.view(1, self.config.channels, *cells).to(self.device)
        feature = feature.to(memory_format=torch.channels_last)
        with self.arithmetic():
            return shown(self.net.Decoder(feature, self.told(received, state)), size)

    def _symbols(self, feature: Tensor) -> Tensor:
        """Reals [C, h, w] as complex symbols; an odd number of them gets a zero at its end."""
        values = feature.flatten()
        return pair(F.pad(values, (0, len(values) % 2)), self.pairing)

    def _worth(self, size: tuple[int, int]) -> np.ndarray:
        """Per payload symbol, the shares of its two reals that belong to the image itself, [K, 2]."""
        shares = frame.true_share(size, self.cells(size), STRIDE).expand(self.config.channels, -1, -1)
        both = self._symbols(shares)
        return torch.stack([both.real, both.imag], 1).numpy()


class PdjsccScheme(AdjsccScheme):
    """The generator of PDJSCC."""

    declaration = Declaration(
        "pdjscc-published",
        "PDJSCC's generator with imported weights",
        {"weights": weights_of("pdjscc-published"), "snr": SNR},
    )
    pairing: Pairing = "halves"

"""`swinjscc` and `witt` as schemes: transmit scale and mask in a protected head, features behind it."""

import struct
import warnings
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from simulator.baselines.published import frame
from simulator.baselines.published.channel import pair, unpair
from simulator.baselines.published.mask import decode_mask, encode_mask, mask_bytes
from simulator.baselines.published.scheme import SNR, PublishedScheme, nothing, shown, weights_of
from simulator.baselines.published.swinjscc import TIES, Encoded, SwinConfig, SwinJscc
from simulator.channels import Received
from simulator.errors import UserError
from simulator.link import LinkState, SymbolLedger
from simulator.spec.options import Choice, Declaration, Number

LARGEST_RATE = 192  # of those that the authors trained; others may be asked for
NEAR_TIE = 1e-3
_SCALE = struct.Struct(">h")


class SwinScheme(PublishedScheme):
    """SwinJSCC in any of its modes.

    In the rate-adaptive modes the rate is what the budget has room for, up to 192 channels; `rate=N` asks for another.
    Where the budget is exactly that of the papers, the side information takes its place from the payload.
    """

    declaration = Declaration(
        "swinjscc",
        "SwinJSCC with imported weights, in any of its modes",
        {
            "weights": weights_of("swinjscc"),
            "rate": Number(None, 1, 4096, whole=True, help="channels to send (default: what the budget has room for)"),
            "ties": Choice(TIES, "how equal scores of channels are ordered"),
            "snr": SNR,
        },
    )
    net: SwinJscc
    config: SwinConfig

    def __init__(self, *options: str) -> None:
        super().__init__(*options)
        self.multiple, self.stride = self.config.multiple, self.config.stride
        asked, last = self.options.get("rate"), self.config.widths[-1]
        self._asked = None if asked is None else int(asked)
        if self._asked is not None and (not self.config.rate_adaptive or self._asked > last):
            can = f"from 1 to {last}" if self.config.rate_adaptive else f"fixed at {self.config.channels}"
            raise UserError(f"'{self.name}': rate={self._asked} is not allowed; the rate of these weights is {can}")

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        values = 2 * 3 * self.config.stride**2
        least = self._asked or self.config.channels or 1
        if cbr >= Fraction(least, values):
            return None
        return f"it sends {least} values per {self.config.stride}x{self.config.stride} pixels, CBR {least}/{values}"

    def _rate(self, symbols: int, cells: tuple[int, int]) -> int:
        """Channels that are sent: the same at both ends, as what is sent never has room for more than the budget."""
        if self.config.channels is not None:
            return self.config.channels
        largest = min(LARGEST_RATE, self.config.widths[-1])
        return self._asked or min(largest, 2 * symbols // (cells[0] * cells[1]))

    def _head_bytes(self, rate: int) -> int:
        return _SCALE.size + (mask_bytes(self.config.widths[-1], rate) if self.config.rate_adaptive else 0)

    def _worth(self, size: tuple[int, int], cells: tuple[int, int], rate: int) -> np.ndarray:
        """Per payload symbol, the shares of its two reals that belong to the image itself, [K, 2]."""
        shares = frame.true_share(size, cells, self.config.stride).flatten().repeat_interleave(rate)
        return torch.stack(shares.tensor_split(2), 1).numpy()

    def _encode_one(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
        size = (image.shape[-2], image.shape[-1])
        cells = self.cells(size)
        rate = self._rate(budget, cells)
        payload = cells[0] * cells[1] * rate // 2
        sizes = (self._head_bytes(rate), 0)
        room = budget - frame.side_symbols(sizes, payload, state) if rate else 0
        if room <= 0:
            return nothing(budget)
        with self.arithmetic():
            encoded = self.net.encoder(
                self.padded(image),
                self.told(None, state),
                rate,
                self.options.get("ties", "legacy"),
            )
        kept = encoded.kept[0].cpu()
        self._warn_of_ties(encoded, rate)
        symbols = pair(encoded.feature[0].float().cpu()[..., kept].flatten(), "halves")
        worth = self._worth(size, cells, rate)
        sent = frame.kept_symbols(worth, room)
        chosen = symbols[torch.from_numpy(sent)]
        scale_db = frame.scale_to_unit_power(chosen)
        mask = encode_mask(kept.numpy()) if self.config.rate_adaptive else b""
        side, bill = frame.send_side(_SCALE.pack(round(100 * scale_db)) + mask, b"", payload, state)
        return torch.cat([side, chosen * 10 ** (scale_db / 20)]), bill + frame.payload_bill(worth[sent])

    def _decode_one(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None:
        cells = self.cells(size)
        rate = self._rate(len(received.symbols), cells)
        payload = cells[0] * cells[1] * rate // 2
        sizes = (self._head_bytes(rate), 0)
        start = frame.side_symbols(sizes, payload, state) if rate else 0
        head = frame.read_part(received, sizes, payload, state) if 0 < start < len(received.symbols) else None
        kept = None if head is None else self._read_mask(head[_SCALE.size :], rate)
        if head is None or kept is None:
            return None
        sent = frame.kept_symbols(self._worth(size, cells, rate), len(received.symbols) - start)
        scale = 10 ** (_SCALE.unpack(head[: _SCALE.size])[0] / 2000)
        symbols = torch.zeros(payload, dtype=torch.complex64)
        arrived = frame.equalise(received, slice(start, start + len(sent)))
        symbols[torch.from_numpy(sent)] = arrived / scale
        feature = torch.zeros(cells[0] * cells[1], len(kept))
        feature[:, kept] = unpair(symbols, "halves").view(-1, rate)
        feature = feature.view(1, *cells, len(kept)).to(self.device)
        with self.arithmetic():
            return shown(self.net.decoder(feature, self.told(received, state)), size)

    def _read_mask(self, data: bytes, rate: int) -> Tensor | None:
        if not self.config.rate_adaptive:
            return torch.ones(rate, dtype=torch.bool)
        mask = decode_mask(data, self.config.widths[-1], rate)
        return None if mask is None else torch.from_numpy(mask)

    def _warn_of_ties(self, encoded: Encoded, rate: int) -> None:
        """Where a score at the cut nearly saturates, other machines may round it to a tie and keep other channels."""
        if encoded.scores is None or rate >= encoded.scores.shape[1]:
            return
        tokens = encoded.feature.shape[1] * encoded.feature.shape[2]
        ordered = encoded.scores[0].sort(descending=True).values
        if any(0 < tokens - float(score) < NEAR_TIE for score in ordered[rate - 1 : rate + 1]):
            warnings.warn(
                f"{self.name}: a score at the cut of SwinJSCC's mask is within {NEAR_TIE:g} of saturation; "
                "other arithmetic may choose other channels",
                stacklevel=2,
            )


class WittScheme(SwinScheme):
    """WITT: SwinJSCC in the modes `sa` and `base`."""

    declaration = Declaration("witt", "WITT with imported weights", {"weights": weights_of("witt"), "snr": SNR})

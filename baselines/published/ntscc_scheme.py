"""`ntscc` as a scheme: scale and lengths in a head, the map of rates (and z where needed) in a tail, then the symbols.

The map is coded adaptively (`simulator.models.lrisc.ratemap`), as LRISC's is. Eta, the channel inputs per bit of
information, is the paper's 0.2; where the bill would exceed the budget, the largest that fits.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from simulator.baselines.published import frame
from simulator.baselines.published.channel import pair, unpair
from simulator.baselines.published.ntscc import MULTIPLE, STRIDE, Latent, Ntscc, NtsccConfig
from simulator.baselines.published.scheme import SNR, PublishedScheme, nothing, shown, weights_of
from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.models.lrisc.ratemap import decode_map, encode_map
from simulator.spec.options import Declaration, Number

ETA = 0.2
TYPICAL_RATE = 64  # reals per token, by which repeats of side information are limited
_HEAD = struct.Struct(">hHIhh")  # scale, bytes of the map, bytes of z, and the range of z
_Z_LIMIT = 2**11  # z is cut to this many steps around its median; no trained network gets near it
_SEARCHES, _HALVINGS = 8, 24


@dataclass(frozen=True)
class Plan:
    """What one image sends: the index of every token's rate [1, h, w], and the coded tail."""

    index: Tensor
    tail: bytes
    map_bytes: int
    z_range: tuple[int, int]


class NtsccScheme(PublishedScheme):
    """NTSCC at an operating point that its weights, eta and the budget set."""

    declaration = Declaration(
        "ntscc",
        "NTSCC with imported weights",
        {
            "weights": weights_of("ntscc"),
            "eta": Number(ETA, 1e-3, 10, help="largest scale from bits of the entropy model to rate"),
            "snr": SNR,
        },
    )
    multiple, stride = MULTIPLE, STRIDE
    net: Ntscc
    config: NtsccConfig

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        lowest = Fraction(4 * int(self._rates()[0]), 3 * 2 * 3 * STRIDE**2)  # the map takes about a third of that
        return None if cbr >= lowest else f"its lowest rate and the map of rates fill CBR {lowest}; request more"

    def _rates(self) -> np.ndarray:
        return self.net.fe.rate_choice_tensor.cpu().numpy()

    def _encode_one(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
        size = (image.shape[-2], image.shape[-1])
        cells = self.cells(size)
        with self.arithmetic():
            latent = self.net.analyse(self.padded(image))
        plan = self._plan(latent, budget, state, cells)
        if plan is None:
            return nothing(budget)
        with self.arithmetic():
            s, active = self.net.encode(latent, plan.index)
        symbols = pair(s[active].float().cpu(), "neighbours")
        scale_db = frame.scale_to_unit_power(symbols)
        head = _HEAD.pack(round(100 * scale_db), plan.map_bytes, len(plan.tail) - plan.map_bytes, *plan.z_range)
        side, bill = frame.send_side(head, plan.tail, self._typical(cells), state)
        shares = frame.true_share(size, cells, STRIDE)[None, None].expand(active.shape)[active.cpu()]
        return torch.cat([side, symbols * 10 ** (scale_db / 20)]), bill + frame.payload_bill(shares.numpy())

    def _plan(self, latent: Latent, budget: int, state: LinkState, cells: tuple[int, int]) -> Plan | None:
        """The plan at the largest eta up to the asked one whose bill fits the budget; None if none does."""
        wanted, rates = self.net.wanted(latent), self._rates()
        z, z_range = self._code_z(latent)
        room = budget
        for _ in range(_SEARCHES):
            index = self._index_within(wanted, rates, room)
            if index is None:
                return None
            coded = encode_map(index[0].cpu().numpy(), len(rates))
            sizes = (_HEAD.size, len(coded) + len(z))
            bill = frame.side_symbols(sizes, self._typical(cells), state) + _symbols(index, rates)
            if bill <= budget and len(coded) < 2**16:
                return Plan(index, coded + z, len(coded), z_range)
            room = min(room, _symbols(index, rates)) - max(1, bill - budget)
        return None

    def _index_within(self, wanted: Tensor, rates: np.ndarray, room: int) -> Tensor | None:
        """Indices at the largest eta up to the asked one that ask for at most `room` symbols."""
        high = float(self.options["eta"])
        if _symbols(index := self.net.index(high * wanted), rates) <= room:
            return index
        low, best = 0.0, self.net.index(0.0 * wanted)
        if _symbols(best, rates) > room:
            return None
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            index = self.net.index(middle * wanted)
            if _symbols(index, rates) <= room:
                low, best = middle, index
            else:
                high = middle
        return best

    def _code_z(self, latent: Latent) -> tuple[bytes, tuple[int, int]]:
        """z as bytes and the range of its whole numbers, where the receiver needs it."""
        if not self.config.side_info:
            return b"", (0, 0)
        around = torch.round(latent.z_hat - self.net.entropy_bottleneck.medians())[0]
        steps = around.clamp(-_Z_LIMIT, _Z_LIMIT).int().cpu().numpy()
        low, high = int(steps.min()), int(steps.max())
        return encode_map(steps.reshape(-1, steps.shape[-1]) - low, _levels(low, high)), (low, high)

    def _typical(self, cells: tuple[int, int]) -> int:
        return cells[0] * cells[1] * TYPICAL_RATE // 2

    def _decode_one(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None:
        cells = self.cells(size)
        payload = self._typical(cells)
        head = frame.read_part(received, (_HEAD.size, 0), payload, state)
        if head is None:
            return None
        scale, map_bytes, z_bytes, *z_range = _HEAD.unpack(head)
        sizes = (_HEAD.size, map_bytes + z_bytes)
        if 4 * sizes[1] > len(received.symbols):  # a CRC held by accident: a symbol takes two bits at most
            return None
        tail = frame.read_part(received, sizes, payload, state) if sizes[1] else b""
        plan = None if tail is None else self._read_tail(tail, map_bytes, (z_range[0], z_range[1]), cells)
        if plan is None:
            return None
        index, z_hat = plan
        start = frame.side_symbols(sizes, payload, state)
        active = self.net.fe.active(index).permute(0, 3, 1, 2).cpu()
        part = slice(start, start + int(active.sum()) // 2)
        if part.stop > len(received.symbols):  # a CRC held by accident
            return None
        s = torch.zeros(active.shape)
        s[active] = unpair(frame.equalise(received, part), "neighbours") / 10 ** (scale / 2000)
        with self.arithmetic():
            return shown(self.net.decode(s.to(self.device), index, z_hat), size)

    def _read_tail(
        self, tail: bytes, map_bytes: int, z_range: tuple[int, int], cells: tuple[int, int]
    ) -> tuple[Tensor, Tensor | None] | None:
        """Indices [1, h, w] and z_hat; None where bytes are no such code."""
        low, high = z_range
        if low > high or high - low > 2 * _Z_LIMIT:
            return None
        try:
            index = decode_map(tail[:map_bytes], cells, len(self._rates()))
            if not self.config.side_info:
                return torch.from_numpy(index)[None].to(self.device), None
            shape = (self.config.hyper * cells[0] // 4, cells[1] // 4)
            steps = decode_map(tail[map_bytes:], shape, _levels(low, high)) + low
        except ValueError:
            return None
        z = torch.from_numpy(steps).view(1, self.config.hyper, cells[0] // 4, cells[1] // 4).to(self.device)
        return torch.from_numpy(index)[None].to(self.device), z + self.net.entropy_bottleneck.medians()


def _symbols(index: Tensor, rates: np.ndarray) -> int:
    """Channel uses of all tokens."""
    return int(rates[index.cpu().numpy()].sum()) // 2


def _levels(low: int, high: int) -> int:
    """How many values z may take, for its coder, which wants two at least."""
    return max(2, high - low + 1)

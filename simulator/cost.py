"""What a scheme costs to run: weights, multiply-accumulates, memory and time, of its encoder and its decoder."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from simulator.channels import load_channel
from simulator.codecs.held import networks
from simulator.images import load_image_set
from simulator.link import (
    Bound,
    Decoded,
    LinkState,
    Reception,
    Scheme,
    Transmission,
    capabilities,
    load_scheme,
    transmit,
)
from simulator.link.delivery import deliver

SNR_DB = 10.0
CBR = Fraction(1, 16)
CROP = 256  # pixels a side of the image that is sent


@dataclass(frozen=True)
class Half:
    """An encoder or a decoder.

    Attributes:
        macs_per_pixel: multiply-accumulates of products and convolutions over the pixels of the image; 0 for code
            that is not made of torch's operations.
        peak_mib: most memory that tensors made on the way held at once, in MiB, without weights.
        seconds: of one image, the faster of two passes.
    """

    macs_per_pixel: float
    peak_mib: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a scheme costs for one image of `CROP` x `CROP` pixels at 10 dB over AWGN, unless said at CBR 1/16.

    Attributes:
        weights: parameters of the networks that ran, each counted once.
    """

    scheme: str
    weights: int
    encoder: Half
    decoder: Half

    @property
    def macs_per_pixel(self) -> float:
        """Of both halves."""
        return self.encoder.macs_per_pixel + self.decoder.macs_per_pixel

    def record(self) -> dict[str, Any]:
        """A flat record: columns of `list schemes --cost`, `bench cost` and `weights list --cost`."""
        halves = {"encoder": self.encoder, "decoder": self.decoder}
        parts = {f"{half}_{key}": value for half, one in halves.items() for key, value in asdict(one).items()}
        return {"scheme": self.scheme, "weights": self.weights, **parts}


def measure_costs(specs: Sequence[str], cbr: Fraction = CBR) -> Iterator[Cost]:
    """The cost of each scheme, on the CPU; bounds, which neither encode nor decode, are left out.

    Raises:
        UserError: no such scheme.
    """
    for spec in specs:
        scheme = load_scheme(spec)
        if not isinstance(scheme, Bound):
            yield measure_cost(scheme, cbr)


def measure_cost(scheme: Scheme, cbr: Fraction = CBR) -> Cost:
    """Send one embedded image twice for the time, and once with counters."""
    image = load_image_set("samples", crop=CROP)[0].pixels[None]
    channel = load_channel("awgn")
    first, second = (deliver(scheme, image, cbr, channel, SNR_DB) for _ in range(2))
    seconds = zip((first.encode_s, first.decode_s), (second.encode_s, second.decode_s), strict=True)
    counted = _Counted(scheme)
    with torch.inference_mode():
        transmit(counted, image, cbr, channel, SNR_DB)
    halves = [
        Half(macs / CROP**2, peak / 2**20, min(one for one in times if one is not None))
        for (macs, peak), times in zip(counted.found, seconds, strict=True)
    ]
    parameters = {id(one): one.numel() for net in networks(scheme) for one in net.parameters()}
    return Cost(scheme.name, sum(parameters.values()), *halves)


class _Counted:
    """A scheme whose two halves are counted."""

    def __init__(self, scheme: Scheme) -> None:
        self.name, self.genie = scheme.name, capabilities(scheme).genie
        self.found: list[tuple[float, float]] = []
        self._scheme = scheme

    def fingerprint(self) -> str:
        return self._scheme.fingerprint()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        with self._counter():
            return self._scheme.encode(images, budget, state)

    def decode(self, reception: Reception) -> Decoded:
        with self._counter():
            return self._scheme.decode(reception)

    @contextmanager
    def _counter(self) -> Iterator[None]:
        """torch's own counter of floating point operations, two of which are a multiply-accumulate, and of memory."""
        with FlopCounterMode(display=False) as operations, _Memory() as memory:
            yield
        self.found.append((operations.get_total_flops() / 2, memory.peak))


class _Memory(TorchDispatchMode):
    """Follows the storage of every tensor that an operation returns until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {one.untyped_storage()._cdata for one in tree_iter((args, kwargs)) if isinstance(one, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for one in tree_iter(result):
            if isinstance(one, torch.Tensor) and one.untyped_storage()._cdata not in given | self._known:
                storage = one.untyped_storage()
                self._known.add(storage._cdata)
                self._now += storage.nbytes()
                self.peak = max(self.peak, self._now)
                weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        return result

    def _freed(self, known: int, size: int) -> None:
        self._known.discard(known)
        self._now -= size

"""What a scheme costs to run: weights, multiply-accumulates, memory and time, of its encoder and its decoder."""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, TypeVar

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

SNR_DB = 10.0
CBR = Fraction(1, 16)
CROP = 256  # pixels a side of the image that is sent
T = TypeVar("T")


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
    with torch.inference_mode():
        timed = [_Meter(scheme, _Clock) for _ in range(2)]
        for one in timed:
            transmit(one, image, cbr, channel, SNR_DB)
        counted = _Meter(scheme, _Counter)
        transmit(counted, image, cbr, channel, SNR_DB)
    halves = []
    for half in (0, 1):
        macs, peak = counted.found[half]
        halves.append(Half(macs / CROP**2, peak / 2**20, min(one.found[half][0] for one in timed)))
    parameters = {id(one): one.numel() for net in networks(scheme) for one in net.parameters()}
    return Cost(scheme.name, sum(parameters.values()), *halves)


class _Meter:
    """A scheme whose two halves are measured by an instrument each."""

    def __init__(self, scheme: Scheme, instrument: Callable[[], Any]) -> None:
        self.name, self.genie = scheme.name, capabilities(scheme).genie
        self.found: list[tuple[float, ...]] = []
        self._scheme, self._instrument = scheme, instrument

    def fingerprint(self) -> str:
        return self._scheme.fingerprint()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        return self._measured(lambda: self._scheme.encode(images, budget, state))

    def decode(self, reception: Reception) -> Decoded:
        return self._measured(lambda: self._scheme.decode(reception))

    def _measured(self, work: Callable[[], T]) -> T:
        instrument = self._instrument()
        with instrument:
            result = work()
        self.found.append(instrument.read())
        return result


class _Clock:
    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._spent = time.perf_counter() - self._begin

    def read(self) -> tuple[float, ...]:
        return (self._spent,)


class _Counter:
    """torch's own counter of floating point operations, two of which are a multiply-accumulate, and a memory gauge."""

    def __init__(self) -> None:
        self._operations, self._memory = FlopCounterMode(display=False), _Memory()

    def __enter__(self) -> None:
        self._operations.__enter__()
        self._memory.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._memory.__exit__(*error)
        self._operations.__exit__(*error)

    def read(self) -> tuple[float, ...]:
        return self._operations.get_total_flops() / 2, float(self._memory.peak)


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

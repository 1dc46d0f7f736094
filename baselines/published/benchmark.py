"""Speed of the published networks on one core: what the schemes run against the same network written plainly.

Weights are random: time does not depend on them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from simulator.baselines.published import swin
from simulator.baselines.published.ntscc import Ntscc, NtsccConfig
from simulator.baselines.published.scheme import EXACT
from simulator.baselines.published.swinjscc import SwinConfig, SwinJscc
from simulator.bench.table import Figure, smaller
from simulator.bench.turns import one_thread, take_turns
from simulator.devices import keep_freed_memory

SIZE, QUICK_SIZE = (512, 768), (64, 64)
RATE, SNR_DB, ETA = 96, 10.0, 0.2


def measure(quick: bool) -> Iterator[Figure]:
    """Seconds for a Kodak picture through encoder and decoder: bfloat16 and fused attention, and float32 without."""
    size, repeats = (QUICK_SIZE, 1) if quick else (SIZE, 3)
    keep_freed_memory()  # as the schemes do
    trips = {"SwinJSCC base": _swinjscc(size), "NTSCC": _ntscc(size)}
    for name, (network, trip) in trips.items():
        exact, low = network.eval().requires_grad_(False), swin.lowered(network, EXACT)
        with one_thread(), torch.inference_mode():
            ours, plain = take_turns([_in_bf16(trip, low), _naively(trip, exact)], repeats)
        note = f"{size[1]}x{size[0]}, encoder and decoder, one thread; plain: float32 and softmax(q k + bias) v"
        yield smaller("published", f"{name}, bf16", ours, "s", "plain fp32", plain, note)


def _swinjscc(size: tuple[int, int]) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    images, snr_db = torch.rand(1, 3, *size), torch.tensor([SNR_DB])

    def trip(net: nn.Module) -> Tensor:
        assert isinstance(net, SwinJscc)
        return net.decoder(net.encoder(images, snr_db, RATE).feature, snr_db)

    return SwinJscc(SwinConfig()), trip


def _ntscc(size: tuple[int, int]) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    images = torch.rand(1, 3, *size)

    def trip(net: nn.Module) -> Tensor:
        assert isinstance(net, Ntscc)
        latent = net.analyse(images)
        index = net.index(ETA * net.wanted(latent))
        return net.decode(net.encode(latent, index)[0], index)

    return Ntscc(NtsccConfig()), trip


def _in_bf16(trip: Callable[[nn.Module], Tensor], net: nn.Module) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return trip(net)

    return run


def _naively(trip: Callable[[nn.Module], Tensor], net: nn.Module) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with _naive_attention():
            return trip(net)

    return run


@contextmanager
def _naive_attention() -> Iterator[None]:
    """Attention in three steps, as it was written before there was a fused kernel."""
    fused = swin.attend

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias, -1) @ v

    swin.attend = attend
    try:
        yield
    finally:
        swin.attend = fused

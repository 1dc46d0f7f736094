"""The classical chain as a sweep runs it, compared with a plain loop over Sionna's blocks."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from simulator.baselines import bpg
from simulator.baselines.deepjscc.training import DeepJsccSystem
from simulator.bench.sweep import arrivals
from simulator.bench.table import Figure, faster
from simulator.bench.turns import one_thread
from simulator.images import NamedImage, load_image_set
from simulator.images.pixels import to_uint8
from simulator.metrics import psnr_db
from simulator.models.training.benchmark import measure_training
from simulator.sweep.inputs import SweepConfig

CBR, SNR_DB = Fraction(1, 16), 10.0
MCS, BITS_PER_SYMBOL, CODE_RATE = "16qam-1/2", 4, 0.5


def measure_deepjscc_training(quick: bool) -> Iterator[Figure]:
    """Speed of the first stage of DeepJSCC's training."""
    return measure_training(DeepJsccSystem(), Path("experiments/train/deepjscc.yaml"), quick)


def measure_chain(quick: bool) -> Iterator[Figure]:
    """A sweep of BPG + LDPC against a plain loop: same images, MCS and metric."""
    with one_thread():
        ours, loop = compare_chain(*((64, 1) if quick else (256, 3)))
    text = f"bpg-ldpc:{MCS}, AWGN, BPG files cached, PSNR alone; the loop checks no contract and stores no row"
    yield faster("sweep", "sweep, one process", ours, "rows/s", "loop over Sionna's blocks", loop, text)


def compare_chain(crop: int, repeats: int) -> tuple[float, float]:
    """Rows per second of a sweep in one process, and of the loop: the fastest of runs in turns.

    Both compress with the same BPG encoder to what fits, and find its files in the cache.

    Args:
        crop: side of the sample images.
        repeats: turns.
    """
    images = load_image_set("samples", crop)
    config = SweepConfig(
        (SNR_DB, SNR_DB + 1), (CBR,), (f"bpg-ldpc:{MCS}",), images="samples", crop=crop, lpips="none", workers=1
    )
    loop = _sionna_loop(images)
    ours, theirs = [], []
    for _ in range(repeats + 1):  # the first fills caches and compiles
        ours.append(_rows_per_second(config))
        begin = time.perf_counter()
        for one in images:
            loop(one)
        theirs.append(len(images) / (time.perf_counter() - begin))
    return max(ours[1:]), max(theirs[1:])


def _rows_per_second(config: SweepConfig) -> float:
    """Counted from the first row: imports, networks and the plan come before it."""
    arrived = arrivals(config)
    begin, end = arrived[1], arrived[-1]
    return (end[1] - begin[1]) / (end[0] - begin[0])


def _sionna_loop(images: list[NamedImage]) -> Callable[[NamedImage], float]:
    """One image through Sionna's transport block encoder, mapper, AWGN, demapper and decoder; returns its PSNR."""
    from sionna.phy.channel import AWGN
    from sionna.phy.mapping import Demapper, Mapper
    from sionna.phy.nr import TBDecoder, TBEncoder
    from sionna.phy.nr.utils import calculate_tb_size

    height, width = images[0].size
    coded_bits = int(CBR * 3 * height * width) * BITS_PER_SYMBOL
    payload_bits = int(calculate_tb_size(BITS_PER_SYMBOL, CODE_RATE, num_coded_bits=coded_bits, device="cpu")[0])
    encoder = TBEncoder(payload_bits, coded_bits, CODE_RATE, BITS_PER_SYMBOL, device="cpu")
    decoder = TBDecoder(encoder, device="cpu")
    mapper, awgn = Mapper("qam", BITS_PER_SYMBOL, device="cpu"), AWGN(device="cpu")
    demapper, noise = Demapper("app", "qam", BITS_PER_SYMBOL, device="cpu"), 10 ** (-SNR_DB / 10)
    payload_bytes = payload_bits // 8

    def send(image: NamedImage) -> float:
        rgb = to_uint8(image.pixels)
        try:
            file = bpg.encode_to_size(rgb, payload_bytes).data
        except bpg.BpgDoesNotFit:
            file = b""
        bits = np.unpackbits(np.frombuffer(file.ljust(payload_bytes, b"\0"), np.uint8)).astype(np.float32)
        sent = np.pad(bits, (0, payload_bits - len(bits)))
        llrs = demapper(awgn(mapper(encoder(torch.from_numpy(sent)[None])), noise), torch.tensor(noise))
        decoded, held = decoder(llrs)
        received = np.packbits(decoded[0].numpy().astype(np.uint8))[: len(file)].tobytes()
        shown = bpg.decode(received) if file and bool(held[0]) else np.full_like(rgb, 114)
        return psnr_db(rgb, shown)

    return send

"""The bound: a real file within the capacity, and above the real chain."""

from fractions import Fraction

import pytest
import torch

from simulator.baselines import bpg
from simulator.baselines.separation import bpg_capacity, bpg_ldpc
from simulator.channels import load_channel
from simulator.images import load_image_set
from simulator.images.pixels import to_float, to_uint8
from simulator.link import channel_key, outage_image, transmit
from simulator.metrics import measure

CBR = Fraction(1, 8)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """float32 [2, 3, 96, 96], natural."""
    return torch.stack([image.pixels for image in load_image_set("samples", crop=96)[:2]])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "capacity-cache"))


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rayleigh-fast", "tdl-c:csi=lmmse"])
def test_the_file_is_the_finest_within_the_capacity(images: torch.Tensor, name: str) -> None:
    channel = load_channel(name)
    trip = transmit(bpg_capacity("qp=whole"), images, CBR, channel, 12.0, realisation=3)
    assert trip.transmission is None
    for index, image in enumerate(images):
        key = channel_key(image, channel.name, 12.0, 3, 0)
        capacity_bits = int(channel.realise(trip.ledgers[index].data, 12.0, key).capacity_bits)
        encoded = bpg.encode_to_size(to_uint8(image), capacity_bits // 8, fill=False)
        assert torch.equal(trip.decoded.images[index], to_float(bpg.decode(encoded.data)))
        assert len(bpg.encode(to_uint8(image), encoded.qp - 1)) > capacity_bits // 8
        used = 8 * len(encoded.data) / capacity_bits
        assert trip.ledgers[index].payload == pytest.approx(used * trip.ledgers[index].data, abs=1)
        assert trip.ledgers[index].data == 3 * 96 * 96 // 8


def test_no_chain_of_the_same_codec_beats_it(images: torch.Tensor) -> None:
    for snr_db in (2.0, 9.0, 16.0):
        bound = transmit(bpg_capacity(), images, CBR, load_channel("awgn"), snr_db)
        chain = transmit(bpg_ldpc(), images, CBR, load_channel("awgn"), snr_db)
        for image, ideal, real in zip(images, bound.decoded.images, chain.decoded.images, strict=True):
            assert measure(image, real).psnr_db <= measure(image, ideal).psnr_db <= measure(image, real).psnr_db + 4


def test_too_little_capacity_is_an_outage_that_is_billed(images: torch.Tensor) -> None:
    trip = transmit(bpg_capacity(), images, Fraction(1, 1000), load_channel("awgn"), 0.0)
    assert trip.decoded.outage == [True, True]
    assert torch.equal(trip.decoded.images[0], outage_image((96, 96)))
    assert trip.ledgers[0].total == trip.ledgers[0].padding == 27
    nothing = transmit(bpg_capacity(), images, Fraction(1, 10**6), load_channel("awgn"), -90.0)
    assert nothing.decoded.outage == [True, True]
    assert nothing.ledgers[0].total == 0


def test_chroma_is_an_option() -> None:
    assert bpg_capacity().name == bpg_capacity("chroma=444").name == "bpg-capacity"
    assert bpg_capacity("chroma=420").name == "bpg-capacity:chroma=420"


@pytest.mark.slow
def test_kodak_stands_where_the_public_table_says(kodak_dir) -> None:
    """Every eighth image at whole QPs, 10 dB and CBR 1/24.

    All 24 then have 32.71 dB; BPG 4:4:4 (x265) has 32.61 dB in CompressAI's public rate-distortion table.
    """
    quality = []
    for image in load_image_set("kodak")[3::8]:
        trip = transmit(bpg_capacity("qp=whole"), image.pixels[None], Fraction(1, 24), load_channel("awgn"), 10.0)
        quality.append(measure(image.pixels, trip.decoded.images[0]).psnr_db)
    assert sum(quality) / 3 == pytest.approx(35.93, abs=0.05)

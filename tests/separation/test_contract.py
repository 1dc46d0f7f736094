"""A codec that breaks its contract is named in one line, and costs a sweep a flagged row."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from simulator.channels import load_channel
from simulator.errors import SchemeError
from simulator.link import outage_image, transmit
from simulator.separation import CodecCapacity, DigitalChain
from simulator.source import DamagedFile, SourceCodec

IMAGES = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(5))
LINK = {"mcs": "4qam-1/2", "adaptation": "average", "decoder": "layered"}
AWGN = load_channel("awgn")


class Mean(SourceCodec):
    """Three bytes: the mean colour."""

    name = "mean"

    def version(self) -> str:
        return "1"

    def encode(self, rgb: np.ndarray, max_bytes: int) -> bytes:
        return rgb.mean((0, 1)).astype(np.uint8).tobytes()

    def decode(self, data: bytes, size: tuple[int, int]) -> np.ndarray:
        return np.broadcast_to(np.frombuffer(data, np.uint8), (*size, 3))


def trip(codec: SourceCodec):
    return transmit(DigitalChain(codec, "own", LINK), IMAGES, Fraction(1, 16), AWGN, 20.0)


def test_any_codec_crosses_the_link_and_reaches_the_bound() -> None:
    expected = Mean().decode(Mean().encode((IMAGES[0].permute(1, 2, 0).numpy() * 255).round(), 3), (32, 48))
    for sent in (trip(Mean()), transmit(CodecCapacity(Mean(), "b"), IMAGES, Fraction(1, 16), AWGN, 20.0)):
        assert sent.decoded.outage == [False]
        shown = (sent.decoded.images[0].permute(1, 2, 0).numpy() * 255).round()
        assert np.array_equal(shown, expected)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (bytes(5000), r"own: encode wrote 5000 bytes, \d+ were allowed"),
        (b"", "encode must return bytes, or raise DoesNotFit; it returned b''"),
        ("text", "encode must return bytes, or raise DoesNotFit; it returned 'text'"),
    ],
)
def test_files_that_break_the_contract_are_refused(monkeypatch, written: object, said: str) -> None:
    monkeypatch.setattr(Mean, "encode", lambda self, rgb, max_bytes: written)
    with pytest.raises(SchemeError, match=said):
        trip(Mean())


def test_what_is_no_image_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(Mean, "decode", lambda self, data, size: np.zeros((*size, 3)))
    with pytest.raises(SchemeError, match=r"decode must return uint8 \(32, 48, 3\), not float64 \(32, 48, 3\)"):
        trip(Mean())


def _refuse(self: SourceCodec, data: bytes, size: tuple[int, int]) -> np.ndarray:
    raise DamagedFile("truncated")


def _narrow(self: SourceCodec, data: bytes, size: tuple[int, int]) -> np.ndarray:
    return np.zeros((size[0], size[1] - 1, 3), np.uint8)


@pytest.mark.parametrize("decode", [_refuse, _narrow])
def test_a_damaged_file_is_an_outage_on_the_link_and_a_fault_of_the_bound(monkeypatch, decode) -> None:
    monkeypatch.setattr(Mean, "decode", decode)
    sent = trip(Mean())
    assert sent.decoded.outage == [True]
    assert torch.equal(sent.decoded.images[0], outage_image((32, 48)))
    with pytest.raises(SchemeError, match="cannot read the file that encode wrote"):
        transmit(CodecCapacity(Mean(), "bound"), IMAGES, Fraction(1, 16), AWGN, 20.0)

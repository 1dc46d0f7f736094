import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.phy.crc import append_crc, check_crc, crc

# CRC catalogue, reveng.sourceforge.io: CRC-24/LTE-A, CRC-24/LTE-B and CRC-16/XMODEM of "123456789".
CHECK_VALUES = {"24A": 0xCDE703, "24B": 0x23EF52, "16": 0x31C3}


@pytest.mark.parametrize("kind", CHECK_VALUES)
def test_catalogue_check_values(kind):
    message = np.frombuffer(b"123456789", dtype=np.uint8)[None]
    assert crc(message, kind)[0] == CHECK_VALUES[kind]


@given(st.binary(min_size=1, max_size=64), st.sampled_from(["24A", "24B", "16"]), st.data())
def test_every_burst_up_to_the_crc_length_is_detected(message, kind, data):
    block = append_crc(np.frombuffer(message, dtype=np.uint8)[None], kind)
    assert check_crc(block, kind).all()
    length = int(kind[:2])
    bits = np.unpackbits(block)
    start = data.draw(st.integers(0, bits.size - length))
    burst = data.draw(st.integers(1, 2**length - 1))
    bits[start : start + length] ^= np.array([(burst >> i) & 1 for i in range(length)], dtype=np.uint8)
    assert not check_crc(np.packbits(bits)[None], kind).any()


def test_matches_sionna():
    torch = pytest.importorskip("torch")
    from sionna.phy.fec.crc import CRCEncoder

    bits = np.random.default_rng(0).integers(0, 2, (4, 800)).astype(np.uint8)
    for kind in CHECK_VALUES:
        expected = CRCEncoder(f"CRC{kind}")(torch.tensor(bits, dtype=torch.float32)).numpy()
        assert np.array_equal(np.unpackbits(append_crc(np.packbits(bits, axis=1), kind), axis=1), expected)

"""Bit-level codes against the examples of their specifications."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.baselines.bpg.bitstream import (
    UE7_LIMIT,
    BitReader,
    BitWriter,
    escape,
    read_ue7,
    split_nal_units,
    unescape,
    write_ue7,
)
from simulator.baselines.bpg.errors import BpgFormatError


@pytest.mark.parametrize(("code", "value"), [("08", 8), ("841e", 542), ("acbe17", 728855)])
def test_ue7_examples_of_the_specification(code: str, value: int) -> None:
    assert write_ue7(value).hex() == code
    assert read_ue7(bytes.fromhex(code), 0) == (value, len(code) // 2)


@given(st.integers(0, UE7_LIMIT), st.binary(max_size=4), st.binary(max_size=4))
def test_ue7_round_trip(value: int, before: bytes, after: bytes) -> None:
    code = write_ue7(value)
    assert read_ue7(before + code + after, len(before)) == (value, len(before) + len(code))


@pytest.mark.parametrize("code", ["", "84", "8001", "ffffffffff7f", "8480808000"])
def test_ue7_refuses_truncated_padded_and_huge_codes(code: str) -> None:
    with pytest.raises(BpgFormatError):
        read_ue7(bytes.fromhex(code), 0)


@given(st.lists(st.tuples(st.sampled_from(["u", "ue"]), st.integers(0, 2**20 - 1))))
def test_bit_fields_round_trip(fields: list[tuple[str, int]]) -> None:
    writer = BitWriter()
    for kind, value in fields:
        writer.ue(value) if kind == "ue" else writer.u(20, value)
    reader = BitReader(writer.rbsp())
    assert [reader.ue() if kind == "ue" else reader.u(20) for kind, _ in fields] == [value for _, value in fields]


@pytest.mark.parametrize(("value", "bits"), [(0, "1"), (1, "010"), (2, "011"), (3, "00100"), (8, "0001001")])
def test_exp_golomb_codes_of_h265_table_9_2(value: int, bits: str) -> None:
    writer = BitWriter()
    writer.ue(value)
    assert writer.zero_padded() == int(bits.ljust(8, "0"), 2).to_bytes(1, "big")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00" * 9])
def test_exp_golomb_refuses_truncated_and_huge_codes(data: bytes) -> None:
    with pytest.raises(BpgFormatError):
        BitReader(data).ue()


@given(st.lists(st.integers(0, 4), max_size=40))
def test_emulation_prevention_hides_start_codes_and_undoes(values: list[int]) -> None:
    rbsp = bytes([*values, 0x80])
    escaped = escape(rbsp)
    assert unescape(escaped) == rbsp
    assert not any(pattern in escaped for pattern in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_nal_units_after_short_and_long_start_codes() -> None:
    assert list(split_nal_units(b"\0\0\1\x44\x01\0\0\0\1\x26\x01\x80\0\0")) == [b"\x44\x01", b"\x26\x01\x80"]

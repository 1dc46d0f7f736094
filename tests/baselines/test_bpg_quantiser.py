"""The QP that a file's headers give is the one that it was written with."""

import numpy as np
import pytest

from simulator.baselines import bpg
from simulator.baselines.bpg.bitstream import BitWriter
from simulator.baselines.bpg.codec import groups
from simulator.baselines.bpg.quantiser import picture_qp

RGB = np.random.default_rng(1).integers(0, 256, (40, 72, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("chroma", ["444", "420"])
@pytest.mark.parametrize("qp", [0, 1, 25, 26, 27, 37, 51])
def test_a_files_qp_is_read_from_its_headers(chroma: str, qp: int) -> None:
    assert bpg.read_qp(bpg.encode(RGB, qp, chroma)) == qp


def test_a_finer_part_does_not_change_it() -> None:
    for finer in range(1, groups(*RGB.shape[:2]) + 1):
        assert bpg.read_qp(bpg.encode(RGB, 30, finer=finer)) == 30


def test_fields_between_are_passed_over() -> None:
    """Another encoder's headers: an output flag, extra bits, a base QP of its own, chroma without offsets."""
    pps, head = BitWriter(), BitWriter()
    pps.u(16, 34 << 9), pps.ue(0), pps.ue(0), pps.u(1, 1), pps.u(1, 1), pps.u(3, 2), pps.u(2, 3), pps.ue(0), pps.ue(0)
    pps.ue(2 * 6)  # -6
    head.u(16, 19 << 9), head.u(2, 2), head.ue(0), head.u(2, 3), head.ue(2), head.u(1, 1), head.u(1, 0)
    head.ue(2 * 5 - 1)  # +5
    units = [pps.rbsp(), head.rbsp()]
    assert picture_qp(units, sample_adaptive_offset=True, chroma_format_idc=0) == 26 - 6 + 5


def test_what_is_cut_short_is_malformed() -> None:
    data = bpg.encode(RGB, 30)
    for cut in range(len(data) - 1):
        try:
            assert bpg.read_qp(data[:cut]) == 30
        except bpg.BpgFormatError:
            continue
    with pytest.raises(bpg.BpgFormatError, match="lacks a picture parameter set or a slice"):
        picture_qp([b"\x44\x01\xc0"], sample_adaptive_offset=True, chroma_format_idc=3)

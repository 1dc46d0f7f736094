"""The self-tests pass on a right installation, and each sees the fault that it is there for."""

import json
from fractions import Fraction
from importlib.resources import files

import numpy as np
import pytest
import torch

from simulator import selftest
from simulator.channels import flat, ofdm, paths
from simulator.errors import UserError
from simulator.phy import mcs, qam


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "NUM_DRAWS", 200)


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rayleigh-fast", "rician", "tdl-c", "cdl-d", "umi"])
def test_channels_pass(name: str) -> None:
    assert all(check.passed for check in selftest.check_channel(name))


def test_faults_of_a_multipath_channel_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ofdm, "noise_variance", lambda snr_db: 2 * 10 ** (-snr_db / 10))
    assert [check.passed for check in selftest.check_channel("tdl-a")] == [False, True]
    right = paths.Paths.response
    monkeypatch.setattr(paths.Paths, "response", lambda self, frequencies: 2 * right(self, frequencies))
    assert [check.passed for check in selftest.check_channel("tdl-a")] == [False, False]


def test_noise_on_each_real_dimension_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "noise_variance", lambda snr_db: 2 * 10 ** (-snr_db / 10))
    assert [check.passed for check in selftest.check_channel("awgn")] == [False, True]


def test_a_gain_of_the_wrong_power_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = flat.rayleigh_gains
    monkeypatch.setattr(flat, "rayleigh_gains", lambda count, key: right(count, key) * 2**0.5)
    assert [check.passed for check in selftest.check_channel("rayleigh-fast")] == [True, False]


def test_qam_passes() -> None:
    checks = list(selftest.check_qam())
    assert len(checks) == 8
    assert all(check.passed for check in checks)


def test_a_wrong_theory_of_qam_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = qam.uncoded_bit_error_rate
    monkeypatch.setattr(qam, "uncoded_bit_error_rate", lambda snr_db, bits: right(snr_db + 0.3, bits))
    assert not any(check.passed for check in selftest.check_qam() if "bit error" in check.name)


def test_ldpc_passes_and_a_wrong_threshold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(check.passed for check in selftest.check_ldpc())
    right = mcs.Mcs.threshold_db
    monkeypatch.setattr(mcs.Mcs, "threshold_db", lambda self, bler, info_bits: right(self, bler, info_bits) - 1)
    assert not all(check.passed for check in selftest.check_ldpc())


@pytest.mark.usefixtures("lpips_backbone_dir")
def test_lpips_passes() -> None:
    alex, squeeze, vgg = selftest.check_lpips()
    assert (alex.passed, squeeze.passed) == (True, True)
    assert vgg.passed in (True, None)  # None where VGG16's features are not on the machine


def test_a_part_that_breaks_is_a_line_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise np.linalg.LinAlgError("singular\nmatrix")

    def missing() -> None:
        raise UserError("no such thing")

    assert [check.passed for check in selftest._guarded("x", broken)] == [False]
    assert [check.passed for check in selftest._guarded("x", missing)] == [None]


def test_every_released_network_is_held_to_the_lattice_test() -> None:
    systems = {
        json.loads(file.read_text())["system"]
        for file in files("simulator.models.pretrained").iterdir()
        if file.name.endswith(".json")
    }
    held = {"receiver" if "receiver=" in spec else spec.partition(":")[0] for spec in selftest.RELEASED_LATTICES}
    assert systems == held


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "known"), selftest.RELEASED_LATTICES.items())
def test_released_networks_weave_no_lattice_but_those_that_are_known_to(
    monkeypatch: pytest.MonkeyPatch, spec: str, known: float | None
) -> None:
    if "jscc" not in spec:  # one network for all CBRs: its first and last show what it weaves
        monkeypatch.setattr(selftest, "LATTICE_CBRS", selftest.LATTICE_CBRS[::3])
    (check,) = selftest.check_lattice(spec, known)
    if known is None:
        assert check.passed
    else:  # a cured network must lose its entry in RELEASED_LATTICES
        assert check.known
        assert not check.passed
        assert float(check.measured.split()[0]) == pytest.approx(known, rel=0.2)


def test_a_lattice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = selftest._shown
    checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 255

    def woven(scheme: object, image: torch.Tensor, cbr: Fraction) -> torch.Tensor:
        height, width = image.shape[1:]
        return right(scheme, image, cbr) + checkerboard.repeat(height // 2 + 1, width // 2 + 1)[:height, :width]

    monkeypatch.setattr(selftest, "_shown", woven)
    monkeypatch.setattr(selftest, "LATTICE_CBRS", (Fraction(1, 16),))
    (check,) = selftest.check_lattice("deepjscc")
    assert (check.passed, check.known) == (False, False)

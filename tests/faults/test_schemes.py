"""Networks that give NaN, weights that are damaged."""

from dataclasses import replace

import pytest
import torch

from simulator.errors import UserError
from simulator.link import OUTAGE_GREY, Decoded, Transmission
from simulator.models.pretrained import load_pretrained
from simulator.sweep import run_sweep
from tests.faults.conftest import quietly, without_times

ODD = pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])


@pytest.fixture
def toy(config):
    import toy_schemes

    return toy_schemes.Toy


def expect_faults(config, tmp_path, monkeypatch, toy, half, broken, match):
    """Sweep with one half of a scheme broken at 2 dB: these rows are flagged, all others are as ever."""
    config = replace(config, schemes=("toy",))
    expected = run_sweep(config, tmp_path / "expected", notify=quietly)
    sound = getattr(toy, half)
    monkeypatch.setattr(toy, half, lambda self, *given: broken(sound(self, *given), given))
    results = run_sweep(config, tmp_path / "broken", notify=quietly)
    flagged = [row for row in results.rows if row.fault is not None]
    assert {row.snr_db for row in flagged} == {2.0}
    assert len(flagged) == results.faults == 4
    assert all(match in row.fault and row.outage and row.cbr_payload == 0 for row in flagged)
    others = [[row for row in one.rows if row.snr_db != 2] for one in (results, expected)]
    assert without_times(others[0]) == without_times(others[1])


@ODD
def test_encoder_that_sends_what_is_not_finite(config, tmp_path, monkeypatch, toy, value):
    def broken(sent, given):
        symbols = [torch.full_like(one, value) if given[2].snr_db == 2 else one for one in sent.symbols]
        return Transmission(symbols, sent.ledgers)

    expect_faults(config, tmp_path, monkeypatch, toy, "encode", broken, "mean symbol power is")


@ODD
def test_decoder_that_shows_what_is_not_finite(config, tmp_path, monkeypatch, toy, value):
    def broken(shown, given):
        images = shown.images.clone()
        images[0, 0, 0, 0] = value if given[0].state.snr_db == 2 else images[0, 0, 0, 0]
        return Decoded(images, shown.outage)

    expect_faults(config, tmp_path, monkeypatch, toy, "decode", broken, "must be finite")


def test_scheme_that_raises(config, tmp_path, monkeypatch, toy):
    def broken(sent, given):
        if given[2].snr_db == 2:
            raise IndexError("out of\nrange \x1b[31m")
        return sent

    expect_faults(config, tmp_path, monkeypatch, toy, "encode", broken, "IndexError: out of range �[31m")


def test_fault_is_scored_as_the_grey_that_is_shown(config, tmp_path, monkeypatch, toy):
    from simulator.metrics import measure

    monkeypatch.setattr(toy, "decode", lambda self, reception: 1 / 0)
    results = run_sweep(replace(config, schemes=("toy",), snrs_db=(0.0,)), tmp_path, notify=quietly)
    from simulator.images import load_image_set

    pixels = {image.name: image.pixels for image in load_image_set(config.images)}
    for row in results.rows:
        assert row.psnr_db == measure(pixels[row.image], torch.full_like(pixels[row.image], OUTAGE_GREY)).psnr_db


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other"])
def test_damaged_weights(tmp_path, damage):
    from simulator.models.pretrained import release

    release(tmp_path, "net", {"weight": torch.randn(40, 30)}, {"system": "test"})
    path = tmp_path / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255 * (damage == "flipped")
    path.write_bytes({"truncated": data[:-100], "empty": b"", "other": b"PK\3\4" * 100}.get(damage, data))
    with pytest.raises(UserError, match="do not match the hash"):
        load_pretrained("net", tmp_path)

"""What a scheme costs: torch's counter against sums by hand, memory against tensors of known size."""

import json
from pathlib import Path

import pytest
import torch

from simulator.__main__ import main
from simulator.baselines.deepjscc.net import NetConfig
from simulator.cost import CROP, _Memory, measure_costs
from simulator.link import load_scheme
from simulator.models.pretrained import read_card
from simulator.spec.options import Declaration


def _by_hand(config: NetConfig) -> tuple[float, float]:
    """Multiply-accumulates per pixel of DeepJSCC's layers and of the DCTs around them, from their sizes alone."""
    latents, side = 2 * config.uses, CROP // 16
    transform = latents * 2 * side / 256  # two products with a side x side matrix, per coefficient
    width = config.encoder_width
    encoder = 3 * latents + 3 * 25 * 48 / 16 + 49 * 9 * width / 64 + width * 9 * latents / 256 + transform
    encoder += config.encoder_blocks * 2 * 9 * width**2 / 64
    width, detail = config.decoder_width, config.detail_width
    decoder = transform + 3 * latents + (latents + 1) * 4 * width / 256 + width * 4 * detail / 64
    decoder += config.decoder_blocks * 2 * 9 * width**2 / 64
    decoder += (48 * 9 * detail + config.detail_blocks * 2 * 9 * detail**2 + detail * 9 * 48) / 16
    return encoder, decoder


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    (cost,) = measure_costs(["deepjscc"])
    encoder, decoder = _by_hand(NetConfig())
    assert cost.encoder.macs_per_pixel == pytest.approx(encoder, rel=0.01)
    assert cost.decoder.macs_per_pixel == pytest.approx(decoder, rel=0.01)
    assert cost.weights > 100_000
    stated = read_card("deepjscc-1-16")["cost"]
    assert stated["weights"] == cost.weights
    assert stated["decoder_macs_per_pixel"] == pytest.approx(cost.decoder.macs_per_pixel, rel=1e-3)
    assert cost.encoder.seconds > 0 < cost.decoder.seconds


def test_peak_memory_is_what_lives_at_once() -> None:
    with torch.inference_mode(), _Memory() as memory:
        first = torch.zeros(1 << 20)
        second = first + 1  # 8 MiB live
        del first
        third = second * 2  # 8 MiB again
        third += 1
    assert memory.peak == 8 << 20


def test_bounds_cost_nothing_and_are_left_out() -> None:
    assert list(measure_costs(["bpg-capacity"])) == []
    assert load_scheme("bpg-capacity").name == "bpg-capacity"


def _only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these be all schemes that there are."""
    known = [Declaration(name, "") for name in names]
    monkeypatch.setattr("simulator.spec.plugins.declarations", lambda group: known)


def test_list_shows_costs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _only(monkeypatch, "bpg-ldpc", "bpg-capacity")
    assert main(["list", "schemes", "--cost", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["costs"]
    assert row["scheme"] == "bpg-ldpc"
    assert row["weights"] == row["encoder_macs_per_pixel"] == 0
    assert row["encoder_seconds"] > 0
    assert main(["list", "channels", "--cost"]) == 2
    assert "--cost measures all schemes" in capsys.readouterr().err


def test_bench_shows_the_same_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "cost", "--scheme", "bpg-ldpc"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("bpg-ldpc", "weights", "kMAC/pixel", "CBR 1/16 and 10 dB"))


def test_schemes_without_weights_are_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SIMULATOR_DATA_DIR", str(tmp_path))
    _only(monkeypatch, "ntscc", "bpg-ldpc")
    assert main(["list", "schemes", "--cost", "--json"]) == 0
    said = capsys.readouterr()
    assert "left out: 'ntscc' needs weights=NAME" in said.err
    assert [one["scheme"] for one in json.loads(said.out)["costs"]] == ["bpg-ldpc"]

"""What the playground offers beside numbers: the command to copy, errors and pixels, quality against SNR."""

import json
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator.__main__ import main
from simulator.images import load_image_set

pytest.importorskip("gradio", reason="gradio is not installed")
from simulator.app import closer, curves, takeaway, views
from simulator.app.session import LONG_SIDE, Machine, Settings, prepare, simulate


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "app-cache"))


def test_the_command_sends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rgb = load_image_set("samples", crop=64)[1].rgb
    Image.fromarray(rgb).save(tmp_path / "my photo.png")
    settings = Settings("bpg-ldpc:16qam-1/2", Fraction(1, 6), "rician:K=6", 13.5, realisation=2, seed=5)
    outcome = simulate(settings, rgb)
    words = shlex.split(takeaway.command(settings, "my photo.png", scaled=False))
    assert words[:4] == ["python", "-m", "simulator", "transmit"]
    monkeypatch.chdir(tmp_path)
    assert main([*words[3:], "--lpips", "none", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    times = {key: outcome.record.pop(key) for key in ("encode_s", "decode_s")}
    assert None not in times.values()
    assert {key: printed[key] for key in outcome.record} == outcome.record
    np.testing.assert_array_equal(np.asarray(Image.open("received.png")), outcome.received)


def test_the_command_scales_as_the_page_does(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (4, 500, 3))).save(tmp_path / "large.png")
    settings = Settings("deepjscc", Fraction(1, 16), "awgn", 10.0, machine=Machine("cuda:1", "bf16"))
    text = takeaway.command(settings, "large.png", prepare(tmp_path / "large.png", scale_down=True).is_scaled)
    assert f" --resize {LONG_SIDE} " in text
    assert " --device cuda:1 --precision bf16 " in text
    assert "--resize" not in takeaway.command(settings, "large.png", prepare(tmp_path / "large.png", False).is_scaled)


@pytest.mark.parametrize(
    ("scheme", "cbr", "snr_db", "why"),
    [
        ("bpg-ldpc:16qam-3/4", Fraction(1, 6), 0.0, "a CRC failed"),
        ("bpg-ldpc:4qam-1/5", Fraction(1, 300), 20.0, "nothing was sent"),
        ("bpg-capacity", Fraction(1, 300), -5.0, "nothing was sent"),
    ],
)
def test_an_outage_says_why(scheme: str, cbr: Fraction, snr_db: float, why: str) -> None:
    outcome = simulate(Settings(scheme, cbr, "awgn", snr_db), load_image_set("samples", crop=64)[1].rgb)
    assert outcome.record["outage"]
    assert f"outage: {why}" in views.headline(outcome)


def test_an_error_map_is_the_difference() -> None:
    source, shown = np.full((4, 6, 3), 100, np.uint8), np.full((4, 6, 3), 100, np.uint8)
    shown[1, 2] = (104, 96, 100)  # 8/3 on average
    shown[3, 5] = 255
    found = closer.error_map(source, shown, gain=4)
    assert (found[1, 2].tolist(), found[3, 5].tolist(), int(found.sum())) == ([11] * 3, [255] * 3, 3 * (11 + 255))


@pytest.mark.parametrize("place", [(0, 0), (40, 30), (199, 119)])
def test_pixels_are_enlarged_where_asked(place: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (120, 200, 3), np.uint8)
    shown = closer.crops({"source": picture, "received": 255 - picture}, *place)
    side, zoom = closer.SIDE, closer.ZOOM
    assert shown.shape == (side * zoom, 2 * side * zoom + closer.GAP, 3)
    small = shown[:: closer.ZOOM, : side * zoom : zoom]
    np.testing.assert_array_equal(shown[::zoom, side * zoom + closer.GAP :: zoom], 255 - small)
    left, top = min(max(place[0] - side // 2, 0), 200 - side), min(max(place[1] - side // 2, 0), 120 - side)
    np.testing.assert_array_equal(small, picture[top : top + side, left : left + side])


def test_two_received_pictures_have_an_error_each() -> None:
    one = np.zeros((20, 20, 3), np.uint8)
    assert list(closer.with_errors({"source": one, "received": one}, 1)) == ["source", "received", "error"]
    names = list(closer.with_errors({"source": one, "A": one, "B": one}, 1))
    assert names == ["source", "A", "B", "error of A", "error of B"]


def test_a_curve_has_every_snr_in_the_colour_of_its_scheme() -> None:
    rgb = load_image_set("samples", crop=64)[1].rgb
    settings = [Settings(scheme, Fraction(1, 6), "awgn", 7.5) for scheme in ("bpg-ldpc", "bpg-capacity")]
    found: list[list] = [[], []]
    for number, outcome in curves.measure(settings, lambda one: simulate(one, rgb)):
        found[number].append(outcome)
    figure = curves.draw(found, 7.5)
    assert [trace.line.color for trace in figure.data] == ["#009E73", views.INK]
    for trace, outcomes in zip(figure.data, found, strict=True):
        assert list(trace.x) == [0, 5, 7.5, 10, 15, 20]
        assert list(trace.y) == [one.record["psnr_db"] for one in outcomes]
        assert trace.y[-1] > trace.y[0]

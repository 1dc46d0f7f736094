"""What the playground computes is what the command line computes; what it refuses, it refuses in one line."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator.__main__ import main
from simulator.app import session
from simulator.app.session import LONG_SIDE, MAX_PIXELS, SHOWN_SYMBOLS, Machine, Settings, prepare, simulate
from simulator.errors import UserError
from simulator.images import load_image, load_image_set, reading
from simulator.results.store import load_results

OUTCOME = ("psnr_db", "ms_ssim", "lpips", "outage", "snr_db_realised", "cbr", "cbr_payload")
ITEMS = ("payload", "side_information", "header", "crc", "padding", "pilots")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "app-cache"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A natural 64x48 picture in a folder of its own."""
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(load_image_set("samples", crop=64)[1].rgb[:48]).save(path)
    return path


def test_an_outcome_is_the_row_of_a_sweep_and_what_transmit_prints(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings("bpg-ldpc", Fraction(1, 6), "rician:K=6", 13.0, realisation=1, seed=5)
    outcome = simulate(settings, prepare(photo, scale_down=True).rgb)
    asked = ["--scheme", "bpg-ldpc", "--cbr", "1/6", "--channel", "rician:K=6", "--snr", "13", "--seed", "5"]
    asked += ["--lpips", "none"]
    assert main(["transmit", str(photo), *asked, "--realisation", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    measured = {key: outcome.record[key] for key in (*OUTCOME, *ITEMS)}
    assert {key: printed[key] for key in measured} == measured
    folder = tmp_path / "results"
    sweep = ["sweep", "--images", str(photo.parent), *asked, "--realisations", "2", "--workers", "1"]
    assert main([*sweep, "--out", str(folder)]) == 0
    row = next(row for row in load_results(folder).rows if row.realisation == 1)
    assert {key: getattr(row, key) for key in measured} == measured
    assert (row.scheme, row.channel) == (outcome.scheme, outcome.channel)


def test_the_picture_that_is_shown_is_the_one_that_was_measured(photo: Path) -> None:
    rgb = load_image(photo)
    outcome = simulate(Settings("deepjscc", Fraction(1, 12), "awgn", 9.0), rgb)
    error = np.square(outcome.source.astype(float) - outcome.received).mean()
    assert outcome.record["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error))
    assert outcome.record["encode_s"] > 0


def test_two_schemes_meet_the_same_gains(photo: Path) -> None:
    rgb = load_image(photo)
    shown = [
        simulate(Settings(scheme, Fraction(1, 12), "rayleigh", 40.0), rgb).constellation
        for scheme in ("deepjscc", "bpg-ldpc")
    ]
    gains = []
    for one in shown:
        assert one is not None
        assert one.equalised is not None
        np.testing.assert_allclose(one.equalised, one.sent, atol=0.1)
        gains.append(np.vdot(one.sent, one.received) / np.vdot(one.sent, one.sent))
    assert gains[0] == pytest.approx(gains[1], abs=0.01)


def test_a_constellation_is_a_sample_of_the_symbols() -> None:
    rgb = load_image_set("samples", crop=128)[0].rgb
    shown = simulate(Settings("deepjscc", Fraction(1, 12), "awgn", 0.0), rgb).constellation
    assert shown is not None
    assert shown.equalised is None  # over AWGN nothing fades
    assert shown.count == 128 * 128 * 3 // 12
    assert len(shown.sent) == len(shown.received) == SHOWN_SYMBOLS
    assert np.square(np.abs(shown.received - shown.sent)).mean() == pytest.approx(1, rel=0.15)


def test_a_bound_has_no_constellation_and_takes_no_time(photo: Path) -> None:
    outcome = simulate(Settings("bpg-capacity", Fraction(1, 6), "awgn", 10.0), load_image(photo))
    assert (outcome.constellation, outcome.record["encode_s"], outcome.record["decode_s"]) == (None, None, None)


@pytest.mark.parametrize(
    ("scheme", "cbr", "channel", "message"),
    [
        ("nothing", "1/16", "awgn", "unknown scheme 'nothing'"),
        ("deepjscc", "1/7", "awgn", "cannot run at CBR 1/7: DeepJSCC is trained for"),
        ("deepjscc", "1/16", "rician:k=6", "'rician' has no option 'k=6'"),
        ("bpg-ldpc:17qam", "1/16", "awgn", "no option '17qam'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(scheme: str, cbr: str, channel: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        simulate(Settings(scheme, Fraction(cbr), channel, 10.0), np.zeros((32, 32, 3), np.uint8))
    assert "\n" not in str(refusal.value)


def test_larger_pictures_are_scaled_down_if_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (1600, 800), "teal").save(path)
    scaled = prepare(path, scale_down=True)
    assert (scaled.rgb.shape, scaled.original) == ((LONG_SIDE // 2, LONG_SIDE, 3), (800, 1600))
    assert prepare(path, scale_down=False).rgb.shape == (800, 1600, 3)
    Image.new("RGB", (MAX_PIXELS // 1000 + 1, 1000)).save(path)
    with pytest.raises(UserError, match=r"^wide\.png: 2101x1000 is more than 2\.1 megapixels; let it be scaled down"):
        prepare(path, scale_down=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a picture", "not an image"), (b"tiny", "4x4 is too small"), (b"bomb", "megapixels; scale the image down")],
)
def test_what_is_no_usable_picture_is_refused_by_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(content)
    if content == b"tiny":
        Image.new("RGB", (4, 4)).save(path)
    if content == b"bomb":
        monkeypatch.setattr(reading, "MAX_PIXELS", 1000)
        Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(UserError, match=message) as refusal:
        prepare(path, scale_down=True)
    assert str(refusal.value).startswith("upload.png: ")


def test_settings_are_read_as_on_the_command_line() -> None:
    read = session.read_settings("lrisc", "1/16", "awgn", 7.5, 2, 3, Machine())
    assert read == Settings("lrisc", Fraction(1, 16), "awgn", 7.5, 2, 3)
    for values, message in [
        (("s", "0.9", "c", 1, 0, 0), "must lie in"),
        (("s", "1/16", "c", 101, 0, 0), "SNR '101' must lie in"),
        (("s", "1/16", "c", 1, None, 0), "realisation must be a whole number"),
        (("s", "1/16", "c", 1, 0, 0.5), "seed must be a whole number"),
    ]:
        with pytest.raises(UserError, match=message):
            session.read_settings(*values, Machine())


def test_lpips_is_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPIPS_BACKBONE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    session.find_lpips.cache_clear()
    assert session.find_lpips() is None
    session.find_lpips.cache_clear()


def test_a_port_in_use_and_a_missing_gradio_end_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--no-browser", "--port", str(port)]) == 2
    refusal = capfd.readouterr().err
    assert refusal.count("\n") == 1
    assert f"port {port} of 127.0.0.1" in refusal
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert main(["app", "--no-browser", "--port", str(port)]) == 2
    refusal = capfd.readouterr().err
    assert refusal.count("\n") == 1
    assert "pip install -e '.[app]'" in refusal


@pytest.mark.parametrize(
    ("host", "origin", "answered"),
    [
        ("127.0.0.1:7860", None, True),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", True),
        ("localhost:9000", "http://localhost:9000", True),
        ("127.0.0.1:7860", "https://example.org", False),
        ("127.0.0.1:7860", "http://localhost:7860", False),
        ("127.0.0.1:7860", "null", False),
        ("example.org", "http://example.org", False),
        ("127.0.0.1.example.org", None, False),
    ],
)
def test_other_websites_get_no_answer(host: str, origin: str | None, answered: bool) -> None:
    import asyncio

    from simulator.app.guard import OwnPageOnly

    reached, sent = [], []

    async def page(*_: object) -> None:
        reached.append(True)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    asyncio.run(OwnPageOnly(page)({"type": "http", "headers": headers}, None, send))
    assert bool(reached) == answered
    assert [message.get("status") for message in sent[:1]] == ([] if answered else [403])


def test_files_that_hold_schemes_are_named_on_the_command_line_alone() -> None:
    installed = session.installed_schemes()
    assert "bpg-ldpc" in installed
    assert not {"torch", "keras", "codec-ldpc", "codec-capacity"} & set(installed)

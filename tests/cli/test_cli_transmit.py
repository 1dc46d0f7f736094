"""The verbs `transmit` and `check`, driven as a person would."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator import selftest
from simulator.__main__ import main
from simulator.images import load_image, load_image_set
from simulator.images.pixels import to_uint8
from simulator.link import Reception, load_scheme
from simulator.metrics import psnr_db


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "transmit-cache"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A natural 64x64 picture."""
    path = tmp_path / "photo.png"
    Image.fromarray(load_image_set("samples", crop=64)[1].rgb).save(path)
    return path


def _run(*arguments: object) -> int:
    try:
        return main(["transmit", *map(str, arguments)])
    except SystemExit as refusal:
        return int(refusal.code or 0)


def test_what_is_written_is_what_was_measured(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, kept = tmp_path / "new" / "out.png", tmp_path / "reception.safetensors"
    arguments = [photo, "--snr", "14", "--cbr", "1/6", "--lpips", "none", "--json"]
    assert _run(*arguments, "--out", out, "--save-reception", kept) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["scheme"] == "bpg-ldpc"
    assert not record["outage"]
    assert record["psnr_db"] == psnr_db(load_image(photo), load_image(out))
    assert record["lpips"] is None
    items = ("payload", "side_information", "header", "crc", "padding", "pilots")
    assert record["cbr"] == pytest.approx(sum(record[item] for item in items) / (3 * 64 * 64))
    shown = load_scheme(record["scheme"]).decode(Reception.load(kept)).images[0]
    np.testing.assert_array_equal(to_uint8(shown), load_image(out))
    assert _run(*arguments) == 0
    assert json.loads(capsys.readouterr().out) == record


def test_a_bandwidth_ratio_that_a_scheme_lacks_is_refused(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(photo, "--scheme", "deepjscc", "--cbr", "1/7", "--lpips", "none") == 2
    assert "'deepjscc' cannot run at CBR 1/7: DeepJSCC is trained for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "shown"), [(b"caf\xe9\n[red].png", r"caf\xe9\n[red].png"), (b"\x1b[31mx.png", r"\x1b[31mx.png")]
)
def test_odd_names_are_shown_whole_on_one_line(photo: Path, capsys, name: bytes, shown: str) -> None:
    odd = Path(os.fsdecode(os.fsencode(photo.parent) + b"/" + name))
    photo.rename(odd)
    assert _run(odd, "--cbr", "1/6", "--lpips", "none") == 0
    assert capsys.readouterr().out.startswith(f"{shown} (64x64), bpg-ldpc over awgn")


def test_an_outage_is_said(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(photo, "--snr", "-9", "--scheme", "bpg-ldpc:64qam-2/3", "--lpips", "none") == 0
    text = capsys.readouterr().out
    assert "outage: a CRC failed" in text
    assert "header" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scheme", "bpg-lpdc"], "unknown scheme 'bpg-lpdc'; known: "),
        (["--channel", "awng"], "unknown channel 'awng'; known: awgn"),
        (["--scheme", "bpg-ldpc:16qam-1/9"], "no option '16qam-1/9'"),
        (["--cbr", "0"], "bandwidth ratio '0'"),
        (["--cbr", "0.6"], "bandwidth ratio '0.6'"),
        (["--snr", "loud"], "'loud' is not an SNR"),
        (["--out", "{folder}/out.gif"], "must end in .png"),
        (["--out", "{folder}/photo.png/out.png"], "cannot write"),
        (["--device", "cuda:99"], "device 'cuda:99' does not exist"),
        (["--save-reception", "{folder}/r.safetensors", "--scheme", "bpg-capacity"], "is a bound"),
    ],
)
def test_bad_input_is_one_line(
    photo: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    filled = [argument.format(folder=photo.parent) for argument in arguments]
    assert _run(photo, "--lpips", "none", *filled) == 2
    streams = capsys.readouterr()
    assert complaint in streams.err
    assert streams.err.count("\n") == 1
    assert not streams.out
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_unusable_pictures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "tiny.png")
    for name in ("tiny.png", "missing.png"):
        assert _run(tmp_path / name) == 2
        assert name in capsys.readouterr().err


def test_check_reports_and_fails_with_the_physics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [selftest.Check("one", "1", "1", True), selftest.Check("two", "no backbone", "2", None)]
    monkeypatch.setattr(selftest, "run_all", lambda: iter(outcomes))
    assert main(["check"]) == 0
    text = capsys.readouterr().out
    assert all(channel in text for channel in ("awgn", "rayleigh-fast", "tdl-c"))
    assert "1 passed, 0 failed, 1 skipped" in text
    outcomes.append(selftest.Check("three", "2", "3", False))
    assert main(["check", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [check["passed"] for check in report["checks"]] == [True, None, False]
    assert report["environment"]["packages"]["torch"]


def test_the_image_that_is_sent_is_not_written_over(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = photo.read_bytes()
    (link := photo.with_name("link.png")).symlink_to(photo)
    for out in (photo, link):
        assert _run(photo, "--out", out, "--lpips", "none") == 2
        assert "is the file that is read; name another file to write" in capsys.readouterr().err
    assert photo.read_bytes() == before

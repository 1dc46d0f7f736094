"""The playground, started as a person starts it and used in a real browser."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from simulator.__main__ import main
from simulator.app.session import find_scheme
from simulator.images import load_image_set
from simulator.results.store import load_results

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytest.importorskip("gradio", reason="gradio is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SECONDS = 240  # until a server is up, or a busy machine has sent a picture
COLUMNS = ("psnr_db", "cbr", "cbr_payload", "snr_db_realised")
SNR_DB = 4.5
# Gradio's own: its client ends the stream of an upload's progress with a stub that says so, and asks for the progress
# of uploads that it refused itself (too large), which the server knows nothing of.
OWN = re.compile(
    r"^warning: Method not implemented\.|/gradio_api/upload_progress\?|^error: Response \(\S*/assets/index"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures to upload: one that can be sent, one that is none, one that is too large."""
    folder = tmp_path_factory.mktemp("uploads")
    (folder / "set").mkdir()
    Image.fromarray(load_image_set("samples", crop=64)[1].rgb).save(folder / "set" / "photo.png")
    (folder / "fake.png").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("no picture either")
    (folder / "large.png").write_bytes(bytes(21 * 2**20))
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running playground; when it is told to end, it does, and leaves no upload behind."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = tmp_path_factory.mktemp("playground")
    environment = os.environ | {"TMPDIR": str(place), "SIMULATOR_CACHE_DIR": str(place / "cache")}
    command = [sys.executable, "-m", "simulator", "app", "--no-browser", "--port", str(port)]
    log = place / "log"
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            end = time.monotonic() + SECONDS
            while "playground on" not in log.read_text():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            code = server.wait(SECONDS)
    assert code == 0
    assert not list(place.glob("simulator-app-*"))
    assert "Traceback" not in log.read_text()


@pytest.fixture
def page(address: str, open_page: Callable[..., "Page"], complaints: list[str]) -> Iterator["Page"]:
    """The page, ready."""
    page = open_page(address)
    page.get_by_role("button", name="Send", exact=True).wait_for(timeout=1000 * SECONDS)
    yield page
    page.context.close()
    complaints[:] = [one for one in complaints if not OWN.search(one)]


def _upload(page: "Page", path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def _choose(page: "Page", label: str, option: str, index: int = 0) -> None:
    """Choose from a dropdown, the first of this label or a later one; its list fades, so wait until it is gone."""
    page.get_by_label(label, exact=True).locator("visible=true").nth(index).click()
    chosen = page.get_by_role("option", name=option, exact=True).locator("visible=true")
    chosen.click()
    chosen.wait_for(state="hidden")


def _fill(page: "Page", label: str, text: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Tab")


def _set_snr(page: "Page", snr_db: float) -> None:
    _fill(page, "number input for SNR (dB)", str(snr_db))


def _numbers(within: "Locator", index: int = 0) -> dict[str, Any]:
    """The numbers on the page in full; of a comparison, those of one side."""
    cells = {column: within.locator(f"[data-column={column}]").nth(index) for column in COLUMNS}
    return {column: json.loads(cell.get_attribute("data-value") or "null") for column, cell in cells.items()}


def _row(folder: Path, results: Path, scheme: str, *more: str) -> dict[str, Any]:
    """What a sweep measures of the same picture."""
    command = ["sweep", "--images", str(folder / "set"), "--scheme", scheme, "--snr", str(SNR_DB)]
    assert main([*command, *more, "--lpips", "none", "--workers", "1", "--out", str(results)]) == 0
    return {column: getattr(load_results(results).rows[0], column) for column in COLUMNS}


def test_the_page_shows_what_a_sweep_measures(page: "Page", folder: Path, tmp_path: Path) -> None:
    _upload(page, folder / "set" / "photo.png")
    page.locator("#caption", has_text="photo.png: 64×64 pixels").wait_for()
    _choose(page, "Scheme", "deepjscc")
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#status", has_text="deepjscc over awgn at 10 dB").wait_for(timeout=1000 * SECONDS)
    before = _numbers(page.locator("#numbers"))
    _set_snr(page, SNR_DB)
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#status", has_text="deepjscc over awgn at 4.5 dB").wait_for(timeout=1000 * SECONDS)
    after = _numbers(page.locator("#numbers"))
    assert after == _row(folder, tmp_path / "results", "deepjscc")
    assert after["psnr_db"] < before["psnr_db"]
    total = page.locator("#bill [data-column=total]").get_attribute("data-value")
    assert total == str(64 * 64 * 3 // 16)
    sizes = page.locator("#results img").evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])")
    assert [size for size in sizes if size != [0, 0]] == [[64, 64], [64, 64]]
    assert page.locator(".js-plotly-plot").locator("visible=true").count() == 2
    loaded = page.evaluate("performance.getEntriesByType('resource').map(one => new URL(one.name).host)")
    assert set(loaded) == {page.url.split("/")[2]}


def test_what_can_be_looked_at_and_taken_along(page: "Page", folder: Path, tmp_path: Path) -> None:
    _upload(page, folder / "set" / "photo.png")
    page.locator("#caption", has_text="64×64 pixels").wait_for()
    _choose(page, "Scheme", "deepjscc")
    hint = page.locator(".scheme-hint").locator("visible=true")
    hint.get_by_text("It has no mcs,").wait_for()
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#status", has_text="deepjscc over awgn at 10 dB").wait_for(timeout=1000 * SECONDS)
    command = page.locator("#command textarea").input_value()
    assert command.startswith("python -m simulator transmit photo.png --scheme deepjscc --channel awgn --snr 10 ")
    with page.expect_download() as download:
        page.locator("#download").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "photo-deepjscc-awgn-10dB-cbr1-16.png"
    assert Image.open(saved).size == (64, 64)
    page.get_by_text("Look closer").locator("visible=true").click()
    before = page.get_by_text("pixels around (32, 32)").locator("visible=true")
    before.wait_for()
    page.locator("#zoom-map img").click(position={"x": 2, "y": 2})
    before.wait_for(state="hidden")
    page.locator("#sweep").click()
    page.locator("#status", has_text="5 trips of this picture").wait_for(timeout=1000 * SECONDS)
    curve = page.locator(".curves .js-plotly-plot").locator("visible=true")
    curve.wait_for(timeout=1000 * SECONDS)
    assert curve.count() == 1


def test_two_settings_over_the_same_draw(page: "Page", folder: Path, tmp_path: Path) -> None:
    _upload(page, folder / "set" / "photo.png")
    page.locator("#caption", has_text="64×64 pixels").wait_for()
    _choose(page, "Channel", "rician")
    page.get_by_role("button", name="Channel options").click()
    _fill(page, "K", "6")
    _set_snr(page, SNR_DB)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#send-both").wait_for()
    for index, scheme in enumerate(("deepjscc", "bpg-capacity")):
        _choose(page, "Scheme", scheme, index)
    page.locator("#send-both").click()
    table = page.locator("#comparison")
    table.get_by_text("B: bpg-capacity").wait_for(timeout=1000 * SECONDS)
    for index, scheme in enumerate(("deepjscc", "bpg-capacity")):
        row = _row(folder, tmp_path / scheme, scheme, "--channel", "rician:K=6")
        assert _numbers(table, index) == row, scheme


def test_controls_follow_the_scheme_without_the_server(page: "Page") -> None:
    """What is typed right after a scheme was chosen stays, however busy the server is."""
    cbr = page.get_by_label("CBR", exact=True).locator("visible=true")
    gamma = page.get_by_label("number input for gamma").locator("visible=true")
    decoder = page.get_by_label("decoder", exact=True).locator("visible=true")
    lrisc: Any = find_scheme("lrisc")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    _choose(page, "Scheme", "deepjscc")
    gamma.wait_for(state="hidden")
    _choose(page, "Scheme", "bpg-ldpc")
    decoder.wait_for()
    gamma.fill("0.7")  # that of its own receiver
    gamma.press("Enter")
    cbr.fill("1/6")
    cbr.press("Enter")
    _choose(page, "Scheme", "lrisc")
    decoder.wait_for(state="hidden")
    assert float(gamma.input_value()) == lrisc.gamma
    assert cbr.input_value() == "1/16"  # not made for 1/6
    _choose(page, "CBR", "1/8")
    _choose(page, "Scheme", "bpg-ldpc")
    decoder.wait_for()
    assert cbr.input_value() == "1/8"
    page.get_by_role("button", name="Channel options").click()
    _choose(page, "Channel", "rician")
    page.get_by_label("K", exact=True).wait_for()
    assert page.get_by_label("speed_kmh", exact=True).locator("visible=true").count() == 0
    assert asked == []


def test_what_cannot_be_sent_is_refused_in_one_line(page: "Page", folder: Path) -> None:
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").filter(has_text="no picture; drop one in, or choose a sample").first.wait_for()
    _upload(page, folder / "large.png")
    page.get_by_text(re.compile("exceed", re.IGNORECASE)).first.wait_for()
    _upload(page, folder / "notes.txt")
    page.get_by_text(re.compile("invalid file", re.IGNORECASE)).first.wait_for()
    assert page.locator("#picture img").count() == 0
    _upload(page, folder / "fake.png")
    page.locator("#caption", has_text="Refused: fake.png: not an image, damaged, or of an unsupported kind").wait_for()
    page.locator("#samples button").first.click()
    page.locator("#caption", has_text="astronaut.png: 512×512 pixels").wait_for()
    _choose(page, "Scheme", "deepjscc")
    page.get_by_label("CBR", exact=True).locator("visible=true").fill("1/7")
    page.get_by_label("CBR", exact=True).locator("visible=true").press("Enter")
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#status", has_text="cannot run at CBR 1/7: DeepJSCC is trained for").wait_for()
    assert page.locator("#numbers").locator("visible=true").count() == 0


def test_it_listens_to_this_machine_alone(address: str) -> None:
    port = int(address.split(":")[-1].strip("/"))
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):  # a server on all addresses would answer on any of 127.0.0.0/8
        socket.create_connection(("127.0.0.2", port), timeout=10)

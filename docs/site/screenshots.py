"""Make the pictures of docs/assets/ that show the report, the playground and the gallery, with a headless Chromium.

    python -m simulator reproduce gallery --keep-images all
    python docs/site/screenshots.py results/gallery

Needs the extras `app` and `test`, and Chromium, which CHROMIUM names or the PATH has.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

ASSETS = Path(__file__).resolve().parents[1] / "assets"
LIMIT_BYTES = 100_000
SECONDS = 600  # of patience with a busy machine
SHEET, ROW = "gallery-kodim23-cbr-1-16.webp", 0  # the row of a gallery's sheet that README shows


def main(results: Path) -> None:
    """Write report.webp, playground.webp and gallery.webp."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(1000 * SECONDS)
        save("report", shoot_report(page, results, Path(folder) / "report.html"))
        save("playground", shoot_playground(page))
        browser.close()
    save("gallery", cut_sheet(results / "figures" / SHEET))


def save(name: str, shot: Image.Image) -> None:
    """Write a WebP of at most LIMIT_BYTES, as good as that allows."""
    for quality in (90, 80, 70, 60, 50, 40):
        buffer = io.BytesIO()
        shot.convert("RGB").save(buffer, "webp", quality=quality, method=6)
        if buffer.tell() <= LIMIT_BYTES:
            break
    (ASSETS / f"{name}.webp").write_bytes(buffer.getvalue())
    print(f"{name}.webp: {buffer.tell()} bytes at quality {quality}")


def shoot_report(page: Any, results: Path, target: Path) -> Image.Image:
    """The report's curves, and its viewer below."""
    subprocess.run([sys.executable, "-m", "simulator", "report", str(results), "--out", str(target)], check=True)
    page.goto(target.as_uri())
    page.wait_for_timeout(3000)
    return _shot(page, full_page=False)


def shoot_playground(page: Any) -> Image.Image:
    """A sample, sent with the scheme that the page opens with."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "simulator", "app", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            while "playground on" not in (line := server.stdout.readline()):
                if not line:
                    raise SystemExit("the playground did not start")
            page.goto(f"http://127.0.0.1:{port}/")
            page.locator("#samples button").nth(1).click()
            page.locator("#caption", has_text="pixels").wait_for()
            page.get_by_role("button", name="Send", exact=True).click()
            page.locator("#status", has_text="over awgn").wait_for()
            page.locator("#numbers dd").first.wait_for()
            time.sleep(3)
            return _shot(page, full_page=False)
        finally:
            server.terminate()


def cut_sheet(sheet: Path) -> Image.Image:
    """The titles and one row of a sheet that `reproduce gallery` draws."""
    from simulator.experiments.crops import CAPTION, GAP, SIDE, ZOOM

    drawn = Image.open(sheet).convert("RGB")
    step = SIDE * ZOOM + GAP + CAPTION
    row = drawn.crop((0, CAPTION + ROW * step, drawn.width, CAPTION + (ROW + 1) * step))
    strip = Image.new("RGB", (drawn.width, CAPTION + step), (255, 255, 255))
    strip.paste(drawn.crop((0, 0, drawn.width, CAPTION)), (0, 0))
    strip.paste(row, (0, CAPTION))
    return strip


def _shot(page: Any, **options: Any) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot(**options)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))

"""Downloads: resumed, verified, and explained when they fail."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from simulator.errors import UserError
from simulator.images.download import COCO, Archive, fetch

CONTENT = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; `/short/` cuts the first answer in half, `/whole/` knows no ranges."""

    asked: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if "/elsewhere/" in self.path:
            self.send_response(302)
            self.send_header("Location", "http://example.org/data.zip")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and "/whole/" not in self.path else 0
        body = CONTENT[start : len(CONTENT) // 2 if "/short/" in self.path and not wanted else None]
        self.send_response(206 if start else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Handler.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def archive(url: str, content: bytes = CONTENT) -> Archive:
    return Archive(url, len(content), hashlib.md5(content).hexdigest())


def test_download_is_verified_and_done_once(site, tmp_path):
    told = []
    path = fetch(archive(f"{site}/data.zip"), tmp_path / "new", lambda *state: told.append(state))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(archive(f"{site}/data.zip"), tmp_path / "new") == path
    assert len(Handler.asked) == 1


def test_interrupted_download_goes_on(site, tmp_path):
    with pytest.raises(UserError, match="rerun the same command"):
        fetch(archive(f"{site}/short/data.zip"), tmp_path)
    assert (tmp_path / "data.zip.part").read_bytes() == CONTENT[: len(CONTENT) // 2]
    assert fetch(archive(f"{site}/short/data.zip"), tmp_path).read_bytes() == CONTENT
    assert Handler.asked == [None, f"bytes={len(CONTENT) // 2}-"]
    assert not (tmp_path / "data.zip.part").exists()


def test_server_without_ranges_starts_over(site, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT[:100])
    assert fetch(archive(f"{site}/whole/data.zip"), tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_removed(site, tmp_path):
    with pytest.raises(UserError, match="wrong checksum"):
        fetch(archive(f"{site}/data.zip", CONTENT[::-1]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_site_is_explained(tmp_path):
    with pytest.raises(UserError, match="cannot download"):
        fetch(archive("http://127.0.0.1:9/data.zip"), tmp_path)


def test_coco_comes_from_its_official_site():
    assert all(one.url.startswith("https://s3.amazonaws.com/images.cocodataset.org/zips/") for one in COCO.values())


@pytest.mark.parametrize("url", ["http://example.org/data.zip", "file:///etc/passwd", "ftp://example.org/data.zip"])
def test_only_https_is_asked(tmp_path, url):
    with pytest.raises(UserError, match="is not HTTPS"):
        fetch(archive(url), tmp_path)


def test_a_redirect_to_http_is_not_followed(site, tmp_path):
    with pytest.raises(UserError, match="is not HTTPS"):
        fetch(archive(f"{site}/elsewhere/data.zip"), tmp_path)

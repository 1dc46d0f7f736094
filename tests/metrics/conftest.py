"""A package index on this machine that serves what a test puts there, and a VGG16 of random weights."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch

from simulator.metrics import package_index
from simulator.metrics.backbones import BACKBONES
from simulator.metrics.package_index import PackageFile


@dataclass
class FakeIndex:
    """Releases by package; what was asked for; how many bytes the next answer stops after."""

    address: str = ""
    as_json: bool = False
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut: int | None = None

    def add(self, package: str, version: str, name: str, content: bytes) -> PackageFile:
        """Release a file."""
        self.files.setdefault(package.lower(), {})[name] = content
        return PackageFile(package, version, name, len(content), hashlib.sha256(content).hexdigest())

    def page(self, package: str) -> tuple[str, bytes]:
        """The index's page of a package: content type and body (PEP 691, else PEP 503)."""
        files = self.files[package]
        if self.as_json:
            listed = [{"filename": name, "url": f"../../files/{package}/{name}", "hashes": {}} for name in files]
            record = {"meta": {"api-version": "1.0"}, "name": package, "files": listed}
            return "application/vnd.pypi.simple.v1+json", json.dumps(record).encode()
        links = "".join(f'<a href="../../files/{package}/{name}">{name}</a>' for name in files)
        return "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


@pytest.fixture
def fake_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    """An index that pip is configured for, and no other."""
    index = FakeIndex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            index.asked.append((self.path, wanted))
            _, kind, package, *rest = self.path.split("/")
            if package not in index.files:
                self.send_error(404)
                return
            if kind == "simple":
                content_type, body = index.page(package)
            else:
                content_type, body = "application/octet-stream", index.files[package][rest[0]]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body[start : index.cut if kind == "files" else None])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    index.address = f"http://127.0.0.1:{server.server_port}/simple"
    for key in ("EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CERT", "TRUSTED_HOST"):
        monkeypatch.delenv(f"PIP_{key}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")  # no other file is read then
    monkeypatch.setenv("PIP_INDEX_URL", index.address)
    # pip would list these variables alone, which count without it, and takes a third of a second to start.
    monkeypatch.setattr(package_index.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=""))
    yield index
    server.shutdown()
    server.server_close()


@pytest.fixture
def vgg_features(tmp_path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random features of VGG16's shape that keep a picture's contrast, in the place of the real ones."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(16)
    widths = (3, 64, 64, 128, 128, *(256,) * 3, *(512,) * 6)
    state = {}
    for layer, before, after in zip(BACKBONES["vgg"].layers, widths[:-1], widths[1:], strict=True):
        noise = torch.randn(after, before, 3, 3, generator=generator)
        state[f"features.{layer}.weight"] = noise * (2 / (9 * before)) ** 0.5
        state[f"features.{layer}.bias"] = torch.randn(after, generator=generator) * 0.1
    save_file(state, tmp_path / BACKBONES["vgg"].file)
    monkeypatch.setenv("LPIPS_BACKBONE_DIR", str(tmp_path))
    return state

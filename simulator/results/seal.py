"""A provenance file that proves which files of its folder the program wrote, where there is no database.

Its `files` lists the SHA-256 of each, and `sha256` is that of the rest of the record itself. An edited record
proves nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.disk import json_text
from simulator.results.provenance import PROVENANCE, read_provenance

FILES, SEAL = "files", "sha256"


def sealed(record: Mapping[str, Any], files: Mapping[str, str]) -> bytes:
    """The content of a provenance file.

    Args:
        record: what it says besides.
        files: SHA-256 (hex) of every file that the program wrote, by path in the folder.
    """
    rest = {name: value for name, value in record.items() if name != SEAL} | {FILES: dict(sorted(files.items()))}
    return json_text(rest | {SEAL: _digest(rest)}).encode()


def proven(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) by path of the files that a folder's provenance proves, itself included; none if it was edited."""
    record = read_provenance(folder)
    files = record.get(FILES)
    if not isinstance(files, dict) or record.pop(SEAL, None) != _digest(record):
        return {}
    own = hashlib.sha256((folder / PROVENANCE).read_bytes()).hexdigest()
    return {str(name): str(digest) for name, digest in files.items()} | {PROVENANCE: own}


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

"""Where the program keeps what it can compute or download again."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Root of the cache: SIMULATOR_CACHE_DIR, else the platform's user cache folder. It may not exist yet."""
    chosen = os.environ.get("SIMULATOR_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else user_cache_path("wireless-image-simulator")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it, creating its folder; the last of several writers wins.

    Raises OSError, for example on a full disk, and then leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def json_text(record: dict[str, Any]) -> str:
    """A record as a JSON file for people."""
    return json.dumps(record, indent=2) + "\n"

"""Where the program keeps what it can compute or download again."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Root of the cache: SIMULATOR_CACHE_DIR, else the platform's user cache folder. It may not exist yet."""
    chosen = os.environ.get("SIMULATOR_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else user_cache_path("wireless-image-simulator")

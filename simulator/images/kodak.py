"""The 24 Kodak images: find or download them, and verify their pixels."""

import csv
import hashlib
import os
import urllib.request
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

import numpy as np

from simulator.disk import cache_dir, user_path, write_file
from simulator.errors import UserError
from simulator.images.download import open_https
from simulator.images.reading import load_image

KODAK_SITE = "https://r0k.us/graphics/kodak/kodak/"
MAX_FILE_BYTES = 2**24  # of a Kodak image: limits what a server can send


def kodak_folder() -> Path:
    """Where the Kodak images are, or would be downloaded to: KODAK_DIR, else `kodak` in the cache."""
    chosen = os.environ.get("KODAK_DIR")
    return user_path(chosen) if chosen else cache_dir() / "kodak"


def load_kodak() -> list[tuple[Path, np.ndarray]]:
    """The 24 images, each checked against the pixels of the originals."""
    folder = kodak_folder()
    table = (files("simulator.images") / "kodak.csv").read_text().splitlines()
    images = []
    for entry in csv.DictReader(table):
        path = folder / (name := entry["name"])
        if not path.exists():
            if os.environ.get("KODAK_DIR"):
                raise UserError(f"KODAK_DIR={folder} has no {name}; point it at the 24 PNGs or unset it")
            # Complete files are kept, so an interrupted download resumes.
            write_file(path, _fetch(name, entry["sha256_file"]), "set SIMULATOR_CACHE_DIR to another folder")
        rgb = load_image(path)
        if hashlib.sha256(rgb.tobytes()).hexdigest() != entry["sha256_rgb_pixels"]:
            raise UserError(f"{path}: not the Kodak original; replace it, or name the folder itself with --images")
        images.append((path, rgb))
    return images


def _fetch(name: str, sha256: str) -> bytes:
    """The bytes of one Kodak file, if they are the right ones."""
    try:
        with open_https(urllib.request.Request(KODAK_SITE + name), 30) as response:
            data = response.read(MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        reason = "its checksum is wrong"
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", error))
    raise UserError(f"cannot download {name} from {KODAK_SITE} ({reason}); set KODAK_DIR to a folder with the 24 PNGs")


def get_kodak() -> Path:
    """Download the missing Kodak images and verify all 24; returns their folder."""
    load_kodak()
    return kodak_folder()

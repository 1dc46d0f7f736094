"""Data that tests may use when the machine has it."""

import os
from pathlib import Path

import pytest


def _folder(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set")
    return Path(folder)


@pytest.fixture
def kodak_dir() -> Path:
    """Folder with the 24 Kodak PNGs."""
    return _folder("KODAK_DIR")


@pytest.fixture
def lpips_backbone_dir() -> Path:
    """Folder with the LPIPS backbones as safetensors and its three example pictures."""
    return _folder("LPIPS_BACKBONE_DIR")

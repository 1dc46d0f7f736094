"""Data that tests may use when the machine has it. Tests run on every core, one thread each."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


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


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schemes of `tests/toys`, installed for this process and those it starts."""
    folder = str(Path(__file__).parent / "toys")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder, prepend=os.pathsep)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with four small pictures, two of each size."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = np.random.default_rng(7)
    for index, (height, width) in enumerate([(32, 48), (40, 40), (32, 48), (40, 40)]):
        coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / f"p{index}.png")
    return folder

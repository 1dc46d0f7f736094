"""Reference vectors of the digital link."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent.parent / "golden" / "phy.json"


@pytest.fixture(scope="session")
def golden() -> dict:
    """Vectors made once with Sionna; the file names the calls."""
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="session")
def unpack() -> Callable[[str, int], np.ndarray]:
    """The bits of a packed hexadecimal string: uint8 0/1 ``[count]``."""
    return lambda text, count: np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=count)


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Sionna's decoder is several times faster with one thread than with two."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Data that tests may use when the machine has it. Tests run on every core, one thread each."""

import math
import multiprocessing
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def _folder(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def no_downloads_of_weights() -> Iterator[None]:
    """Without LPIPS_BACKBONE_DIR tests do without LPIPS: they would download 64 MB."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("LPIPS_BACKBONE_DIR"):
            patch.setenv("PIP_NO_INDEX", "1")
        yield


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
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps draw nothing: figures take longer than all else in their tests."""
    from simulator.analysis import outputs

    monkeypatch.setattr(outputs, "draw", lambda results, folder, write: [])


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    """Starts processes that fork from one which has imported the program and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["simulator.sweep.executors", "sionna.phy"])
    return context


@pytest.fixture
def quick_start(monkeypatch: pytest.MonkeyPatch, server: ForkServerContext) -> None:
    """Workers start in no time: for tests of what comes after their start."""
    from simulator.sweep.executors import local

    monkeypatch.setattr(local.multiprocessing, "get_context", lambda method: server)


@pytest.fixture
def elsewhere(server: ForkServerContext) -> Iterator[Callable[..., Any]]:
    """Calls a function with arguments in a fresh process, and gives its result."""
    with ProcessPoolExecutor(1, mp_context=server) as pool:
        yield lambda function, *given: pool.submit(function, *given).result()


@pytest.fixture
def light_pdfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """PDFs without TrueType fonts, of which matplotlib spends half of a figure's time to find the letters it needs.

    tests/analysis/test_plots.py holds figures to their fonts.
    """
    from simulator.analysis import styles

    monkeypatch.setitem(styles._COMMON, "pdf.fonttype", 3)


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


class RayleighLaw:
    """Fast Rayleigh fading in closed form: integrals over the exponential law of |h|^2."""

    powers_db = tuple(10 * math.log10(-math.log1p(-(index + 0.5) / 500)) for index in range(500))

    def lost(self, snr_db: float, bits_per_symbol: int) -> float:
        """Bits that a QAM symbol loses on average at average Es/N0 `snr_db`."""
        from simulator.phy.miesm import lost_bits

        return sum(lost_bits(snr_db + one, bits_per_symbol) for one in self.powers_db) / len(self.powers_db)

    def needed(self, awgn_snr_db: float, bits_per_symbol: int) -> float:
        """Average Es/N0 that gives the mutual information of `awgn_snr_db` over AWGN."""
        from simulator.phy.miesm import lost_bits

        target = lost_bits(awgn_snr_db, bits_per_symbol)
        low, high = awgn_snr_db, awgn_snr_db + 12
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (middle, high) if self.lost(middle, bits_per_symbol) > target else (low, middle)
        return high


@pytest.fixture(scope="session")
def rayleigh_law() -> RayleighLaw:
    """What theory says of fast Rayleigh fading."""
    return RayleighLaw()


@pytest.fixture(scope="session")
def kept_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a small sweep of two schemes over three photographs, with every picture kept."""
    from fractions import Fraction

    from simulator.sweep import Outputs, run_sweep
    from simulator.sweep.inputs import SweepConfig

    folder = tmp_path_factory.mktemp("results") / "kept"
    config = SweepConfig(
        snrs_db=(0.0, 5.0, 10.0),
        cbrs=(Fraction(1, 12),),
        schemes=("bpg-ldpc", "deepjscc"),
        images="samples",
        crop=176,
        limit=3,
        lpips="alex" if os.environ.get("LPIPS_BACKBONE_DIR") else "none",
        keep_images="all",
    )
    without = Outputs(remove=lambda written: None, write=lambda results, written: None)
    run_sweep(config, folder, notify=lambda message: None, outputs=without)
    return folder

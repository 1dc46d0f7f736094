"""Metrics of a stranger from Python files, as docs/extend.md shows them."""

import csv
import io
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from simulator.__main__ import main
from simulator.channels import load_channel
from simulator.images.pixels import to_float, to_uint8
from simulator.link import load_scheme, transmit
from simulator.metrics import load_metric
from simulator.results.store import load_results
from tests.codecs.own import EXAMPLES, ramp, refused

pytestmark = pytest.mark.usefixtures("light_pdfs")


def gmsd(first, second):
    """The definition (Xue et al. 2014, eq. 1-6) on uint8 pixels, with SciPy."""
    from scipy.ndimage import correlate

    maps = []
    for pixels in (first, second):
        grey = pixels.astype(float) @ (0.299, 0.587, 0.114)
        height, width = (side // 2 * 2 for side in grey.shape)
        halved = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        across = np.array([[1, 0, -1]] * 3) / 3
        maps.append(np.hypot(*(correlate(halved, kernel, mode="constant") for kernel in (across, across.T))))
    similarity = (2 * maps[0] * maps[1] + 170) / (maps[0] ** 2 + maps[1] ** 2 + 170)
    return similarity.std()


def test_a_metric_of_ones_own_is_a_column_with_an_interval(here, photographs, capsys):
    for name in ("analog.py", "gmsd.py"):
        shutil.copy(EXAMPLES / name, here)
    metric, scheme = load_metric("torch:gmsd.py:Gmsd"), load_scheme("torch:analog.py:Analog")
    image = ramp(50, 70)
    shown = transmit(scheme, image, Fraction(1, 16), load_channel("awgn"), 10.0).decoded.images[0]
    pixels = to_uint8(image[0]), to_uint8(shown)
    assert float(metric.measure(*map(to_float, pixels))) == pytest.approx(gmsd(*pixels), abs=1e-5)
    assert float(metric.measure(image[0], image[0])) == 0

    grid = ["--snr", "5,15", "--images", str(photographs), "--lpips", "none", "--workers", "1"]
    command = ["sweep", "--scheme", "torch:analog.py:Analog", *grid]
    assert main(command) == 0
    before = load_results(Path("sweep-results")).rows
    assert main([*command, "--metric", "torch:gmsd.py:Gmsd"]) == 0
    rows = load_results(Path("sweep-results")).rows
    assert {row.key for row in before}.isdisjoint(row.key for row in rows)
    assert [replace(row, key="", further=None, encode_s=0, decode_s=0) for row in rows] == [
        replace(row, key="", encode_s=0, decode_s=0) for row in before
    ]
    capsys.readouterr()
    assert main(["show", "sweep-results", "--rows", "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    summary = list(csv.DictReader(io.StringIO(Path("sweep-results/summary.csv").read_text())))
    for point in summary:
        values = [float(row["gmsd"]) for row in table if row["snr_db"] == point["snr_db"]]
        assert float(point["gmsd"]) == pytest.approx(sum(values) / 4)
        assert float(point["gmsd_lo"]) < float(point["gmsd"]) < float(point["gmsd_hi"])
    assert float(summary[0]["gmsd"]) > float(summary[1]["gmsd"])  # less noise, smaller deviation
    assert list(Path("sweep-results/figures").glob("gmsd-vs-snr-*.png"))
    assert main(["show", "sweep-results"]) == 0
    assert "gmsd" in capsys.readouterr().out
    # without it again: the rows of before, and no figure that they do not show
    assert main(command) == 0
    assert load_results(Path("sweep-results")).rows == before
    assert main(["plot", "sweep-results"]) == 0


METRIC = """
class Own:
    name = {name!r}
    higher_is_better = False

    def fingerprint(self):
        return "1"

    def measure(self, reference, shown):
        return {value}
"""
BAD_METRICS = {
    "unknown": ("", "nonesuch", "unknown metric 'nonesuch'; known: dists, flip, lpips, ssimulacra2, torch"),
    "no direction": (
        METRIC.format(name="own", value="0").replace("higher_is_better = False", ""),
        "",
        "which direction is better",
    ),
    "no measure": ("class Own: pass", "", "class Own lacks the method measure that a metric has"),
    "name": (METRIC.format(name="My metric", value="0"), "", "is called 'My metric'; a name is small letters"),
    "taken": (METRIC.format(name="psnr_db", value="0"), "", "a column that already exists; rename it"),
    "raises": (METRIC.format(name="own", value="1 / 0"), "", "metric 'own' failed: ZeroDivisionError"),
    "nan": (METRIC.format(name="own", value="float('nan')"), "", "metric 'own' gave nan; it must give a finite"),
}


@pytest.mark.parametrize(("source", "spec", "message"), BAD_METRICS.values(), ids=BAD_METRICS)
def test_what_is_wrong_with_a_metric_is_one_line(here, photographs, capfd, source, spec, message):
    shutil.copy(EXAMPLES / "analog.py", here)
    (here / "own.py").write_text(source)
    grid = ["--snr", "5", "--images", str(photographs / "p0.png"), "--lpips", "none", "--workers", "1"]
    scheme = ["--scheme", "torch:analog.py:Analog", "--metric", spec or "torch:own.py:Own"]
    assert message in refused(capfd, "sweep", *scheme, *grid)

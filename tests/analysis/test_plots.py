"""Figures: complete, the same bytes for the same results, and honest about outages and bounds."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from simulator.analysis.curves import figure_of, make_curves
from simulator.analysis.plots import draw, draw_panels
from simulator.errors import UserError
from simulator.results.store import Results
from tests.analysis.test_statistics import row

META = {"bounds": ["limit"], "lpips": {"net": "alex"}}


def results(cbrs=(1 / 16,), snrs=(0.0, 5.0, 10.0), folder="run", outage_below=-1.0, schemes=("s", "limit")):
    rows = [
        replace(
            row(image, psnr_db=25 + snr / 2 + 40 * cbr + i, snr_db=snr, scheme=scheme, outage=snr < outage_below),
            cbr_target=cbr,
            cbr=0.9 * cbr,
        )
        for scheme in schemes
        for cbr in cbrs
        for snr in snrs
        for i, image in enumerate("abc")
    ]
    return Results(Path(folder), META, rows, len(rows))


def test_one_png_and_pdf_per_metric_there_is(tmp_path):
    paths = draw([results()], tmp_path / "figures")
    assert [path.name for path in paths] == ["psnr-vs-snr-awgn-cbr-1-16.png", "psnr-vs-snr-awgn-cbr-1-16.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_same_results_give_same_bytes(tmp_path):
    first, second = (draw([results(outage_below=3)], tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_axis_is_cbr_when_only_cbr_varies(tmp_path):
    paths = draw([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))], tmp_path)
    assert paths[0].name == "psnr-vs-cbr-awgn-snr-10dB.png"
    both = draw([results(cbrs=(1 / 24, 1 / 16))], tmp_path)
    assert [path.name for path in both[::2]] == ["psnr-vs-snr-awgn-cbr-1-24.png", "psnr-vs-snr-awgn-cbr-1-16.png"]
    assert len(draw([results(cbrs=(1 / 24, 1 / 16))], tmp_path, "cbr")) == 2 * 3
    data = draw([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))], tmp_path, "cbr-data")
    assert data[0].name == "psnr-vs-cbr-data-awgn-snr-10dB.png"


def test_curves_are_told_apart():
    curves = make_curves([results(folder="one"), results(folder="two", schemes=("s", "other"))])
    assert [curve.label for curve in curves] == ["s, one", "limit (bound)", "s, two", "other"]
    assert [curve.bound for curve in curves] == [False, True, False, False]
    assert len({(curve.colour, curve.marker) for curve in curves}) == 4
    assert len({curve.colour for curve in curves}) == 4


def test_bounds_are_dashed_and_outages_get_a_panel():
    curves = make_curves([results(outage_below=3, schemes=("s", "limit"))])
    upper, lower = figure_of(curves, ("psnr_db",), "snr", "title", set()).axes
    dashed = {line.get_label(): line.get_linestyle() for line in upper.get_lines()}
    assert (dashed["s"], dashed["limit (bound)"]) == ("-", "--")
    assert "some trips in outage" in dashed
    hollow = [line for line in upper.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in hollow] == [[0.0], [0.0]]
    assert list(lower.get_lines()[0].get_ydata()) == [1.0, 0.0, 0.0]
    assert len(figure_of(make_curves([results()]), ("psnr_db",), "snr", "title", set()).axes) == 1


def test_cbr_axis_shows_what_was_billed():
    curves = make_curves([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))])
    (axes,) = figure_of(curves, ("psnr_db",), "cbr", "title", set()).axes
    assert list(axes.get_lines()[0].get_xdata()) == pytest.approx([0.9 / 24, 0.9 / 16])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1/24", "1/16"]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UserError, match="nothing to draw"):
        draw([Results(Path("run"), META, [], 5)], tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_variants_share_a_hue_and_get_lighter():
    names = ("a", "b", "b:x", "b:y", "limit")
    colours = [curve.colour for curve in make_curves([results(schemes=names)])]
    assert len(set(colours)) == 5
    brightness = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in colours]
    assert brightness[1] < brightness[2] < brightness[3]
    assert colours[:2] == [curve.colour for curve in make_curves([results(schemes=("a", "b"))])]


def test_a_cliff_leaves_the_frame_and_does_not_stretch_it():
    fallen = results(outage_below=3, schemes=("s",))
    lost = [replace(one, psnr_db=12.0) if one.outage else one for one in fallen.rows]
    steady = [replace(one, scheme="t", outage=False) for one in fallen.rows]
    both = replace(fallen, rows=[*lost, *steady])
    upper, _ = figure_of(make_curves([both]), ("psnr_db",), "snr", "title", set()).axes
    assert 20 < upper.get_ylim()[0] < 27.5
    assert [text.get_text() for text in upper.texts] == ["↓ 12 dB"]


def test_panels_side_by_side_leave_out_what_is_not_there(tmp_path):
    one = results(cbrs=(1 / 24, 1 / 16))
    paths = draw_panels(one, tmp_path, "figure", ("psnr_db", "lpips"), "snr", {"s": "A scheme"})
    assert [path.name for path in paths[::2]] == ["figure-psnr-cbr-1-24.png", "figure-psnr-cbr-1-16.png"]
    with_lpips = replace(one, rows=[replace(row, lpips=0.2, cbr_target=1 / 16) for row in one.rows])
    (png, _) = draw_panels(with_lpips, tmp_path, "figure", ("psnr_db", "lpips"), "snr", {})
    assert png.name == "figure-psnr-lpips.png"
    assert Image.open(png).width == 2 * 3.5 * 200
    assert draw_panels(one, tmp_path, "figure", ("lpips",), "snr", {}) == []


@pytest.mark.parametrize("metrics", [["psnr_db"], ["psnr_db", "ms_ssim"]])
def test_the_legend_fits_on_the_page(metrics):
    run = results(schemes=tuple(f"a scheme with a long name, number {n}" for n in range(7)), outage_below=3)
    figure = figure_of(make_curves([run]), metrics, "snr", "title", {"alex"})
    figure.canvas.draw()
    (legend,) = figure.legends
    extent = legend.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width
    assert extent.width > 0.4 * figure.bbox.width  # several columns, where several fit

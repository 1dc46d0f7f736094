"""Figures: complete, the same bytes for the same results, and honest about outages and bounds."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from simulator.analysis.curves import make_curves, make_drawings, source_of
from simulator.analysis.drawings import Choice
from simulator.analysis.figure import figure_of
from simulator.analysis.looks import LOOKS, looks_of
from simulator.analysis.plots import draw, draw_panels
from simulator.errors import UserError
from simulator.results.store import Results
from tests.rows import row

PNG = ("png",)  # enough where only names are looked at
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
    assert b"/FontFile2" in paths[1].read_bytes()  # TrueType: publishers refuse fonts of type 3
    assert b"/Type3" not in paths[1].read_bytes()


def test_same_results_give_same_bytes(tmp_path):
    first, second = (draw([results(outage_below=3)], tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_axis_is_cbr_when_only_cbr_varies(tmp_path):
    paths = draw([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))], tmp_path, formats=PNG)
    assert paths[0].name == "psnr-vs-cbr-awgn-snr-10-db.png"
    both = draw([results(cbrs=(1 / 24, 1 / 16))], tmp_path, formats=PNG)
    assert [path.name for path in both] == ["psnr-vs-snr-awgn-cbr-1-24.png", "psnr-vs-snr-awgn-cbr-1-16.png"]
    assert len(draw([results(cbrs=(1 / 24, 1 / 16))], tmp_path, Choice(x="cbr"), PNG)) == 3
    data = draw([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))], tmp_path, Choice(x="cbr-data"), PNG)
    assert data[0].name == "psnr-vs-cbr-data-awgn-snr-10-db.png"


def figure(runs, columns=("psnr_db",), choice=None, **options):
    (drawing,) = make_drawings([source_of(one) for one in runs], choice or Choice())
    return figure_of(drawing, columns, "title", **options)


def legend(figure):
    return {
        text.get_text(): line
        for line, text in zip(figure.legends[0].legend_handles, figure.legends[0].texts, strict=True)
    }


def test_curves_of_a_report_name_their_folder_where_a_scheme_has_several():
    curves = make_curves([results(folder="one"), results(folder="two", schemes=("s", "other"))])
    assert [curve.label for curve in curves] == ["s, one", "limit (bound)", "s, two", "other"]
    assert [curve.bound for curve in curves] == [False, True, False, False]


def test_a_scheme_looks_the_same_whatever_stands_beside_it():
    alone = looks_of([("my-scheme", False)])["my-scheme"]
    for others in (["lrisc"], ["lrisc", "deepjscc"], ["bpg-ldpc:4qam-1/2", "another"]):
        assert looks_of([(name, False) for name in (*others, "my-scheme")])["my-scheme"] == alone
    assert (
        looks_of([("x", False), ("lrisc", False)])["lrisc"] == looks_of([("lrisc", False)])["lrisc"] == LOOKS["lrisc"]
    )
    bound = looks_of([("limit", True)])["limit"]
    assert (bound.marker, alone.marker != "") == ("", True)


def test_unknown_schemes_of_one_figure_have_colours_of_their_own():
    names = [
        f"lrisc:weights=weights/ablations/{name}" for name in ("control", "no-snr-module", "fixed-rate", "no-lpips")
    ]
    assert len({look.colour for look in looks_of((name, False) for name in names).values()}) == 4
    many = looks_of((f"scheme-{n}", False) for n in range(9))
    assert len({look.colour for look in many.values()}) == 9


def test_bounds_are_dashed_and_outages_get_one_panel():
    upper, lower = figure([results(outage_below=3)]).axes
    drawn = figure([results(outage_below=3)])
    styles = {text: line.get_linestyle() for text, line in legend(drawn).items() if hasattr(line, "get_linestyle")}
    assert (styles["s"], styles["limit (bound)"]) == ("-", "--")
    assert "some trips in outage" in styles
    hollow = [line for line in upper.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in hollow] == [[0.0], [0.0]]
    assert list(lower.get_lines()[0].get_ydata()) == [1.0, 0.0, 0.0]
    assert len(figure([results()]).axes) == 1
    assert len(figure([results(outage_below=3)], ("psnr_db", "cbr")).axes) == 3


def test_cbr_axis_shows_what_was_billed():
    (axes,) = figure([results(cbrs=(1 / 24, 1 / 16), snrs=(10.0,))]).axes
    assert list(axes.get_lines()[0].get_xdata()) == pytest.approx([0.9 / 24, 0.9 / 16])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1/24", "1/16"]


def test_ticks_stand_at_the_snrs_of_the_data():
    (axes,) = figure([results(snrs=(0.0, 2.5, 7.0))]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2.5", "7"]


def test_bars_in_place_of_bands_that_would_overlap():
    (two,) = figure([results()]).axes
    (three,) = figure([results(schemes=("a", "b", "limit"))]).axes
    kinds = [[type(one).__name__ for one in axes.collections] for axes in (two, three)]
    assert kinds == [["FillBetweenPolyCollection"] * 2, ["LineCollection"] * 3]
    assert not figure([results()], intervals="none").axes[0].collections


def test_several_cbrs_or_channels_on_one_axis():
    run = results(cbrs=(1 / 48, 1 / 24, 1 / 16), schemes=("s", "t"))
    drawn = figure([run], choice=Choice(by={"cbr": "lines"}))
    assert [text for text in legend(drawn) if text.startswith("CBR")] == ["CBR 1/48", "CBR 1/24", "CBR 1/16"]
    lines = [line.get_linestyle() for line in drawn.axes[0].get_lines() if line.get_linestyle() != "None"]
    assert lines == ["-", "--", ":"] * 2
    alone = figure([run], choice=Choice(by={"cbr": "lines"}, schemes=("s",)))
    assert list(legend(alone))[:3] == ["CBR 1/48", "CBR 1/24", "CBR 1/16"]
    panels = figure([run], choice=Choice(by={"cbr": "panels"}))
    assert [axes.get_title() for axes in panels.axes] == ["CBR 1/48", "CBR 1/24", "CBR 1/16"]
    choice = Choice(by={"cbr": "lines", "scheme": "panels"}, labels={"s": "Named"})
    apart = figure([run], choice=choice)
    assert [axes.get_title() for axes in apart.axes] == ["Named", "t"]
    assert list(legend(apart))[:3] == ["CBR 1/48", "CBR 1/24", "CBR 1/16"]  # what titles say is not repeated
    colours = [[line.get_color() for line in axes.get_lines()][:3] for axes in apart.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 3


def test_filters_leave_only_what_is_chosen(tmp_path):
    run = results(cbrs=(1 / 24, 1 / 16))
    choice = Choice(cbrs=(1 / 24,), schemes=("s",), snrs_db=(0.0, 5.0))
    (drawing,) = make_drawings([source_of(run)], choice)
    assert [(curve.scheme, len(curve.points)) for curve in drawing.curves] == [("s", 2)]
    with pytest.raises(UserError, match="nothing to draw at --snr 7; there are: 0, 5, 10"):
        make_drawings([source_of(run)], Choice(snrs_db=(7.0,)))
    with pytest.raises(UserError, match="no column 'psnt'"):
        draw([run], tmp_path, Choice(y=("psnt",)))


def test_one_metric_against_another():
    run = results(schemes=("g:gamma=0", "g:gamma=1", "g"), snrs=(0.0, 5.0))
    with_lpips = replace(run, rows=[replace(one, lpips=0.1 * len(one.scheme)) for one in run.rows])
    by_snr = make_drawings([source_of(with_lpips)], Choice(x="psnr"))
    assert [[(curve.scheme, len(curve.points)) for curve in one.curves] for one in by_snr] == [
        [("g:gamma=0", 2), ("g:gamma=1", 2), ("g", 2)]
    ]
    by_gamma = make_drawings([source_of(with_lpips)], Choice(x="psnr", along="gamma"))
    assert [[(curve.scheme, len(curve.points)) for curve in one.curves] for one in by_gamma] == [[("g", 3)]] * 2
    channels = [replace(one, channel=f"awgn:pa=rapp:backoff_db={len(one.scheme)}") for one in with_lpips.rows]
    by_backoff = make_drawings([source_of(replace(run, rows=channels))], Choice(x="psnr", along="backoff_db"))
    assert {one.fixed.get("channel", "awgn:pa=rapp") for one in by_backoff} == {"awgn:pa=rapp"}
    with pytest.raises(UserError, match="no curve varies 'delta'; known: snr, cbr, gamma"):
        make_drawings([source_of(with_lpips)], Choice(x="psnr", along="delta"))


def test_no_file_of_single_points(tmp_path):
    assert draw([results(snrs=(10.0,))], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("style", "width"), [("paper", 3.5), ("ieee", 3.5), ("slides", 6.2)])
def test_styles_and_formats(tmp_path, style, width):
    choice, formats = Choice(schemes=("s",)), ("png", "svg", "pdf")
    for place in "ab":
        paths = draw([results()], tmp_path / place, choice, formats, style)
    assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
    assert Image.open(paths[0]).width == width * 200
    assert all(path.read_bytes() == (tmp_path / "a" / path.name).read_bytes() for path in paths)


def test_the_users_matplotlibrc_changes_nothing(tmp_path):
    import matplotlib

    usual = draw([results()], tmp_path / "usual")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30, "lines.linewidth": 9}):
        own = draw([results()], tmp_path / "own")
    assert [path.read_bytes() for path in usual] == [path.read_bytes() for path in own]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UserError, match="nothing to draw"):
        draw([Results(Path("run"), META, [], 5)], tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_a_cliff_leaves_the_frame_and_does_not_stretch_it():
    fallen = results(outage_below=3, schemes=("s",))
    lost = [replace(one, psnr_db=12.0) if one.outage else one for one in fallen.rows]
    steady = [replace(one, scheme="t", outage=False) for one in fallen.rows]
    both = replace(fallen, rows=[*lost, *steady])
    upper, _ = figure([both]).axes
    assert 20 < upper.get_ylim()[0] < 27.5
    assert [text.get_text() for text in upper.texts] == ["↓ 12 dB"]
    assert 0 < upper.texts[0].xy[0] < 5


@pytest.mark.usefixtures("light_pdfs")
def test_panels_side_by_side_leave_out_what_is_not_there(tmp_path):
    one = results(cbrs=(1 / 24, 1 / 16))
    paths = draw_panels(one, tmp_path, "figure", Choice("snr", ("psnr_db", "lpips"), labels={"s": "A scheme"}))
    assert [path.name for path in paths[::2]] == ["figure-psnr-cbr-1-24.png", "figure-psnr-cbr-1-16.png"]
    with_lpips = replace(one, rows=[replace(row, lpips=0.2, cbr_target=1 / 16) for row in one.rows])
    (png, _) = draw_panels(with_lpips, tmp_path, "figure", Choice("snr", ("psnr_db", "lpips")))
    assert png.name == "figure-psnr-lpips.png"
    assert Image.open(png).width == 2 * 3.5 * 200
    assert draw_panels(one, tmp_path, "figure", Choice("snr", ("lpips",))) == []


@pytest.mark.parametrize("columns", [("psnr_db",), ("psnr_db", "ms_ssim")])
def test_the_legend_fits_on_the_page(columns):
    run = results(schemes=tuple(f"a scheme with a long name, number {n}" for n in range(7)), outage_below=3)
    drawn = figure([run], columns)
    drawn.canvas.draw()
    (above,) = drawn.legends
    extent = above.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= drawn.bbox.width
    assert extent.y0 > drawn.axes[0].get_window_extent().y1
    assert len(columns) == 1 or extent.width > 0.4 * drawn.bbox.width  # several columns, where several fit

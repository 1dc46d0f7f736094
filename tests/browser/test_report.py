"""The report in a real browser: what is pressed changes what is shown, and what is shown is what the database holds."""

import os
import re
import sqlite3
from contextlib import contextmanager
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs

from simulator.analysis.comparison import differences
from simulator.analysis.words import scheme_words
from simulator.report.page import write_report
from simulator.results.store import DATABASE, load_results
from tests.browser.conftest import opening_pages

BUSY = 60_000  # milliseconds of patience
CHARTS = "() => [...document.querySelectorAll('.charts:not(.bills) .chart')]"
REMEMBER = """() => {
    window.untouched = [...document.querySelectorAll('select, input')].map(one => [one, one.value, one.checked]);
}"""
RESET = """() => window.untouched.forEach(([one, value, checked]) => {
    if (one.value === value && one.checked === checked) return;
    Object.assign(one, {value, checked});
    ['input', 'change'].forEach(kind => one.dispatchEvent(new Event(kind)));
})"""


@pytest.fixture(scope="module")
def report(kept_results, tmp_path_factory):
    """Address of a report with pictures."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report([load_results(kept_results)], out)
    return out.as_uri()


def ready(page):
    """The page, once its charts can be drawn."""
    page.bring_to_front()  # Chromium draws no frames of a page behind another
    page.wait_for_function("document.documentElement.dataset.ready", timeout=BUSY)
    return page


@pytest.fixture(scope="module")
def opened_once(browser, report):
    """The report at the usual size, and what it complained about since a test last looked."""
    noted = []
    with opening_pages(browser, noted) as open_one:
        page = ready(open_one(report))
        page.evaluate(REMEMBER)
        yield page, noted
    assert noted == []


@pytest.fixture
def page(opened_once):
    """The report that tests share, with every control as it was when the report was opened."""
    page, noted = opened_once
    page.bring_to_front()
    page.evaluate(RESET)
    yield page
    complaints = noted.copy()
    noted.clear()
    assert complaints == []


def ask(folder, query, *values):
    """Rows of the results' database."""
    with sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True) as connection:
        return connection.execute(query, values).fetchall()


def draw_all(page):
    """Scroll over every chart, so that all are drawn."""
    for chart in page.query_selector_all(".chart"):
        chart.scroll_into_view_if_needed()
        page.wait_for_function("chart => chart.data", arg=chart, timeout=BUSY)
    page.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")


def shown_in(page, scheme):
    """For every chart of curves or differences that has the scheme: whether it is to be seen there."""
    own = "c.data.filter(t => t.name === scheme && t.meta !== 'band')"
    per_chart = f"const own = {own}; return own.length ? [own.every(t => t.visible)] : [];"
    return page.evaluate(f"scheme => ({CHARTS})().flatMap(c => {{ {per_chart} }})", scheme)


def column(page, table, place):
    return [cell.inner_text().strip() for cell in page.query_selector_all(f"#{table} tbody td:nth-child({place})")]


SPEC = {"DeepJSCC": "deepjscc", "BPG + LDPC": "bpg-ldpc"}  # by the words of the page


def test_schemes_go_and_come_in_every_chart(page):
    draw_all(page)
    metrics = len(page.query_selector_all("#difference-charts .chart"))
    assert shown_in(page, "DeepJSCC") == [True] * (metrics + metrics)  # curves and differences; nothing was lost
    chip = page.get_by_label("DeepJSCC", exact=True)
    page.locator(".chip", has_text="DeepJSCC").click()
    assert not chip.is_checked()
    assert set(shown_in(page, "DeepJSCC")) <= {False}
    assert "DeepJSCC" not in column(page, "table", 2)
    assert set(shown_in(page, "BPG + LDPC")) == {True}
    chip.focus()
    page.keyboard.press("Space")
    assert chip.is_checked()
    assert set(shown_in(page, "DeepJSCC")) == {True}


@pytest.mark.parametrize("lost", [0, 1])
def test_outages_have_a_chart_where_there_are_some(open_page, kept_results, tmp_path, lost):
    results = load_results(kept_results)
    rows = [replace(row, outage=place < lost) for place, row in enumerate(results.rows)]
    write_report([replace(results, rows=rows)], tmp_path / "report.html")
    page = ready(open_page((tmp_path / "report.html").as_uri()))
    metrics = len(page.query_selector_all("#difference-charts .chart"))
    assert len(page.query_selector_all("#curve-charts .chart")) == metrics + lost
    said = page.inner_text("#curves-lead")
    assert ("hollow markers" in said, "no trip ended in outage" in said) == (bool(lost), not lost)


def test_curves_read_back_are_those_of_the_database(page, kept_results):
    chart = page.query_selector("#curve-charts .chart")
    chart.scroll_into_view_if_needed()
    page.wait_for_function("chart => chart.data", arg=chart, timeout=BUSY)
    for scheme in ("BPG + LDPC", "DeepJSCC"):
        read = (
            "(chart, scheme) => chart.data.filter(t => t.name === scheme && t.meta === 'curve').map(t => [t.x, t.y])[0]"
        )
        xs, ys = chart.evaluate(f"(chart, scheme) => ({read})(chart, scheme)", scheme)
        query = "SELECT snr_db, avg(psnr_db) FROM rows WHERE scheme = ? GROUP BY snr_db ORDER BY snr_db"
        expected = ask(kept_results, query, SPEC[scheme])
        assert xs == [snr for snr, _ in expected]
        assert ys == pytest.approx([psnr for _, psnr in expected], abs=1e-4)


def test_the_table_sorts_as_the_database_does(page, kept_results):
    draw_all(page)
    head = page.locator("#table th", has_text="PSNR")
    head.get_by_role("button").click()
    page.wait_for_function("head => head.ariaSort === 'descending'", arg=head.element_handle(), timeout=BUSY)
    query = "SELECT image, scheme, snr_db, psnr_db FROM rows ORDER BY psnr_db {}, rowid"
    for direction in ("DESC", "ASC"):
        expected = ask(kept_results, query.format(direction).replace(", rowid", ""))
        assert column(page, "table", 1) == [image for image, *_ in expected]
        assert column(page, "table", 2) == [scheme_words(scheme) for _, scheme, *_ in expected]
        assert [float(text) for text in column(page, "table", 4)] == pytest.approx(
            [row[3] for row in expected], abs=0.006
        )
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
    page.select_option("#table-snr", label="5 dB")
    page.select_option("#table-series", label="DeepJSCC")
    assert len(column(page, "table", 1)) == len(
        ask(kept_results, "SELECT 1 FROM rows WHERE scheme = 'deepjscc' AND snr_db = 5")
    )


def test_another_reference_gives_its_differences(page, kept_results):
    page.select_option("#reference", label="DeepJSCC")
    (mean,) = [
        one.estimate
        for one in differences(load_results(kept_results).rows, "deepjscc", ("psnr_db",))
        if one.snr_db is None
    ]
    assert column(page, "mean-differences", 1) == ["BPG + LDPC"]
    told = column(page, "mean-differences", 4)[0].replace("−", "-")
    numbers = [float(text) for text in re.findall(r"[+-]\d+\.\d+", told)]
    assert numbers == pytest.approx([mean.mean, mean.low, mean.high], abs=0.006)


def test_pictures_and_their_numbers(page, kept_results):
    page.locator("#viewer").scroll_into_view_if_needed()
    page.wait_for_selector("#left-caption b", timeout=BUSY)
    page.select_option("#view-image", index=1)
    page.select_option("#view-condition", label="10 dB")
    page.select_option("#view-left", label="DeepJSCC")
    page.select_option("#view-right", label="BPG + LDPC")
    image = page.locator("#view-image option:checked").inner_text()
    for side, scheme in (("left", "DeepJSCC"), ("right", "BPG + LDPC")):
        query = "SELECT psnr_db, cbr, key FROM rows WHERE scheme = ? AND snr_db = 10 AND image = ?"
        ((psnr, cbr, key),) = ask(kept_results, query, SPEC[scheme], image)
        page.wait_for_function(
            "([id, text]) => document.getElementById(id).innerText.includes(text)",
            arg=[f"{side}-caption", f"PSNR {psnr:.2f} dB"],
            timeout=BUSY,
        )
        assert f"CBR {cbr:.5f}" in page.inner_text(f"#{side}-caption")
        assert pixel(page, side) == kept_pixel(kept_results / "images" / f"{key}.png")
    clip = "() => document.getElementById('left').style.clipPath"
    before = page.evaluate(clip)
    page.focus("#slider")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(clip) != before
    assert page.input_value("#slider") == "60"
    box = page.locator("#divider").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 80, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert float(page.input_value("#slider")) < 60
    page.select_option("#view-left", label="source")
    page.select_option("#view-mode", label="error × 8")
    page.wait_for_function("document.getElementById('left').getAttribute('aria-label').startsWith('error of source')")
    assert pixel(page, "left") == [0, 0, 0]
    width = page.evaluate("document.getElementById('sheet').clientWidth")
    page.select_option("#view-zoom", label="4 ×")
    assert page.evaluate("document.getElementById('sheet').clientWidth") == pytest.approx(4 * width, abs=4)


def test_a_row_opens_its_picture_and_the_error_is_grey(page):
    page.locator("#table .open").nth(2).click()
    page.wait_for_selector("#right-caption b", timeout=BUSY)
    row = page.locator("#table tbody tr").nth(2).locator("td").all_inner_texts()
    assert page.locator("#view-image option:checked").inner_text() == row[0]
    assert page.locator("#view-condition option:checked").inner_text() == f"{row[2]} dB"
    page.wait_for_function("text => document.getElementById('right-caption').innerText.includes(text)", arg=row[3])
    assert page.locator("#view-right option:checked").inner_text() == row[1].strip()
    page.select_option("#view-mode", label="error × 8")
    page.wait_for_function("document.getElementById('right').getAttribute('aria-label').startsWith('error')")
    colours = pixel(page, "right")
    assert len(set(colours)) == 1


def test_bands_are_drawn_when_they_are_asked_for(page):
    draw_all(page)
    bands = f"() => ({CHARTS})().flatMap(c => c.data).filter(t => t.meta === 'band').length"
    assert page.evaluate(bands) == 0
    page.check("#bands")
    assert page.evaluate(bands) > 0


def pixel(page, side):
    """Red, green and blue in the middle of a canvas."""
    code = "c => [...c.getContext('2d').getImageData(c.width >> 1, c.height >> 1, 1, 1).data].slice(0, 3)"
    return page.locator(f"#{side}").evaluate(code)


def kept_pixel(path):
    from PIL import Image

    with Image.open(path) as picture:
        return list(picture.getpixel((picture.width // 2, picture.height // 2)))


def test_a_dark_page_prints_light_and_turns_light_when_asked(open_page, report):
    page = ready(open_page(report, color_scheme="dark"))
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator("#schemes .chip").first.is_visible()  # the legend
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.emulate_media(media="screen", color_scheme="dark")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    chart = page.query_selector("#curve-charts .chart")
    chart.scroll_into_view_if_needed()
    page.wait_for_function("chart => chart.data", arg=chart, timeout=BUSY)
    font = "chart => chart.layout.font.color"
    inked = chart.evaluate(font)
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    assert chart.evaluate(font) != inked


def test_the_command_can_be_copied(page, kept_results):
    button = page.locator("#provenance").get_by_role("button", name="Copy")
    assert page.locator("#origins pre").inner_text().startswith("python -m simulator")
    button.click()
    page.locator("#provenance").get_by_role("button", name="Copied").wait_for()


def test_a_phone_needs_no_scrolling_sideways(open_page, report):
    page = ready(open_page(report, width=375, height=800, has_touch=True, is_mobile=True))
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    inside = "e.closest('.scroll, .window, svg, .chart')"
    beyond = f"e => !{inside} && e.getBoundingClientRect().right > 376"
    wide = f"() => [...document.querySelectorAll('main *')].filter({beyond}).map(e => e.outerHTML.slice(0, 80))"
    assert page.evaluate(wide) == []


def test_names_stay_text_in_the_browser(kept_results, open_page, tmp_path):
    from dataclasses import replace

    name = "</script><img src=x onerror='document.title=1'>"
    results = load_results(kept_results)
    rows = [
        replace(row, scheme=name if row.scheme == "deepjscc" else row.scheme, image=f"<b>{row.image}")
        for row in results.rows
    ]
    write_report(
        [replace(results, rows=rows, meta=results.meta | {"images": []})], tmp_path / "evil.html", title="Tame"
    )
    page = ready(open_page((tmp_path / "evil.html").as_uri()))
    draw_all(page)
    assert page.title() == "Tame"
    assert page.query_selector("main img, header img, table b") is None
    assert page.get_by_label(name, exact=True).is_checked()


def test_several_channels_and_ratios_can_be_chosen(kept_results, open_page, tmp_path):
    from dataclasses import replace

    results = load_results(kept_results)
    more = [
        replace(
            row, channel=channel, cbr_target=row.cbr_target * factor, cbr=row.cbr * factor, psnr_db=row.psnr_db + shift
        )
        for channel, factor, shift in (("awgn", 1, 0), ("awgn", 2, 1), ("rayleigh", 1, -2), ("rayleigh", 2, -1))
        for row in results.rows
    ]
    write_report(
        [replace(results, rows=more, planned=len(more), meta=results.meta | {"images": []})], tmp_path / "more.html"
    )
    page = ready(open_page((tmp_path / "more.html").as_uri()))
    draw_all(page)
    first = "() => document.querySelector('#curve-charts .chart').data.find(t => t.meta === 'curve')"
    before = page.evaluate(f"({first})().y")
    page.select_option("#choose-channel", label="rayleigh")
    assert page.evaluate(f"({first})().y") == pytest.approx([value - 2 for value in before], abs=2e-4)
    page.select_option("#choose-cbr", label="1/6")
    assert page.evaluate(f"({first})().y") == pytest.approx([value - 1 for value in before], abs=2e-4)
    page.select_option("#choose-x", label="CBR")
    assert page.evaluate(f"({first})().x") == pytest.approx(
        [row.cbr * f for row in results.rows[:1] for f in (1, 2)], rel=0.02
    )
    assert not page.locator("#choose-cbr").is_visible()
    assert "--keep-images all" in page.inner_text("#pictures-lead")


def test_the_page_is_interactive_within_two_seconds(browser, report):
    """Processor time of the page's thread until charts can be drawn, and time on the clock if the machine is idle.

    plotly.js alone takes most of it. Where the machine is so slow, or so busy, that little room is left beside
    plotly.js within two seconds, the page may take 60 % longer than plotly.js. The best of three openings counts.
    """
    pages, alone = [], []
    for _ in range(3):
        pages.append(times_until_ready(browser, report))
        alone.append(processor_time_of_plotly(browser))
        (processor, clock), library = min(pages), min(alone)
        idle = os.getloadavg()[0] < 0.5 * (os.cpu_count() or 1) and library < 1.3
        if processor < max(2.0, 1.6 * library) and (clock < 2.0 or not idle):
            break
    print(f"processor {processor:.2f} s, clock {clock:.2f} s, plotly.js alone {library:.2f} s")
    assert processor < max(2.0, 1.6 * library)
    assert clock < 2.0 or not idle


def times_until_ready(browser, report):
    """Seconds (processor, clock) that one opening takes."""
    with measured_page(browser) as (page, session):
        page.goto(report)
        page.wait_for_function("document.documentElement.dataset.ready", timeout=BUSY)
        clock = float(page.evaluate("document.documentElement.dataset.ready")) / 1000
        return thread_time(session), clock


def processor_time_of_plotly(browser):
    """Seconds of the page's thread for plotly.js in an empty page."""
    with measured_page(browser) as (page, session):
        page.goto("about:blank")
        page.add_script_tag(content=get_plotlyjs())
        assert page.evaluate("typeof Plotly") == "object"
        return thread_time(session)


@contextmanager
def measured_page(browser):
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    yield page, session
    context.close()


def thread_time(session):
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["ThreadTime"]

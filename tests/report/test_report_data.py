"""A report says what the statistics say, in one file that loads nothing and trusts no name."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from operator import attrgetter

import numpy as np
import pytest
from PIL import Image

from simulator.analysis.comparison import differences
from simulator.analysis.grouping import group_by_point, image_means
from simulator.analysis.looks import MARKERS, PLOTLY_SYMBOLS
from simulator.analysis.statistics import LEDGER_ITEMS, METRICS, bills, summarise
from simulator.errors import UserError
from simulator.report.data import check_comparable, make_series
from simulator.report.page import build_page, embedded_json, write_report
from simulator.results.gallery import Gallery
from simulator.results.store import load_results

EVIL = "</script><img src=x onerror=alert(1)>{{data}}"


class Elements(HTMLParser):
    """Every element of a page, and the text of those with an id."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id")

    def handle_data(self, data):
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + data


@pytest.fixture(scope="module")
def results(kept_results):
    return load_results(kept_results)


@pytest.fixture(scope="module")
def page(results):
    return build_page([results], None, 10.0, lambda note: pytest.fail(note))


@pytest.fixture(scope="module")
def data(page):
    return json.loads(Elements(page).texts["data"])


def records(data, name):
    """The records of a part by (series name, channel, CBR, SNR)."""
    part = data[name] if isinstance(name, str) else name
    for values in zip(*part.values(), strict=True):
        record = dict(zip(part, values, strict=True))
        snr = None if record["snr"] is None else data["snrs"][record["snr"]]
        cbr = data["cbrs"][record["cbr"]]["value"]
        yield (data["series"][record["series"]]["name"], data["channels"][record["channel"]], snr, cbr), record


def test_curves_are_those_of_the_summary(results, data):
    points = {(p.scheme, p.channel, p.snr_db, p.cbr_target): p.record() for p in summarise(results.rows)}
    found = dict(records(data, "points"))
    assert found.keys() == points.keys()
    for where, record in found.items():
        expected = points[where]
        for name in (*METRICS, "outage_rate"):
            for column in (name, f"{name}_lo", f"{name}_hi"):
                assert record[column] == (
                    expected[column] if expected[column] is None else pytest.approx(expected[column], abs=1e-4)
                )
        assert record["billed"] == pytest.approx(expected["cbr"], abs=1e-6)
        assert record["images"] == 3


def test_bars_of_the_bill_sum_to_the_billed_cbr(results, data):
    expected = {(b.scheme, b.channel, b.snr_db, b.cbr_target): b for b in bills(results.rows)}
    found = dict(records(data, "bill"))
    assert found.keys() == expected.keys()
    for where, record in found.items():
        assert sum(record[item] for item in LEDGER_ITEMS) == pytest.approx(expected[where].cbr, abs=1e-6)
        for item in LEDGER_ITEMS:
            assert record[item] == pytest.approx(expected[where].shares[item] * expected[where].cbr, abs=1e-6)


def test_differences_are_there_for_every_reference(results, data):
    for index, one in enumerate(data["series"]):
        expected = {
            (d.scheme, d.channel, d.snr_db, d.cbr_target, d.metric): d for d in differences(results.rows, one["name"])
        }
        found = {(*where, record["metric"]): record for where, record in records(data, data["differences"][index])}
        assert found.keys() == expected.keys()
        for where, record in found.items():
            estimate = expected[where].estimate
            told = (record["mean"], record["low"], record["high"])
            assert told == pytest.approx((estimate.mean, estimate.low, estimate.high), abs=1e-4)


def test_the_table_has_every_image_at_every_point(results, data):
    found = {(*where, data["images"][record["image"]]): record for where, record in records(data, "table")}
    assert len(found) == len(results.rows)
    for where, group in group_by_point(results.rows).items():
        for image, psnr in image_means(group, attrgetter("psnr_db")).items():
            assert found[(*where, image)]["psnr_db"] == pytest.approx(psnr, abs=1e-4)


def test_pictures_that_fit_are_those_that_were_kept(results, page, data):
    texts = Elements(page).texts
    gallery, names = Gallery(results.folder), data["images"]
    assert data["pictures"]["quality"] is None
    assert len(data["pictures"]["shots"]) == len(results.rows)
    rows = {(row.scheme, row.snr_db, row.image): row for row in results.rows}
    for index, (series, _, _, snr, image, *_, psnr, _, _, cbr, outage) in enumerate(data["pictures"]["shots"]):
        row = rows[data["series"][series]["name"], data["snrs"][snr], names[image]]
        assert base64.b64decode(texts[f"shot-{index}"]) == gallery.path(row.key).read_bytes()
        assert (psnr, cbr, outage) == (
            pytest.approx(row.psnr_db, abs=1e-5),
            pytest.approx(row.cbr, abs=1e-5),
            row.outage,
        )
    for image in results.meta["images"]:
        embedded = base64.b64decode(texts[f"source-{names.index(image['name'])}"])
        assert embedded == gallery.source_path(image["sha256"]).read_bytes()


def test_the_page_loads_nothing(page):
    for tag, attributes in Elements(page).elements:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        assert not re.match(r"(https?:)?//", attributes.get("href", ""))
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", page)


def test_names_are_text_and_nothing_else(results, page):
    named = [
        replace(row, scheme=EVIL if row.scheme == "deepjscc" else row.scheme, image=f"{EVIL}{row.image}")
        for row in results.rows
    ]
    evil = build_page([replace(results, rows=named, meta=results.meta | {"images": []})], EVIL, 10.0, lambda note: None)
    tame = build_page([replace(results, meta=results.meta | {"images": []})], "title", 10.0, lambda note: None)
    assert [tag for tag, _ in Elements(evil).elements] == [tag for tag, _ in Elements(tame).elements]
    told = json.loads(Elements(evil).texts["data"])
    assert told["title"] == EVIL
    assert EVIL in [one["label"] for one in told["series"]]
    assert all(name.startswith(EVIL) for name in told["images"])


def test_json_cannot_end_its_element():
    text = embedded_json({"<!--": "</script>\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"<!--": "</script>\u2028"}


def test_pictures_lose_nothing_while_a_denser_lossless_format_fits(results, page):
    bare = len(build_page([replace(results, meta=results.meta | {"images": []})], None, 10.0).encode())
    dense = build_page([results], None, (bare + 0.93 * (len(page.encode()) - bare) + 20_000) / 1e6)
    parsed = Elements(dense)
    pictures = json.loads(parsed.texts["data"])["pictures"]
    assert (pictures["quality"], len(pictures["shots"])) == (None, len(results.rows))
    (kind,) = {attributes["data-type"] for _, attributes in parsed.elements if "data-type" in attributes}
    assert kind == "image/webp"
    kept = {path.name: np.asarray(Image.open(path)) for path in (results.folder / "images").glob("*.png")}
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(parsed.texts["shot-0"]))))
    assert any(np.array_equal(shown, one) for one in kept.values())


def test_a_missing_metric_is_told_with_what_to_do(results):
    meta = results.meta | {
        "config": results.meta["config"] | {"lpips": "alex"},
        "lpips": {"net": "none", "fingerprint": "none"},
    }
    notes = []
    page = build_page([replace(results, meta=meta)], None, 10.0, notes.append)
    assert "has no LPIPS: its backbone" in notes[0]
    assert json.loads(Elements(page).texts["data"])["notes"] == notes


def test_what_does_not_fit_is_chosen_and_compressed(results, page):
    notes = []
    bare = len(build_page([replace(results, meta=results.meta | {"images": []})], None, 10.0).encode())
    limit = (bare + 0.06 * (len(page.encode()) - bare) + 20_000) / 1e6
    small = build_page([results], None, limit, notes.append)
    assert len(small.encode()) <= limit * 1e6
    parsed = Elements(small)
    pictures = json.loads(parsed.texts["data"])["pictures"]
    assert 0 < len(pictures["shots"]) < len(results.rows)
    assert pictures["quality"] == 85
    assert "fit into" in notes[0]
    shown = {}
    for series, channel, cbr, snr, image, *_ in pictures["shots"]:
        shown.setdefault((channel, cbr, snr, image), set()).add(series)
    assert all(schemes == {0, 1} for schemes in shown.values())
    kinds = {
        attributes["id"]: attributes["data-type"] for _, attributes in parsed.elements if "data-type" in attributes
    }
    assert set(kinds.values()) == {"image/webp"}
    shape = np.asarray(Image.open(io.BytesIO(base64.b64decode(parsed.texts["shot-0"])))).shape
    assert shape == (176, 176, 3)


def test_numbers_that_do_not_fit_are_refused(results):
    with pytest.raises(UserError, match="without any picture"):
        build_page([results], None, 1.0)


def test_one_scheme_of_two_folders_is_two_curves(results, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(results.folder, other)
    both = [results, load_results(other)]
    assert [one.name for one in make_series(both)] == [
        *("bpg-ldpc, kept", "deepjscc, kept", "bpg-ldpc, other", "deepjscc, other")
    ]
    data = json.loads(Elements(build_page(both, None, 10.0)).texts["data"])
    same = [record for where, record in records(data, data["differences"][0]) if where[0] == "bpg-ldpc, other"]
    assert same
    assert all(record["mean"] == 0 for record in same)


def test_folders_of_one_name_are_told_apart(results):
    names = [one.name for one in make_series([results, results])]
    assert len(set(names)) == 4


def test_different_pictures_of_one_name_are_refused(results):
    images = [image | {"sha256": "0" * 64} for image in results.meta["images"]]
    with pytest.raises(UserError, match="another picture"):
        build_page([results, replace(results, meta=results.meta | {"images": images})], None, 10.0)


def test_different_sets_of_images_are_told(results):
    notes = []
    fewer = replace(results, rows=[row for row in results.rows if row.image != results.rows[0].image], planned=12)
    build_page([results, fewer], None, 10.0, notes.append)
    assert any("different sets of images" in note for note in notes)


def test_only_lpips_of_two_networks_cannot_be_compared(results):
    alex, vgg, none = (
        replace(results, meta=results.meta | {"lpips": {"net": net, "fingerprint": net}})
        for net in ("alex", "vgg", "none")
    )
    assert not any("different networks" in note for note in check_comparable([alex, none]))
    assert any("different networks" in note for note in check_comparable([alex, vgg, none]))


def test_results_without_rows_are_refused(results, tmp_path):
    with pytest.raises(UserError, match="holds no finished rows"):
        write_report([replace(results, rows=[])], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_results_give_the_same_bytes(results, page, tmp_path):
    size = write_report([results], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == page.encode()
    assert size == len(page.encode())


def test_further_metrics_are_curves_and_columns(results):
    rows = [replace(row, further=json.dumps({"snr": index, "<b>": 1.0})) for index, row in enumerate(results.rows)]
    data = json.loads(
        Elements(build_page([replace(results, rows=rows, meta=results.meta | {"images": []})], None, 10.0)).texts[
            "data"
        ]
    )
    assert [words["name"] for words in data["further"].values()] == ["snr", "<b>"]
    assert {one for found in data["differences"] for one in found["metric"]} >= set(data["further"])
    key = next(iter(data["further"]))
    assert key in data["metrics"]
    assert sorted(data["table"][key]) == list(range(len(rows)))
    expected = [point.metrics["snr"].mean for point in summarise(rows)]
    assert data["points"][key] == pytest.approx(expected, abs=1e-6)


def test_broken_schemes_are_told(results):
    notes = []
    rows = [replace(row, fault="it raised") for row in results.rows]
    build_page([replace(results, rows=rows)], None, 10.0, notes.append)
    assert any("18 rows of schemes that broke" in note for note in notes)


def test_a_damaged_picture_is_named(results, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(results.folder, broken)
    path = Gallery(broken).path(results.rows[0].key)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=path.name):
        build_page([load_results(broken)], None, 10.0)


def test_every_marker_has_a_symbol_and_a_swatch() -> None:
    script = (files("simulator.report") / "page" / "start.js").read_text()
    swatches = script[script.index("SWATCHES") : script.index("};")]
    for marker in MARKERS:
        assert re.search(rf'"?{PLOTLY_SYMBOLS[marker]}"?: "M', swatches)

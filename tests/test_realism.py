"""Distances of sets are computed from the kept pictures of a results folder, and only where all points have them."""

import shutil
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.analysis.outputs import DISTANCES, SUMMARY_AND_FIGURES
from simulator.errors import UserError
from simulator.images import load_image
from simulator.metrics.features import Features
from simulator.metrics.kid import cut_patches, kernel_distance
from simulator.realism import find_pictures, measure_realism, realism_csv, realism_file, realism_records
from simulator.results.gallery import Gallery, encode_png
from simulator.results.store import load_results
from simulator.results.written import written_in

PATCH = 64  # of pictures of 176 pixels: 4 tiles, and 4 shifted ones


def _means(patches: torch.Tensor) -> torch.Tensor:
    """Mean colour and contrast of uint8 patches [B, 3, h, w]."""
    values = patches.float() / 255
    return torch.cat([values.mean(dim=(2, 3)), values.std(dim=(2, 3))], dim=1)


FEATURES = Features("kernel_distance_means", "kernel distance (means)", "0" * 64, _means, torch.device("cpu"))


@pytest.fixture
def folder(kept_results: Path, tmp_path: Path) -> Path:
    """A copy of the results that a test may damage."""
    return Path(shutil.copytree(kept_results, tmp_path / "results"))


def _measured(folder: Path, notes: list[str] | None = None):
    pictures = find_pictures(load_results(folder), PATCH, [].append if notes is None else notes.append)
    return measure_realism(pictures, FEATURES, PATCH)


def test_every_point_is_compared_with_the_sources(kept_results: Path) -> None:
    results, gallery = load_results(kept_results), Gallery(kept_results)
    told: list[tuple[int, int]] = []
    pictures = find_pictures(results, PATCH)
    measured = measure_realism(pictures, FEATURES, PATCH, lambda done, total: told.append((done, total)))
    assert [(one.scheme, one.snr_db) for one in measured] == [
        (scheme, snr_db) for scheme in ("bpg-ldpc", "deepjscc") for snr_db in (0.0, 5.0, 10.0)
    ]
    assert {(one.images, one.pictures, one.patches, one.spread) for one in measured} == {(3, 3, 24, None)}
    assert (told[0], told[-1]) == ((0, 21), (21, 21))
    rows = [row for row in results.rows if (row.scheme, row.snr_db) == ("deepjscc", 5.0)]
    digests = {image["name"]: image["sha256"] for image in results.meta["images"]}

    def features(paths) -> np.ndarray:
        return np.concatenate([FEATURES(cut_patches(load_image(path), PATCH)) for path in paths])

    sets = features(gallery.source_path(digests[row.image]) for row in rows), features(map(gallery.path, _keys(rows)))
    number = np.repeat([0, 1, 2], 8)
    assert measured[4].distance == pytest.approx(kernel_distance(*sets, (number, number)).mean, rel=1e-12)
    assert measured[4].all_pairs == pytest.approx(kernel_distance(*sets).mean, rel=1e-12)
    assert measured[4].all_pairs != measured[4].distance


def _keys(rows) -> list[str]:
    return [row.key for row in rows]


def test_pictures_equal_to_their_sources_are_0_apart(folder: Path) -> None:
    results, gallery = load_results(folder), Gallery(folder)
    digests = {image["name"]: image["sha256"] for image in results.meta["images"]}
    for row in results.rows:
        shutil.copyfile(gallery.source_path(digests[row.image]), gallery.path(row.key))
    assert [one.distance for one in _measured(folder)] == [pytest.approx(0, abs=1e-12)] * 6


def test_outages_are_counted(kept_results: Path) -> None:
    results = load_results(kept_results)
    rows = [replace(row, outage=row.snr_db == 0) for row in results.rows]
    pictures = find_pictures(replace(results, rows=rows), PATCH)
    assert [one.outages for one in measure_realism(pictures, FEATURES, PATCH)] == [3, 0, 0, 3, 0, 0]


def test_a_point_without_all_pictures_is_left_out_and_named(folder: Path) -> None:
    gone = next(row for row in load_results(folder).rows if (row.scheme, row.snr_db) == ("bpg-ldpc", 5.0))
    Gallery(folder).path(gone.key).unlink()
    notes: list[str] = []
    assert len(_measured(folder, notes)) == 5
    (note,) = notes
    assert f"bpg-ldpc over awgn at 5 dB and CBR 1/12 ({gone.image})" in note
    assert note.endswith("--keep-images all")


def test_an_unfinished_point_is_left_out(kept_results: Path) -> None:
    results = load_results(kept_results)
    notes: list[str] = []
    pictures = find_pictures(replace(results, rows=results.rows[:-1]), PATCH, notes.append)
    assert len(pictures.points) == 5
    assert "deepjscc over awgn at 10 dB" in notes[0]


def test_of_several_realisations_all_are_needed(kept_results: Path) -> None:
    """Of a sweep that kept the best of two realisations, no point can be compared."""
    results = load_results(kept_results)
    rows = [*results.rows, *(replace(row, key=f"second {row.key}", realisation=1) for row in results.rows)]
    with pytest.raises(UserError, match=r"no point has all its pictures: .* and 3 more; rerun .*-images all$"):
        find_pictures(replace(results, rows=rows), PATCH)


def test_what_cannot_be_compared_is_explained(folder: Path) -> None:
    results, gallery = load_results(folder), Gallery(folder)
    with pytest.raises(UserError, match=r"is 176x176, smaller than a patch of 256; .* --patch 176 or less$"):
        find_pictures(results, 256)
    single = [row for row in results.rows if row.image == results.rows[0].image]
    with pytest.raises(UserError, match="has a single image"):
        find_pictures(replace(results, rows=single), PATCH)
    gallery.path(single[0].key).write_bytes(encode_png(np.zeros((80, 90, 3), np.uint8)))
    with pytest.raises(UserError, match="not of the size of its source"):
        _measured(folder)
    shutil.rmtree(folder / "images" / "sources")
    with pytest.raises(UserError, match=r"the source pictures of .* are missing .*--keep-images all$"):
        find_pictures(results, PATCH)
    shutil.rmtree(folder / "images")
    with pytest.raises(UserError, match=r"no pictures were kept in .*; rerun its command with --keep-images all$"):
        find_pictures(results, PATCH)


def test_a_changed_sweep_removes_the_distances_but_no_file_of_the_user(folder: Path) -> None:
    measured = _measured(folder)
    names = ["kid.csv", realism_file(FEATURES)]
    assert names[1] == "kernel-distance-means.csv"
    assert all(any(fnmatchcase(name, pattern) for pattern in DISTANCES) for name in names)
    with written_in(folder, lambda note: None) as written:
        written.write(folder / names[1], realism_csv(realism_records(measured, FEATURES, PATCH)))
        (folder / "kid.csv").write_text("mine")
        SUMMARY_AND_FIGURES.remove(written)
    assert not (folder / names[1]).exists()
    assert (folder / "kid.csv").read_text() == "mine"

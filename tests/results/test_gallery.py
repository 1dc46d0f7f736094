"""Pictures that a sweep keeps are those that were scored, and are there exactly when they were asked for."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from simulator.images import load_image_set
from simulator.link import load_scheme
from simulator.metrics import psnr_db
from simulator.results.gallery import Gallery
from simulator.sweep import run as sweep
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig
from simulator.sweep.trials import Worker

pytestmark = pytest.mark.usefixtures("toys", "without_figures")


@pytest.fixture
def config(photographs):
    return SweepConfig(
        snrs_db=(0.0, 5.0),
        schemes=("toy", "toy-cliff", "toy-bound"),
        channels=("rayleigh",),
        images=str(photographs),
        realisations=3,
        lpips="none",
        keep_images="all",
    )


@pytest.fixture
def computed(monkeypatch):
    """Keys of all rows that are computed, in order."""
    keys = []
    call = Worker.__call__
    monkeypatch.setattr(Worker, "__call__", lambda self, task: (keys.extend(task.keys), call(self, task))[1])
    return keys


def sweep_quietly(config, folder, fresh=False):
    return run_sweep(config, folder, fresh=fresh, notify=lambda message: None)


def best_keys(rows):
    """First of the best realisations of each shot."""
    found = {}
    for row in rows:
        shot = (row.scheme, row.channel, row.snr_db, row.cbr_target, row.image)
        if shot not in found or row.psnr_db > found[shot].psnr_db:
            found[shot] = row
    return {row.key for row in found.values()}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_picture_gives_the_numbers_of_its_row(config, tmp_path, workers):
    rows = sweep_quietly(replace(config, workers=workers, batch=2), tmp_path).rows
    gallery = Gallery(tmp_path)
    sources = {image.name: image for image in load_image_set(config.images)}
    assert gallery.keys() == {row.key for row in rows}
    for row in rows:
        source = sources[row.image]
        kept = np.asarray(Image.open(gallery.source_path(source.digest)))
        assert np.array_equal(kept, source.rgb)
        assert psnr_db(kept, np.asarray(Image.open(gallery.path(row.key)))) == row.psnr_db


def test_nothing_is_kept_unless_asked_for(config, tmp_path):
    sweep_quietly(replace(config, keep_images="none"), tmp_path)
    assert not Gallery(tmp_path).folder.exists()


def test_the_best_realisation_is_kept(config, tmp_path):
    rows = sweep_quietly(replace(config, keep_images="best"), tmp_path).rows
    assert Gallery(tmp_path).keys() == best_keys(rows)
    assert len(best_keys(rows)) == len(rows) / 3


@pytest.mark.parametrize("keep", ["best", "all"])
def test_the_same_command_again_computes_nothing(config, tmp_path, computed, keep):
    config = replace(config, keep_images=keep)
    sweep_quietly(config, tmp_path)
    computed.clear()
    sweep_quietly(config, tmp_path)
    assert computed == []


@pytest.mark.parametrize("keep", ["best", "all"])
def test_pictures_of_rows_that_are_there_are_made_afterwards(config, tmp_path, computed, keep):
    rows = sweep_quietly(replace(config, keep_images="none"), tmp_path).rows
    computed.clear()
    again = sweep_quietly(replace(config, keep_images=keep), tmp_path).rows
    wanted = best_keys(rows) if keep == "best" else {row.key for row in rows}
    assert set(computed) == Gallery(tmp_path).keys() == wanted
    assert [row.psnr_db for row in again] == [row.psnr_db for row in rows]


def test_the_best_may_be_one_of_an_earlier_sweep_without_pictures(config, tmp_path, computed):
    sweep_quietly(replace(config, keep_images="none", realisations=2), tmp_path)
    rows = sweep_quietly(replace(config, keep_images="best"), tmp_path).rows
    assert best_keys(rows) <= Gallery(tmp_path).keys()
    computed.clear()
    sweep_quietly(replace(config, keep_images="best"), tmp_path)
    assert computed == []


def test_a_lost_picture_is_made_again(config, tmp_path, computed):
    rows = sweep_quietly(config, tmp_path).rows
    Gallery(tmp_path).path(rows[5].key).unlink()
    computed.clear()
    sweep_quietly(config, tmp_path)
    assert computed == [rows[5].key]
    assert Gallery(tmp_path).keys() == {row.key for row in rows}


def test_pictures_outlast_a_sweep_that_asks_for_none_but_not_a_fresh_one(config, tmp_path):
    keys = {row.key for row in sweep_quietly(config, tmp_path).rows}
    sweep_quietly(replace(config, keep_images="none"), tmp_path)
    assert Gallery(tmp_path).keys() == keys
    stranger = Gallery(tmp_path).folder / "notes.txt"
    stranger.write_text("mine")
    sweep_quietly(replace(config, keep_images="none"), tmp_path, fresh=True)
    assert Gallery(tmp_path).keys() == set()
    assert stranger.read_text() == "mine"


def test_a_killed_sweep_goes_on_with_its_pictures(config, tmp_path, monkeypatch):
    config = replace(config, keep_images="best")
    add = sweep.Store.add
    calls = []

    def fail(self, rows, late):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        add(self, rows, late)

    with monkeypatch.context() as patch:
        patch.setattr(sweep.Store, "add", fail)
        with pytest.raises(KeyboardInterrupt):
            sweep_quietly(config, tmp_path)
    rows = sweep_quietly(config, tmp_path).rows
    assert best_keys(rows) <= Gallery(tmp_path).keys()


@pytest.mark.parametrize("keep", ["none", "best", "all"])
def test_the_picture_of_a_fault_does_not_outlast_it(config, tmp_path, monkeypatch, keep):
    config, toy = replace(config, schemes=("toy",)), type(load_scheme("toy"))
    with monkeypatch.context() as patch:
        patch.setattr(toy, "decode", lambda self, reception: 1 / 0)
        broken = sweep_quietly(config, tmp_path)
    assert broken.faults == len(broken.rows)
    rows = sweep_quietly(replace(config, keep_images=keep), tmp_path).rows
    gallery = Gallery(tmp_path)
    sources = {image.name: image.rgb for image in load_image_set(config.images)}
    kept = gallery.keys()
    for row in (row for row in rows if row.key in kept):
        assert psnr_db(sources[row.image], np.asarray(Image.open(gallery.path(row.key)))) == row.psnr_db

"""A results folder loses only what this program wrote there, and what it wrote joins no image set."""

import io
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator import sweep
from simulator.__main__ import main
from simulator.analysis import outputs
from simulator.disk import is_stream, write_file
from simulator.errors import UserError
from simulator.results.gallery import Gallery
from simulator.results.store import DATABASE, Store, load_results
from simulator.results.written import written_in
from simulator.sweep.inputs import SweepConfig, choose_images

run_sweep = partial(sweep.run_sweep, outputs=outputs.SUMMARY_AND_FIGURES)

pytestmark = pytest.mark.usefixtures("toys")


def quietly(note):
    pass


@pytest.fixture
def config(photographs):
    return SweepConfig(snrs_db=(0.0, 4.0), schemes=("toy",), images=str(photographs), lpips="none", keep_images="all")


def picture(path: Path, level: int) -> bytes:
    """Write somebody's own picture; returns the content of its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40, 3), level, np.uint8)).save(path)
    return path.read_bytes()


@pytest.fixture
def small_figures(monkeypatch):
    """Sweeps draw one small picture, of other bytes for other results: these tests look at files, not at curves."""

    def draw(results, folder, write):
        stored = io.BytesIO()
        Image.new("L", (len(results[0].rows), 1)).save(stored, "png")
        write(folder / "psnr-vs-snr-awgn-cbr-1-16.png", stored.getvalue())

    monkeypatch.setattr(outputs, "draw", draw)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("without_figures")
def test_pictures_of_the_user_outlast_a_fresh_sweep_in_their_own_folder(config, tmp_path, monkeypatch):
    mine = {
        path: picture(tmp_path / path, level)
        for level, path in enumerate(
            ["images/photo.png", "images/sources/old.png", "figures/psnr-vs-snr-mine.png", "a.png", "images/a.png"]
        )
    }
    monkeypatch.chdir(tmp_path)
    for fresh in (True, False, True):
        run_sweep(replace(config, images="images"), Path("."), fresh=fresh, notify=quietly)
        assert {path: (tmp_path / path).read_bytes() for path in mine} == mine
    assert {row.image for row in load_results(tmp_path).rows} == {
        "photo",
        "a",
    }  # and no reconstruction of the first run


@pytest.mark.usefixtures("small_figures")
@pytest.mark.parametrize("spec", ["**/*.png", "out/images", "out/figures", "out/**/*.png"])
def test_what_was_written_joins_no_set(config, tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    for name in ("out", "out/deeper"):
        run_sweep(replace(config, snrs_db=(0.0, 3.0)), Path(name), notify=quietly)
    again = replace(config, images=spec)
    if spec.startswith("out"):
        with pytest.raises(UserError, match=r"results of this program .copy them"):
            choose_images(again)
        picture(tmp_path / "out" / "images" / "mine.png", 9)
        picture(tmp_path / "out" / "figures" / "mine.png", 9)
        assert {image.name.rpartition("/")[2].removesuffix(".png") for image in choose_images(again)} == {"mine"}
    else:
        assert [image.name for image in choose_images(again)] == ["p0", "p1", "p2", "p3"]


@pytest.mark.usefixtures("without_figures")
def test_a_fresh_sweep_removes_what_the_last_one_wrote_and_nobody_changed(config, tmp_path):
    rows = run_sweep(config, tmp_path / "out", notify=quietly).rows
    gallery = Gallery(tmp_path / "out")
    touched, untouched = gallery.path(rows[0].key), gallery.path(rows[1].key)
    changed = picture(touched, 77)
    run_sweep(replace(config, keep_images="none"), tmp_path / "out", fresh=True, notify=quietly)
    assert touched.read_bytes() == changed
    assert not untouched.exists()
    assert list(gallery.folder.rglob("*.png")) == [touched]


@pytest.mark.usefixtures("small_figures")
@pytest.mark.parametrize("name", ["summary.csv", "provenance.json", "figures/psnr-vs-snr-awgn-cbr-1-16.png"])
def test_a_strangers_file_makes_room_under_another_name(config, tmp_path, name):
    out, notes = tmp_path / "out", []
    stranger = out / name
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"mine")
    run_sweep(replace(config, snrs_db=(0.0, 3.0)), out, notify=notes.append)
    aside = stranger.with_name(f"{stranger.stem}.earlier-1{stranger.suffix}")
    assert aside.read_bytes() == b"mine"
    assert stranger.read_bytes() != b"mine"
    assert [note for note in notes if "is kept as" in note] == [
        f"'{stranger}' is not as this program wrote it; it is kept as '{aside.name}'"
    ]
    run_sweep(replace(config, snrs_db=(0.0, 1.0, 2.0)), out, fresh=True, notify=quietly)
    assert aside.read_bytes() == b"mine"
    assert not stranger.with_name(f"{stranger.stem}.earlier-2{stranger.suffix}").exists()


@pytest.mark.usefixtures("without_figures")
def test_a_table_that_was_edited_is_kept(config, tmp_path):
    run_sweep(config, tmp_path, notify=quietly)
    table = tmp_path / "summary.csv"
    table.write_bytes(edited := table.read_bytes().replace(b",", b";"))
    run_sweep(replace(config, snrs_db=(0.0, 3.0, 4.0)), tmp_path, notify=quietly)
    assert (tmp_path / "summary.earlier-1.csv").read_bytes() == edited
    assert table.read_bytes().count(b"\n") == 4


@pytest.mark.usefixtures("light_pdfs")
@pytest.mark.parametrize("verb", ["plot", "report"])
def test_plot_and_report_replace_only_their_own_files(kept_results, tmp_path, capsys, verb):
    shutil.copytree(kept_results, tmp_path / "results")
    target = tmp_path / "made"
    if verb == "report":
        target.mkdir()
    first = target / ("report.html" if verb == "report" else "psnr-vs-snr-awgn-cbr-1-12.png")
    first.parent.mkdir(exist_ok=True)
    first.write_bytes(b"mine")
    out = str(first if verb == "report" else target)
    command = [verb, str(tmp_path / "results"), "--out", out]
    assert main(command) == 0
    assert "is kept as" in capsys.readouterr().err
    made = contents(target)
    with closing(sqlite3.connect(tmp_path / "results" / DATABASE)) as connection, connection:
        connection.execute("DELETE FROM plan WHERE position % 3 = 0")  # other rows, other bytes
    assert main(command) == 0
    assert "is kept as" not in capsys.readouterr().err
    assert contents(target).keys() == made.keys()
    assert first.read_bytes() != made[first]
    assert [data for path, data in contents(target).items() if "earlier" in path.name] == [b"mine"]


def test_a_pipe_receives_a_report_and_stays_a_pipe(kept_results, tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe.html")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert main(["report", str(kept_results), "--out", str(pipe)]) == 0
    reader.join(timeout=60)
    assert received[0].startswith(b"<!doctype html>")
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["results.sqlite", "summary.csv", "provenance.json", ".lock"])
def test_a_report_takes_no_name_of_another_output(kept_results, tmp_path, capsys, name):
    shutil.copytree(kept_results, folder := tmp_path / "results")
    before = contents(folder)
    assert main(["report", str(folder), "--out", str(folder / name)]) == 2
    assert "its name must end in .html or .htm" in capsys.readouterr().err
    assert {path: data for path, data in contents(folder).items() if path in before} == before


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    """A rename asks for no permission to write; root has all permissions, so the system's answer is imitated."""
    target = tmp_path / "mine.png"
    target.write_bytes(b"mine")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != target)
    with pytest.raises(UserError, match=r"mine.png. .it is read-only.; choose another"):
        write_file(target, b"new", "choose another")
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("path", "stream"), [("/dev/full", True), ("/dev/stdout", True), ("/dev/shm/a", False), (".", False)]
)
def test_devices_are_no_files_to_replace(path, stream):
    assert is_stream(Path(path)) is stream


@pytest.fixture
def published(config, tmp_path):
    """A folder as it is published: the files of a sweep without their database."""
    folder = tmp_path / "published"
    run_sweep(replace(config, keep_images="none"), folder, notify=quietly)
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".lock", DATABASE}


@pytest.mark.usefixtures("small_figures")
@pytest.mark.parametrize("fresh", [False, True])
def test_files_that_came_without_their_database_are_replaced_where_provenance_proves_them(config, published, fresh):
    before, notes = contents(published), []
    larger = replace(config, snrs_db=(0.0, 3.0, 4.0), keep_images="none")
    run_sweep(larger, published, fresh=fresh, notify=notes.append)
    assert not any("is kept as" in note for note in notes)
    assert names(published) == {path.relative_to(published).as_posix() for path in before} - {".lock"}
    assert (published / "summary.csv").read_text().count("\n") == 4
    run_sweep(replace(larger, snrs_db=(1.0, 2.0)), published, notify=notes.append)
    assert not any("is kept as" in note for note in notes)


@pytest.mark.usefixtures("small_figures")
def test_an_interrupted_sweep_leaves_what_came_without_a_database(config, published, monkeypatch):
    table = (published / "summary.csv").read_bytes()

    def interrupted(self, missing):
        raise KeyboardInterrupt

    monkeypatch.setattr("simulator.sweep.run._Sweep.execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(replace(config, snrs_db=(3.0,)), published, notify=quietly)
    assert (published / "summary.csv").read_bytes() == table


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("edited", ["summary.csv", "provenance.json", "figures/mine.png"])
def test_provenance_proves_no_file_that_was_edited(config, published, edited):
    mine = published / edited
    mine.parent.mkdir(exist_ok=True)
    content = (mine.read_bytes() if mine.exists() else b"").replace(b"toy", b"TOY") + b" "
    mine.write_bytes(content)
    run_sweep(replace(config, snrs_db=(0.0, 3.0, 4.0), keep_images="none"), published, notify=quietly)
    assert content in contents(published).values()
    aside = {name for name in names(published) if "earlier" in name}
    assert (
        aside
        == {
            "summary.csv": {"summary.earlier-1.csv"},
            # What proves nothing any more leaves the others unproven too.
            "provenance.json": {"provenance.earlier-1.json", "summary.earlier-1.csv"},
            "figures/mine.png": set(),
        }[edited]
    )


@pytest.mark.usefixtures("small_figures")
def test_figures_that_are_drawn_again_are_proven_again(config, published):
    assert main(["plot", str(published), "--format", "png", "--style", "paper"]) == 0
    drawn = names(published)
    run_sweep(replace(config, snrs_db=(0.0, 3.0, 4.0), keep_images="none"), published, notify=quietly)
    assert names(published) == drawn


def test_a_database_from_elsewhere_names_no_file_outside_its_folder(tmp_path):
    victim = tmp_path / "thesis.txt"
    victim.write_bytes(b"years")
    folder = tmp_path / "out"
    with Store(folder) as store:
        written = store.written(quietly)
        written.write(folder / "own.txt", b"years")
        digest = written._connection.execute("SELECT sha256 FROM files").fetchone()[0]
        entries = [(name, digest) for name in ("../thesis.txt", str(victim), "x/../../thesis.txt")]
        written._connection.executemany("INSERT INTO files VALUES (?, ?)", entries)
        written.remove("*thesis.txt")
    Store(folder, fresh=True).close()
    assert victim.read_bytes() == b"years"
    assert not (folder / "own.txt").exists()


def test_a_file_is_listed_before_it_is_there(tmp_path, monkeypatch):
    with Store(tmp_path / "out") as store:
        written = store.written(quietly)

        def killed(path, data):
            raise KeyboardInterrupt

        monkeypatch.setattr("simulator.results.written.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            written.write(tmp_path / "out" / "picture.png", b"ours")
    (tmp_path / "out" / "picture.png").write_bytes(b"ours")  # the process died a moment later
    Store(tmp_path / "out", fresh=True).close()
    assert not (tmp_path / "out" / "picture.png").exists()


def test_a_list_that_cannot_be_written_is_still_read(config, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with Store(folder) as store:
        store.written(quietly).write(folder / "a.txt", b"ours")
    (folder / DATABASE).chmod(0o444)
    real = sqlite3.connect

    def read_only(place, **options):
        if "mode=rw" in str(place):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return real(place, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    notes = []
    with written_in(folder, notes.append) as written:
        written.write(folder / "a.txt", b"new")
        written.write(folder / "a.txt", b"newer")
    assert notes == []
    assert [path.name for path in folder.glob("a*")] == ["a.txt"]

"""Names of any bytes, links, copies, hidden files: each picture once, under a name that can be stored and shown."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from simulator.__main__ import main
from simulator.cli.check import environment
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.results.provenance import PROVENANCE, commit, commit_words
from simulator.results.store import load_results
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig, choose_images

ODD_NAMES = (b"caf\xe9.png", b"IMG [old].png", b"two\nlines.png", b"[bold]x[red].png", "漢.png".encode())


def save(folder, name, level):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else name.encode())
    with open(path, "wb") as file:
        Image.fromarray(np.full((40, 40, 3), level, np.uint8)).save(file, "png")


def names_of(spec, notes=None):
    notes = [] if notes is None else notes
    return [image.name for image in load_image_set(str(spec), notify=notes.append)]


@pytest.mark.usefixtures("toys")
def test_names_of_any_bytes_are_swept_stored_and_shown_whole(tmp_path, capsys):
    for level, name in enumerate(ODD_NAMES):
        save(tmp_path / "set", name, 20 * level)
    config = SweepConfig(snrs_db=(0.0,), schemes=("toy",), images=str(tmp_path / "set"), lpips="none")
    rows = run_sweep(replace(config, keep_images="all"), tmp_path / "out", notify=lambda note: None).rows
    assert {row.image for row in rows} == {"caf\\xe9", "IMG [old]", "two\nlines", "[bold]x[red]", "漢"}
    assert load_results(tmp_path / "out").rows == rows
    for form, line_break in (("table", "\\n"), ("csv", "\n")):
        assert main(["show", str(tmp_path / "out"), "--rows", "--format", form]) == 0
        shown = capsys.readouterr().out
        assert all(row.image.replace("\n", line_break) in shown for row in rows)
    assert main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "report.html")]) == 0


@pytest.mark.usefixtures("toys")
def test_notes_show_names_whole_in_one_line(tmp_path, capsys):
    for name in ("two\nlines.png", "a\ttab.png"):
        save(tmp_path / "set", name, 20)
    options = ["--scheme", "toy", "--images", str(tmp_path / "set"), "--lpips", "none", "--workers", "1"]
    assert main(["sweep", "--snr", "0", *options, "--out", str(tmp_path / "out")]) == 0
    assert r"note: the same picture under several names: a\ttab = two\nlines; each counts" in capsys.readouterr().err


def test_a_link_that_points_up_adds_nothing(tmp_path):
    save(tmp_path / "set", "a.png", 1)
    save(tmp_path / "set" / "deep", "b.png", 2)
    (tmp_path / "set" / "deep" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "again.png").symlink_to(tmp_path / "set" / "a.png")
    notes = []
    assert names_of(f"{tmp_path}/set/**/*.png", notes) in (["a", "b"], ["again", "b"])
    assert "reached a second time, by a link" in notes[0]
    assert len(notes) == 1


def test_what_is_passed_over_is_said_once(tmp_path):
    for name in ("a.png", "._a.png", ".hidden.png", "notes.txt", "c.psd"):
        save(tmp_path / "set", name, 1)
    notes = []
    assert names_of(tmp_path / "set", notes) == ["a"]
    assert notes == [
        f"files in '{tmp_path / 'set'}' that are not in the set: 2 hidden (a dot begins the name), 2 of other kinds"
    ]
    save(tmp_path / "none", "._x.png", 1)
    with pytest.raises(UserError, match=r"no images in .*1 hidden"):
        names_of(tmp_path / "none")


def test_a_file_beside_another_renames_no_third(tmp_path):
    for level, name in enumerate(["1.png", "2.png", "3.png"]):
        save(tmp_path / "set", name, level)
    assert names_of(tmp_path / "set") == ["1", "2", "3"]
    save(tmp_path / "set", "1.jpg", 9)
    assert names_of(tmp_path / "set") == ["1.jpg", "1.png", "2", "3"]
    save(tmp_path / "set", "1.png.png", 9)  # its stem is another's name
    assert names_of(tmp_path / "set") == ["1.jpg", "1.png", "1.png.png", "2.png", "3.png"]


def test_the_same_picture_twice_and_shadowed_folders_are_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in (("a.png", 1), ("copy.png", 1), ("b.png", 2)):
        save(tmp_path / "samples", name, level)
    notes = []
    config = SweepConfig(snrs_db=(0.0,), images="./samples")
    assert len(choose_images(config, notes.append)) == 3
    assert notes == ["the same picture under several names: a = copy; each counts"]
    notes.clear()
    assert len(choose_images(replace(config, images="samples"), notes.append)) == 5
    assert notes == ["'samples' is the built-in image set; write ./samples for what lies in the current folder"]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("form", ["{folder}", "{folder}/*.png", "~/set"])
def test_no_result_says_where_images_lie(tmp_path, monkeypatch, form):
    secret = tmp_path / "secret-place"
    monkeypatch.setenv("HOME", str(secret))
    save(secret / "set", "a.png", 50)
    spec = form.format(folder=secret / "set")
    config = SweepConfig(snrs_db=(0.0,), schemes=("toy",), images=spec, lpips="none", keep_images="all")
    monkeypatch.setattr("sys.argv", ["simulator", "sweep", "--images", spec, f"--out={secret}/out"])
    out = tmp_path / "out"
    run_sweep(config, out, notify=lambda note: None)
    assert main(["report", str(out), "--out", str(tmp_path / "report.html")]) == 0
    written = [path for path in [*out.rglob("*"), tmp_path / "report.html"] if path.is_file()]
    assert len(written) > 4
    assert not any(b"secret-place" in path.read_bytes() for path in written)
    assert json.loads((out / PROVENANCE).read_text())["config"]["images"] in ("set", "*.png")


def test_a_commit_that_cannot_be_read_is_noted(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    known = commit()
    assert known is None or len(known["id"]) == 40  # GIT_DIR of somebody else changes nothing
    (tmp_path / "git").write_text(
        "#!/bin/sh\necho \"fatal: detected dubious ownership in repository at '/x'\" >&2; exit 128\n"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = commit()
    assert (found is None) == (known is None)
    assert found is None or ("dubious ownership" in found["unread"] and found["id"] is None)
    assert found is None or "dubious ownership" in environment()["commit"]


def test_commits_are_told_in_the_same_words_everywhere():
    assert commit_words({"id": "abc" * 9, "dirty": True}, 4) == "abca, with local changes"
    assert commit_words({"id": None, "dirty": None, "unread": "no git"}) == "not read: no git"
    assert commit_words(None) == ""

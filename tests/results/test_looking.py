"""Reading a results folder leaves no file in it, whoever has its database open."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from simulator.results.looking import look
from simulator.results.store import DATABASE, Store, load_results
from simulator.results.written import is_listed, listed_files
from tests.rows import row

ROWS = [row(image) for image in "abc"]
KEYS = [one.key for one in ROWS]


def filled(folder: Path) -> Store:
    """A database that is still open, with its rows in the write-ahead log."""
    store = Store(folder)
    store.set_plan(KEYS, {})
    store.add(ROWS)
    return store


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def results(tmp_path):
    with filled(tmp_path / "results"):
        pass
    return tmp_path / "results"


def test_a_folder_that_is_read_stays_as_it_is(results):
    (results / "images").mkdir()
    picture = results / "images" / "photo.png"
    picture.write_bytes(b"somebody's")
    before = sorted(results.rglob("*"))
    assert load_results(results).rows == ROWS
    assert listed_files(results) == {}
    assert not is_listed(picture, {})
    assert sorted(results.rglob("*")) == before


def test_a_database_that_is_being_written_is_read_with_its_log(tmp_path):
    with filled(tmp_path) as store:
        assert load_results(tmp_path).rows == ROWS
        store.add([row("a", psnr_db=31.0)])
        assert load_results(tmp_path).rows[0].psnr_db == 31.0
        names = set(contents(tmp_path))
        assert names >= {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
    assert set(contents(tmp_path)) == names - {f"{DATABASE}-wal", f"{DATABASE}-shm"}


def test_the_log_of_a_killed_sweep_is_read_and_left_as_it_is(tmp_path):
    (tmp_path / "copy").mkdir()
    with filled(tmp_path / "results"):
        for suffix in ("", "-wal"):  # its index is no file that people copy
            shutil.copyfile(tmp_path / "results" / (DATABASE + suffix), tmp_path / "copy" / (DATABASE + suffix))
    before = contents(tmp_path / "copy")
    assert load_results(tmp_path / "copy").rows == ROWS
    assert contents(tmp_path / "copy") == before


def test_what_a_process_writes_meanwhile_is_read_again(results):
    writers, seen = [], []

    def read(connection):
        if not writers:
            writers.append(Store(results))
            writers[0].add([row("a", psnr_db=31.0)])
        seen.append(connection.execute("SELECT max(psnr_db) FROM rows").fetchone()[0])
        return seen[-1]

    assert look(results / DATABASE, read) == 31.0
    assert seen == [30.0, 31.0]
    writers[0].close()


def test_a_rollback_journal_leaves_nothing_either(tmp_path):
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (7)")
        connection.commit()
    assert look(path, lambda connection: connection.execute("SELECT x FROM t").fetchall()) == [(7,)]
    assert set(contents(tmp_path)) == {"other.sqlite"}
    with pytest.raises(sqlite3.DatabaseError):
        look(Path(__file__), lambda connection: connection.execute("SELECT 1 FROM t").fetchall())

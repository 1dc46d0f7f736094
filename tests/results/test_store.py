"""Rows survive; everything that is wrong with a folder is said in one line."""

import os
import sqlite3
from dataclasses import replace

import pytest

from simulator.errors import UserError
from simulator.results.rows import public_record
from simulator.results.store import DATABASE, Store, load_results
from simulator.results.trouble import check_folder
from tests.rows import row

ROWS = [row(image) for image in "abc"]
KEYS = [one.key for one in ROWS]


def test_rows_come_back_in_the_order_of_the_plan(tmp_path):
    with Store(tmp_path / "new" / "results") as store:
        store.set_plan(KEYS, {"bounds": ["s"]})
        store.add([ROWS[2]])
        store.add([ROWS[0], replace(ROWS[1], encode_s=None, outage=True)])
        assert store.finished() == set(KEYS)
    results = load_results(tmp_path / "new" / "results")
    assert results.rows == [ROWS[0], replace(ROWS[1], encode_s=None, outage=True), ROWS[2]]
    assert results.meta == {"bounds": ["s"]}
    assert results.planned == 3


def test_readers_see_the_latest_plan_only_and_old_rows_wait(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS)
        store.set_plan([KEYS[1], "later"], {})
        assert store.finished() == {KEYS[1]}
        assert [one.key for one in store.results().rows] == [KEYS[1]]
        assert load_results(tmp_path).planned == 2  # while it is being written
        store.set_plan(KEYS, {})
        assert store.finished() == set(KEYS)


def test_faults_are_read_and_tried_again(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add([ROWS[0], replace(ROWS[1], outage=True, fault="ZeroDivisionError: a bug")])
        assert store.finished() == {KEYS[0]}
        assert store.results().faults == 1
        store.add([ROWS[1]])
        assert store.finished() == set(KEYS[:2])
    assert load_results(tmp_path).faults == 0


def test_fresh_forgets(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS)
    with Store(tmp_path, fresh=True) as store:
        store.set_plan(KEYS, {})
        assert store.finished() == set()


def test_one_writer_at_a_time(tmp_path):
    with Store(tmp_path), pytest.raises(UserError, match="in use by another sweep"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_full_disk_keeps_rows(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS[:1])
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UserError, match=r"disk full .* finished rows are kept"):
            store.add([replace(ROWS[1], key=f"{index:064}") for index in range(1000)])
        assert store.finished() == {KEYS[0]}
    assert load_results(tmp_path).rows == ROWS[:1]


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0" + bytes(200)])
def test_foreign_database_is_left_alone(tmp_path, content):
    path = tmp_path / DATABASE
    path.write_bytes(content)
    for attempt in (lambda: Store(tmp_path), lambda: Store(tmp_path, fresh=True), lambda: load_results(tmp_path)):
        with pytest.raises(UserError, match="not a results database"):
            attempt()
    assert path.read_bytes() == content


def test_damaged_database_is_said_and_can_be_started_over(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS)
    path = tmp_path / DATABASE
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    with pytest.raises(UserError, match="damaged"):
        load_results(tmp_path)
    with pytest.raises(UserError, match="damaged"):
        Store(tmp_path)
    Store(tmp_path, fresh=True).close()


@pytest.mark.parametrize("layout", [2, 9])
def test_database_of_another_version_is_said(tmp_path, layout):
    with Store(tmp_path) as store:
        store._connection.execute(f"PRAGMA user_version = {layout}")
    with pytest.raises(UserError, match=f"has layout {layout}, this program reads 3"):
        Store(tmp_path)
    Store(tmp_path, fresh=True).close()


def test_folder_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    for folder in (path, path / "below"):
        with pytest.raises(UserError, match="is a file, not a folder"):
            check_folder(folder)


def test_read_only_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UserError, match="read-only"):
        Store(tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match="no results in"):
        load_results(tmp_path)


def test_results_can_be_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS)
    connect = sqlite3.connect

    def refuse_wal(path, **options):
        if "immutable" not in path:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse_wal)
    assert load_results(tmp_path).rows == ROWS


def test_rows_of_another_plan_are_read_as_far_as_they_can_be_reused(tmp_path):
    with Store(tmp_path) as store:
        store.set_plan([], {})
        store.add(ROWS, {KEYS[0]: ["file.py"]})
    asked = ["unknown", *reversed(KEYS)]
    assert load_results(tmp_path).rows == []
    found = load_results(tmp_path, asked)
    assert [row.key for row in found.rows] == list(reversed(KEYS[1:]))
    with Store(tmp_path) as store:
        store._connection.execute("DROP TABLE late")  # as before there were any
    assert [row.key for row in load_results(tmp_path, asked).rows] == list(reversed(KEYS))


def test_public_record_ends_with_the_key():
    assert list(public_record(ROWS[0]))[:8] == [
        *("scheme", "channel", "snr_db", "cbr_target", "image", "realisation", "snr_db_realised", "psnr_db")
    ]
    assert list(public_record(ROWS[0]))[-1] == "key"


@pytest.mark.parametrize(
    "image",
    [
        *(3, {"name": "a"}, {"name": "a", "sha256": "0" * 64, "size": 3}),
        {"name": "a", "size": [64, 64], "sha256": "../" * 10 + "home/reader/photo"},
    ],
)
def test_sources_are_not_sought_outside_of_their_folder(tmp_path, image):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {"images": [image]})
    with pytest.raises(UserError, match="'images' names no images"):
        load_results(tmp_path)


@pytest.mark.parametrize("change", ["fault = 1.5", "snr_db_realised = 'high'"])
def test_later_columns_are_held_to_their_kinds_too(tmp_path, change):
    with Store(tmp_path) as store:
        store.set_plan(KEYS, {})
        store.add(ROWS)
        store._connection.execute(f"UPDATE rows SET {change}")
    with pytest.raises(UserError, match="has an impossible value"):
        load_results(tmp_path)

"""The grid gives the same numbers however it is run, and reuses exactly what it may."""

import json
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import partial

import pytest

from simulator import sweep
from simulator.analysis.outputs import SUMMARY, SUMMARY_AND_FIGURES
from simulator.errors import UserError
from simulator.metrics import LpipsUnavailable
from simulator.results.provenance import PROVENANCE, environment
from simulator.results.store import load_results
from simulator.results.written import written_in
from simulator.sweep import inputs, plan, tasks
from simulator.sweep.inputs import SweepConfig, load_inputs

run_sweep = partial(sweep.run_sweep, outputs=SUMMARY_AND_FIGURES)

pytestmark = pytest.mark.usefixtures("toys", "without_figures")


@pytest.fixture
def config(photographs):
    return SweepConfig(
        snrs_db=(0.0, 2.0, 5.0),
        schemes=("toy", "toy-cliff", "toy-bound"),
        channels=("awgn", "rayleigh"),
        images=str(photographs),
        realisations=2,
        lpips="none",
    )


def quietly(message):
    """Take no note."""


def summary_of(config, folder):
    run_sweep(config, folder, notify=quietly)
    return (folder / SUMMARY).read_bytes()


def keys_of(config):
    return [row.key for row in plan(config, load_inputs(config, quietly))]


def test_every_row_has_a_key_of_its_own(config):
    keys = keys_of(config)
    assert len(keys) == 3 * 2 * 3 * 4 * 2
    assert max(Counter(keys).values()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"snrs_db": (1.0, 3.0, 6.0)},
        {"cbrs": (Fraction(1, 8),)},
        {"crop": 24},
        {"channels": ("rayleigh-fast",)},
        {"schemes": ("toy-slow",)},
    ],
)
def test_a_changed_configuration_shares_no_key(config, change):
    assert not set(keys_of(config)) & set(keys_of(replace(config, **change)))


@pytest.mark.parametrize("change", [{"workers": 2}, {"batch": 3}])
def test_how_it_is_run_is_not_part_of_keys(config, change):
    assert keys_of(config) == keys_of(replace(config, **change))


def test_fingerprints_are_part_of_keys(config, monkeypatch):
    before = set(keys_of(config))
    monkeypatch.setattr("toy_schemes.Toy.fingerprint", lambda self: "2")
    unchanged = before & set(keys_of(config))
    assert len(unchanged) == len(before) / 3  # those of the bound


@pytest.mark.usefixtures("quick_start")
def test_summary_is_the_same_bytes_with_other_workers_and_batches(config, tmp_path):
    expected = summary_of(config, tmp_path / "plain")
    assert expected.count(b"\n") == 1 + 3 * 2 * 3
    assert summary_of(replace(config, batch=3), tmp_path / "batch") == expected
    assert summary_of(replace(config, workers=2, batch=2), tmp_path / "workers") == expected


def test_a_finished_sweep_computes_nothing_again(config, tmp_path, monkeypatch):
    expected = summary_of(config, tmp_path)
    (tmp_path / SUMMARY).unlink()
    monkeypatch.setattr("simulator.sweep.trials.Worker.__call__", lambda self, task: pytest.fail("computed again"))
    assert summary_of(config, tmp_path) == expected


def test_a_larger_grid_reuses_a_smaller_one_and_matches_it(config, tmp_path):
    larger = replace(config, snrs_db=(0.0, 2.0, 4.0, 5.0), schemes=("toy", "toy-slow"))
    run_sweep(config, tmp_path / "grown", notify=quietly)
    told = []
    run_sweep(larger, tmp_path / "grown", notify=quietly, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (3 * 2 * 4 * 2, 2 * 2 * 4 * 4 * 2)
    assert (tmp_path / "grown" / SUMMARY).read_bytes() == summary_of(larger, tmp_path / "anew")


def test_a_changed_configuration_never_mixes_with_old_rows(config, tmp_path):
    other = run_sweep(replace(config, seed=5), tmp_path / "used", notify=quietly)
    assert other.unplanned == 0
    assert summary_of(config, tmp_path / "used") == summary_of(config, tmp_path / "new")
    assert load_results(tmp_path / "used").unplanned == len(other.rows)


def test_a_smaller_grid_leaves_nothing_of_the_larger_one(config, tmp_path):
    run_sweep(config, tmp_path, notify=quietly)
    figure = tmp_path / "figures" / "psnr-vs-snr-rayleigh.png"
    with written_in(tmp_path, quietly) as written:
        written.write(figure, b"drawn of rows that are no longer planned")
    smaller = replace(config, channels=("awgn",))
    run_sweep(smaller, tmp_path, notify=quietly)  # nothing is missing
    assert not figure.exists()
    assert "rayleigh" not in (tmp_path / SUMMARY).read_text()
    written = (tmp_path / PROVENANCE).read_bytes()
    assert json.loads(written)["config"]["channels"] == ["awgn"]
    assert json.loads(written)["earlier"] == []


@pytest.mark.parametrize("change", [{}, {"workers": 2, "batch": 2}])
def test_run_again_the_provenance_stays(config, tmp_path, monkeypatch, change):
    run_sweep(config, tmp_path, notify=quietly)
    older = json.loads((tmp_path / PROVENANCE).read_text())
    for key in ("earlier", "channels", "files", "sha256"):  # as an older program wrote it
        del older[key]
    (tmp_path / PROVENANCE).write_text(json.dumps(older))
    monkeypatch.setattr("simulator.sweep.run.environment", lambda: pytest.fail("written again"))
    run_sweep(replace(config, **change), tmp_path, notify=quietly)
    record = json.loads((tmp_path / PROVENANCE).read_text())
    assert SUMMARY in record.pop("files")
    assert len(record.pop("sha256")) == 64
    assert record == older  # but for the proof of its files, nothing is said again
    written = (tmp_path / PROVENANCE).read_bytes()
    run_sweep(replace(config, **change), tmp_path, notify=quietly)
    assert (tmp_path / PROVENANCE).read_bytes() == written


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes the sweeps that follow those of another commit, with another torch."""

    def move(commit, torch="2.0"):
        there = environment()
        there |= {"commit": {"id": commit, "dirty": False}, "packages": there["packages"] | {"torch": torch}}
        monkeypatch.setattr("simulator.sweep.run.environment", lambda: there)

    return move


def test_rows_from_elsewhere_are_told_as_long_as_they_are_there(config, tmp_path, elsewhere):
    def grow(**change):
        notes = []
        run_sweep(replace(config, schemes=("toy",), **change), tmp_path, notify=notes.append)
        record = json.loads((tmp_path / PROVENANCE).read_text())
        told = [note for note in notes if "another commit" in note]
        return record, [(one["commit"]["id"], one["packages"]["torch"], one["rows"]) for one in record["earlier"]], told

    elsewhere("first")
    assert grow(channels=("awgn",))[1:] == ([], [])
    elsewhere("second", "2.1")
    record, earlier, told = grow()
    assert (record["commit"]["id"], record["config"]["channels"]) == ("second", ["awgn", "rayleigh"])
    assert earlier == [("first", "2.0", 24)]
    assert len(told) == 1
    assert told[0].startswith("24 of the rows come from another commit or other versions")
    elsewhere("third")
    assert grow(realisations=3)[1] == [("first", "2.0", 24), ("second", "2.1", 24)]
    assert grow(channels=("rayleigh",))[1] == [("second", "2.1", 24)]  # the others wait
    assert grow(channels=("awgn",), seed=1)[1:] == ([], [])
    assert grow(channels=("awgn",))[1] == [("first", "2.0", 24)]  # and are found again
    run_sweep(replace(config, schemes=("toy",)), tmp_path, fresh=True, notify=quietly)
    assert json.loads((tmp_path / PROVENANCE).read_text())["earlier"] == []


def test_outages_bills_and_timings_are_in_the_rows(config, tmp_path):
    rows = run_sweep(config, tmp_path, notify=quietly).rows
    assert {row.outage for row in rows if row.scheme == "toy-cliff" and row.snr_db < 3} == {True}
    assert not any(row.outage for row in rows if row.scheme != "toy-cliff" or row.snr_db >= 3)
    for row in rows:
        bill = row.payload + row.side_information + row.header + row.crc + row.padding + row.pilots
        size = {"p0": 32 * 48, "p2": 32 * 48}.get(row.image, 40 * 40)
        assert row.cbr == bill / (3 * size)
        assert row.cbr_payload == row.payload / (3 * size)
        assert row.cbr <= row.cbr_target
        assert (row.encode_s is None) == (row.scheme == "toy-bound")
        assert row.ms_ssim is None  # the pictures are too small
        assert row.lpips is None


def test_all_schemes_meet_the_same_channel(config, tmp_path):
    """`toy` and `toy-slow` send the same symbols, so they must get the same pictures back."""
    results = run_sweep(replace(config, schemes=("toy", "toy-slow")), tmp_path, notify=quietly)
    half = len(results.rows) // 2
    assert [row.psnr_db for row in results.rows[:half]] == [row.psnr_db for row in results.rows[half:]]


def test_tasks_keep_pictures_of_one_size_together(config):
    inputs = load_inputs(config, quietly)
    units = tasks(replace(config, batch=2), inputs, plan(config, inputs))
    assert sum(len(unit.images) for unit in units) == len(keys_of(config))
    assert {tuple(image.name for image in unit.images) for unit in units} == {("p0", "p2"), ("p1", "p3")}
    assert {(unit.group, unit.images[0].size) for unit in units} == {(0, (32, 48)), (1, (40, 40))}


@pytest.mark.usefixtures("quick_start")
def test_a_dying_worker_is_one_line_and_rows_are_kept(config, tmp_path):
    dying = replace(config, schemes=("toy-dying",), channels=("awgn",), timeout_s=600)  # one worker, in a process
    with pytest.raises(UserError, match="a worker process died"):
        run_sweep(dying, tmp_path, notify=quietly)
    assert not (tmp_path / SUMMARY).exists()
    kept = {row.key: row.psnr_db for row in load_results(tmp_path).rows}
    assert kept
    spared = run_sweep(replace(dying, snrs_db=(0.0, 5.0)), tmp_path, notify=quietly).rows
    assert all(kept[row.key] == row.psnr_db for row in spared if row.key in kept)


def test_a_bug_in_a_scheme_is_a_fault_in_its_rows(config, tmp_path, monkeypatch):
    notes = []
    results = run_sweep(replace(config, schemes=("toy", "toy-raising")), tmp_path, notify=notes.append)
    faults = [row for row in results.rows if row.fault is not None]
    assert {(row.scheme, row.snr_db, row.fault) for row in faults} == {("toy-raising", 2.0, "ZeroDivisionError: a bug")}
    assert len(faults) == results.faults == 2 * 4 * 2
    for row in faults:
        assert row.outage
        assert row.padding == int(row.cbr_target * 3 * {"p0": 32 * 48, "p2": 32 * 48}.get(row.image, 40 * 40))
        assert (row.payload, row.encode_s, row.snr_db_realised) == (0, None, None)
    broken = [note for note in notes if "broke" in note]
    assert broken == [
        "'toy-raising' broke (awgn, 2 dB, image p0, realisation 0): ZeroDivisionError: a bug; the sweep continues, "
        "and `transmit` shows the traceback"
    ]
    assert notes[-1] == "16 of 96 rows are faults, scored as outages; rerun the same command to retry them"
    import toy_schemes

    monkeypatch.setattr(toy_schemes.Raising, "encode", toy_schemes.Toy.encode)
    mended = run_sweep(replace(config, schemes=("toy", "toy-raising")), tmp_path, notify=quietly)
    assert mended.faults == 0
    assert [row for row in mended.rows if row.snr_db != 2] == [row for row in results.rows if row.snr_db != 2]


def test_a_scheme_that_shows_nonsense_is_a_fault(config, tmp_path, monkeypatch):
    monkeypatch.setattr("toy_schemes.Toy.decode", lambda self, reception: _nonsense(reception))
    results = run_sweep(replace(config, schemes=("toy",), channels=("awgn",)), tmp_path, notify=quietly)
    assert all("decoded images must be finite" in row.fault for row in results.rows)


NO_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("error", [UserError("no such weights"), OSError("unreadable"), MemoryError("all"), NO_MEMORY])
def test_what_is_not_the_schemes_fault_stops_the_sweep(config, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("toy_schemes.Toy.encode", fail)
    with pytest.raises(UserError, match=re.escape(str(error))):
        run_sweep(replace(config, schemes=("toy",)), tmp_path, notify=quietly)


def _nonsense(reception):
    import torch

    from simulator.link import Decoded

    return Decoded(torch.full((1, 3, *reception.image_size), torch.nan), [False])


def test_unsupported_ratio_is_refused_before_any_work(config, tmp_path):
    picky = replace(config, schemes=("toy", "toy-picky"), cbrs=(Fraction(1, 16), Fraction(1, 8)))
    with pytest.raises(UserError, match="'toy-picky' cannot run at CBR 1/8: it is made for CBR 1/16"):
        run_sweep(picky, tmp_path / "results", notify=quietly)
    assert not (tmp_path / "results").exists()


def test_default_schemes_are_those_that_can_run(config, monkeypatch):
    monkeypatch.setattr(inputs, "standard_schemes", lambda: ["toy", "toy-picky"])
    notes = []
    wanted = replace(config, schemes=(), cbrs=(Fraction(1, 8),))
    assert list(load_inputs(wanted, notes.append).schemes) == ["toy"]
    assert len(notes) == 1
    assert notes[0].startswith("left out toy-picky: ")
    monkeypatch.setattr(inputs, "standard_schemes", list)
    with pytest.raises(UserError, match="no standard scheme can run this"):
        load_inputs(wanted, notes.append)


def test_missing_lpips_is_said_once_and_leaves_the_column_empty(config, tmp_path, monkeypatch):
    def refuse(name):
        raise LpipsUnavailable("no backbone")

    monkeypatch.setattr(inputs, "LpipsNet", refuse)
    notes = []
    wanted = replace(config, schemes=("toy",), channels=("awgn",), lpips="alex")
    results = run_sweep(wanted, tmp_path, notify=notes.append)
    assert notes[:-1] == ["the LPIPS column stays empty: no backbone"]  # the last is on small images
    assert {row.lpips for row in results.rows} == {None}


def test_lpips_is_measured_and_part_of_keys(config, tmp_path, lpips_backbone_dir):
    wanted = replace(config, schemes=("toy",), channels=("awgn",), lpips="alex")
    results = run_sweep(wanted, tmp_path, notify=quietly)
    assert all(0 < row.lpips < 2 for row in results.rows)
    assert not set(keys_of(wanted)) & set(keys_of(replace(wanted, lpips="none")))


def test_device_that_is_not_there(config):
    with pytest.raises(UserError, match="device 'cuda:99' does not exist"):
        load_inputs(replace(config, device="cuda:99"), quietly)


def test_images_too_small_for_ms_ssim_are_said_when_there_is_work(config, tmp_path):
    notes = []
    run_sweep(config, tmp_path, notify=notes.append)
    assert notes == ["no MS-SSIM for 4 of 4 images: it needs sides of at least 161 pixels"]
    run_sweep(config, tmp_path, notify=notes.append)
    assert len(notes) == 2
    assert "are finished already" in notes[1]


def test_a_scheme_may_have_snrs_of_its_own(config):
    refined = replace(config, own_snrs_db={"toy-cliff": (2.0, 2.5, 3.0)})
    rows = plan(refined, load_inputs(refined, quietly))
    of = {spec: {row.snr_db for row in rows if row.scheme == spec} for spec in config.schemes}
    assert of == {"toy": {0.0, 2.0, 5.0}, "toy-cliff": {2.0, 2.5, 3.0}, "toy-bound": {0.0, 2.0, 5.0}}


def test_images_may_be_chosen(config):
    def names(**choice):
        return [image.name for image in load_inputs(replace(config, **choice), quietly).images]

    assert names(only=("p3", "p1")) == ["p1", "p3"]
    assert names(limit=2) == ["p0", "p1"]
    assert names(only=("p1", "p3"), limit=1) == ["p1"]
    with pytest.raises(UserError, match="no image 'p9'; it has: p0, p1"):
        names(only=("p9",))

"""What is measured of large results folders and of parallel work is measured on the real thing."""

import json
import time

import pytest

from simulator.__main__ import main
from simulator.bench.store import IMAGES, SNRS, grid, measure_growth, synthetic_rows
from simulator.bench.sweep import Speed, efficiency
from simulator.results.store import Store
from simulator.sweep import plan


def test_growth_is_that_of_so_many_rows(tmp_path):
    start = time.perf_counter()
    found = measure_growth(2 * IMAGES * SNRS, tmp_path)
    whole = time.perf_counter() - start
    assert found.rows == 1000
    assert 0.1 < found.megabytes < 1
    assert 0 < found.rows / found.rows_per_second + found.plan_s + found.summary_s < whole


def test_a_plan_that_is_there_already_is_not_written_again(tmp_path):
    config, inputs = grid(500)
    planned = plan(config, inputs)
    keys = [row.key for row in planned]
    with Store(tmp_path) as store:
        store.set_plan(keys, {})
        store.add(synthetic_rows(planned))
        before = store._connection.total_changes
        store.set_plan(keys, {"note": 1})
        assert store._connection.total_changes - before < 10
        assert store.finished() == set(keys)
        store.set_plan(keys[::-1], {})
        assert [row.key for row in store.results().rows] == keys[::-1]


def test_efficiency_is_relative_to_one_local_worker():
    speeds = [Speed("local", 1, 10.0, 1.0), Speed("local", 2, 18.0, 1.0), Speed("ray", 2, 17.0, 9.0)]
    assert list(efficiency(speeds)) == pytest.approx([1.0, 0.9, 0.85])


def test_bench_scale_prints_its_table(capsys):
    assert main(["bench", "scale", "--rows", "500,1e3", "--json"]) == 0
    assert [run["rows"] for run in json.loads(capsys.readouterr().out)["runs"]] == [500, 1000]

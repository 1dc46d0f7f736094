"""A metric that was wanted and could not be measured is named at the end of a sweep and in figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.analysis.curves import make_drawings, source_of
from simulator.analysis.drawings import Choice
from simulator.analysis.missing import missing_metrics
from simulator.analysis.plots import _title
from simulator.results.store import load_results

pytestmark = pytest.mark.usefixtures("toys", "without_figures")


def test_a_sweep_without_a_backbone_says_what_to_do(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from simulator.sweep import inputs

    def unavailable(name: str) -> None:
        raise inputs.LpipsUnavailable("no index")

    monkeypatch.setattr(inputs, "LpipsNet", unavailable)
    out = tmp_path / "results"
    fixed = ["--snr", "0:1", "--scheme", "toy", "--images", str(photographs), "--workers", "1", "--out", str(out)]
    assert main(["sweep", *fixed]) == 0
    end = capsys.readouterr().out.splitlines()[-3:]
    assert any(line.startswith("missing: no LPIPS") and "rerun the same sweep" in line for line in end)
    results = load_results(out)
    source = source_of(results)
    (drawing,) = make_drawings([source], Choice())
    assert _title(drawing, [source], ["psnr_db"]).endswith("LPIPS is missing")
    chosen = replace(results, meta=results.meta | {"config": {"lpips": "none"}})
    assert not any("LPIPS" in line for line in missing_metrics(chosen))
    small = results.rows[0]  # one of several images is too small for MS-SSIM
    rows = [replace(row, ms_ssim=None if row.image == small.image else 0.9) for row in results.rows]
    partly, of = replace(chosen, rows=rows), len({row.image for row in rows})
    assert missing_metrics(partly) == [f"no MS-SSIM for 1 of {of} images: its means leave them out"]
    source = source_of(partly)
    (drawing,) = make_drawings([source], Choice())
    assert f", {of} image" in _title(drawing, [source], ["psnr_db"])
    assert f", {of} image" in _title(drawing, [source], ["cbr"])
    assert f", {of - 1} image" in _title(drawing, [source], ["ms_ssim"])
